-- What each student earned and redeemed in the school year, and what was left at its end.
SELECT l.school_id                                                            AS school_id,
       s.name                                                                 AS school,
       l.student_id                                                           AS student_id,
       p.family_name                                                          AS last_name,
       p.given_name                                                           AS first_name,
       p.grade                                                                AS grade,
       coalesce(sum(l.points) FILTER (WHERE l.kind = 'earned'), 0)::int       AS earned,
       coalesce(-sum(l.points) FILTER (WHERE l.kind = 'redeemed'), 0)::int    AS redeemed,
       coalesce(sum(l.points) FILTER (WHERE l.kind = 'adjusted'), 0)::int     AS adjusted,
       sum(l.points)::int                                                     AS balance
FROM hero.points_ledger l
JOIN directory.schools s ON s.school_id = l.school_id
LEFT JOIN roster.people p ON p.sourced_id = l.student_id
WHERE l.school_year = %(school_year)s AND l.kind <> 'reset'
GROUP BY l.school_id, s.name, l.student_id, p.family_name, p.given_name, p.grade
ORDER BY s.name, l.school_id, balance DESC, p.family_name, p.given_name, l.student_id

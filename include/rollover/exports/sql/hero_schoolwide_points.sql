-- What each student earned and redeemed in the school year, and what was left at its end.
SELECT s.name                                                        AS school,
       l.student_id                                                  AS student_id,
       p.family_name                                                 AS last_name,
       p.given_name                                                  AS first_name,
       p.grade                                                       AS grade,
       sum(l.points) FILTER (WHERE l.kind = 'earned')                AS earned,
       -sum(l.points) FILTER (WHERE l.kind = 'redeemed')             AS redeemed,
       sum(l.points)                                                 AS balance
FROM hero.points_ledger l
JOIN directory.schools s ON s.school_id = l.school_id
LEFT JOIN roster.people p ON p.tenant_id = l.tenant_id AND p.sourced_id = l.student_id
WHERE l.school_year = %(school_year)s AND l.kind <> 'reset'
GROUP BY s.name, l.student_id, p.family_name, p.given_name, p.grade
ORDER BY s.name, balance DESC, p.family_name, p.given_name, l.student_id

-- How often each student was tardy in the school year, by tardy code; days by the district's own clock.
SELECT s.name                                                                   AS school,
       e.student_id                                                             AS student_id,
       p.family_name                                                            AS last_name,
       p.given_name                                                             AS first_name,
       p.grade                                                                  AS grade,
       c.name                                                                   AS tardy,
       count(*)                                                                 AS tardies,
       count(DISTINCT (e.occurred_at AT TIME ZONE %(time_zone)s)::date)         AS days,
       min((e.occurred_at AT TIME ZONE %(time_zone)s)::date)                    AS first_on,
       max((e.occurred_at AT TIME ZONE %(time_zone)s)::date)                    AS last_on
FROM hero.tracking_events e
JOIN directory.schools s ON s.school_id = e.school_id
JOIN hero.behavior_codes c ON c.code_id = e.code_id AND c.kind = 'tardy'
LEFT JOIN roster.people p ON p.sourced_id = e.student_id
WHERE e.school_year = %(school_year)s
GROUP BY s.name, s.school_id, e.student_id, p.family_name, p.given_name, p.grade, e.code_id, c.name
ORDER BY s.name, s.school_id, p.family_name, p.given_name, e.student_id, c.name, e.code_id

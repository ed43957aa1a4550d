-- What each teacher tracked in each school in the school year.
SELECT s.name                                                  AS school,
       e.employee_id                                           AS employee_id,
       t.family_name                                           AS last_name,
       t.given_name                                            AS first_name,
       count(*)                                                AS events,
       count(*) FILTER (WHERE c.kind = 'positive')             AS positive,
       count(*) FILTER (WHERE c.kind = 'negative')             AS negative,
       count(*) FILTER (WHERE c.kind = 'tardy')                AS tardies,
       count(DISTINCT e.student_id)                            AS students,
       sum(e.points)                                           AS points
FROM hero.tracking_events e
JOIN directory.schools s ON s.school_id = e.school_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
LEFT JOIN roster.people t ON t.sourced_id = e.employee_id
WHERE e.school_year = %(school_year)s
GROUP BY s.name, s.school_id, e.employee_id, t.family_name, t.given_name
ORDER BY s.name, s.school_id, t.family_name, t.given_name, e.employee_id

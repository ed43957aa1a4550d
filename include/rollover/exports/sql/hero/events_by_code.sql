-- How often each code was tracked in each school in the school year, the most frequent first.
SELECT s.name                                                  AS school,
       e.code_id                                               AS code_id,
       c.name                                                  AS behavior,
       c.kind                                                  AS kind,
       count(*)                                                AS events,
       count(DISTINCT e.student_id)                            AS students,
       count(DISTINCT e.employee_id)                           AS teachers,
       sum(e.points)                                           AS points
FROM hero.tracking_events e
JOIN directory.schools s ON s.school_id = e.school_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
WHERE e.school_year = %(school_year)s
GROUP BY s.name, s.school_id, e.code_id, c.name, c.kind
ORDER BY s.name, s.school_id, events DESC, e.code_id

-- What was tracked at each location of each school in the school year, the busiest first.
SELECT s.name                                                  AS school,
       e.location                                              AS location,
       count(*)                                                AS events,
       count(*) FILTER (WHERE c.kind = 'positive')             AS positive,
       count(*) FILTER (WHERE c.kind = 'negative')             AS negative,
       count(*) FILTER (WHERE c.kind = 'tardy')                AS tardies,
       count(DISTINCT e.student_id)                            AS students,
       sum(e.points)                                           AS points
FROM hero.tracking_events e
JOIN directory.schools s ON s.school_id = e.school_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
WHERE e.school_year = %(school_year)s
GROUP BY s.name, s.school_id, e.location
ORDER BY s.name, s.school_id, events DESC, e.location

-- What was tracked in each school on each day of the school year, by the district's own clock.
SELECT s.name                                                  AS school,
       (e.occurred_at AT TIME ZONE %(time_zone)s)::date        AS date,
       trim(to_char(e.occurred_at AT TIME ZONE %(time_zone)s, 'Day')) AS weekday,
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
GROUP BY s.name, s.school_id, 2, 3
ORDER BY s.name, s.school_id, date

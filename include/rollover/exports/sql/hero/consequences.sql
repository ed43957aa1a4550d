-- Every consequence assigned in the school year, what led to it, and when it was served.
SELECT s.name                                                AS school,
       x.student_id                                          AS student_id,
       p.family_name                                         AS last_name,
       p.given_name                                          AS first_name,
       p.grade                                               AS grade,
       x.action_id                                           AS action_id,
       a.name                                                AS consequence,
       c.name                                                AS behavior,
       (e.occurred_at AT TIME ZONE %(time_zone)s)::date      AS behavior_on,
       x.assigned_on                                         AS assigned_on,
       x.served_on                                           AS served_on,
       CASE WHEN x.served_on IS NULL THEN 'no' ELSE 'yes' END AS served,
       x.served_on - x.assigned_on                           AS days_until_served
FROM hero.action_assignments x
JOIN directory.schools s ON s.school_id = x.school_id
LEFT JOIN roster.people p ON p.sourced_id = x.student_id
LEFT JOIN hero.action_settings a ON a.action_id = x.action_id
LEFT JOIN hero.tracking_events e ON e.school_year = x.school_year AND e.event_id = x.event_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
WHERE x.school_year = %(school_year)s
ORDER BY s.name, s.school_id, p.family_name, p.given_name, x.student_id, x.assigned_on, x.assignment_id

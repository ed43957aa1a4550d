-- Every tracked behavior of the school year, per student, oldest first; once more where a further consequence followed.
-- The students are put in order once, and the events by their students' places: sorting all events by text would take
-- longer than everything else.
WITH students AS (
    SELECT t.school_id, t.student_id, s.name AS school, p.family_name, p.given_name, p.grade,
           row_number() OVER (ORDER BY s.name, t.school_id, p.family_name, p.given_name, t.student_id) AS place
    FROM (SELECT DISTINCT school_id, student_id FROM hero.tracking_events WHERE school_year = %(school_year)s) t
    JOIN directory.schools s ON s.school_id = t.school_id
    LEFT JOIN roster.people p ON p.sourced_id = t.student_id
)
SELECT p.school                                              AS school,
       e.student_id                                          AS student_id,
       p.family_name                                         AS last_name,
       p.given_name                                          AS first_name,
       p.grade                                               AS grade,
       (e.occurred_at AT TIME ZONE %(time_zone)s)::date      AS date,
       (e.occurred_at AT TIME ZONE %(time_zone)s)::time(0)   AS time,
       c.name                                                AS behavior,
       c.kind                                                AS kind,
       e.points                                              AS points,
       e.location                                            AS location,
       e.employee_id                                         AS tracked_by,
       e.comment                                             AS comment,
       a.name                                                AS consequence,
       x.assigned_on                                         AS assigned_on,
       x.served_on                                           AS served_on
FROM hero.tracking_events e
JOIN students p ON p.school_id = e.school_id AND p.student_id = e.student_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
LEFT JOIN hero.action_assignments x ON x.school_year = e.school_year AND x.event_id = e.event_id
LEFT JOIN hero.action_settings a ON a.action_id = x.action_id
WHERE e.school_year = %(school_year)s
ORDER BY p.place, e.occurred_at, e.event_id, x.assignment_id

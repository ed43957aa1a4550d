-- Every tracked behavior of the school year, per student, oldest first; once more where a further consequence followed.
-- Names are sorted once, in students: sorting the events by text would take longer than everything else.
WITH students AS (
    SELECT sourced_id, family_name, given_name, grade,
           row_number() OVER (ORDER BY family_name, given_name, sourced_id) AS place
    FROM roster.people
), places AS (
    SELECT school_id, name, row_number() OVER (ORDER BY name, school_id) AS place FROM directory.schools
)
SELECT s.name                                                AS school,
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
JOIN places s ON s.school_id = e.school_id
LEFT JOIN students p ON p.sourced_id = e.student_id
LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
LEFT JOIN hero.action_assignments x ON x.school_year = e.school_year AND x.event_id = e.event_id
LEFT JOIN hero.action_settings a ON a.action_id = x.action_id
WHERE e.school_year = %(school_year)s
ORDER BY s.place, p.place, e.student_id, e.occurred_at, e.event_id, x.assignment_id

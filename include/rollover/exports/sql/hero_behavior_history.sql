-- Every tracked behavior of the school year, per student, oldest first.
SELECT s.name                              AS school,
       e.student_id                        AS student_id,
       p.family_name                       AS last_name,
       p.given_name                        AS first_name,
       p.grade                             AS grade,
       e.occurred_at                       AS occurred_at_utc,
       c.name                              AS behavior,
       c.kind                              AS kind,
       e.points                            AS points,
       e.location                          AS location,
       e.employee_id                       AS tracked_by,
       e.comment                           AS comment,
       a.name                              AS action_assigned,
       x.assigned_on                       AS assigned_on,
       x.served_on                         AS served_on
FROM hero.tracking_events e
JOIN directory.schools s ON s.school_id = e.school_id
LEFT JOIN roster.people p ON p.tenant_id = e.tenant_id AND p.sourced_id = e.student_id
LEFT JOIN hero.behavior_codes c ON c.tenant_id = e.tenant_id AND c.code_id = e.code_id
LEFT JOIN hero.action_assignments x
       ON x.tenant_id = e.tenant_id AND x.school_year = e.school_year AND x.event_id = e.event_id
LEFT JOIN hero.action_settings a ON a.tenant_id = x.tenant_id AND a.action_id = x.action_id
WHERE e.school_year = %(school_year)s
ORDER BY s.name, p.family_name, p.given_name, e.student_id, e.occurred_at, e.event_id, x.assignment_id

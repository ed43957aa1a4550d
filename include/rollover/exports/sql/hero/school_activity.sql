-- What happened in each school in the school year. A school without any activity has no line.
WITH tracked AS (
    SELECT e.school_id, count(*) AS events,
           count(*) FILTER (WHERE c.kind = 'positive') AS positive,
           count(*) FILTER (WHERE c.kind = 'negative') AS negative,
           count(*) FILTER (WHERE c.kind = 'tardy') AS tardies,
           count(DISTINCT e.student_id) AS students,
           count(DISTINCT e.employee_id) AS teachers,
           count(DISTINCT (e.occurred_at AT TIME ZONE %(time_zone)s)::date) AS days,
           min((e.occurred_at AT TIME ZONE %(time_zone)s)::date) AS first_on,
           max((e.occurred_at AT TIME ZONE %(time_zone)s)::date) AS last_on
    FROM hero.tracking_events e
    LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
    WHERE e.school_year = %(school_year)s GROUP BY e.school_id
), followed AS (
    SELECT school_id, count(*) AS assigned, count(served_on) AS served
    FROM hero.action_assignments WHERE school_year = %(school_year)s GROUP BY school_id
), points AS (
    SELECT school_id,
           coalesce(sum(points) FILTER (WHERE kind = 'earned'), 0) AS earned,
           coalesce(-sum(points) FILTER (WHERE kind = 'redeemed'), 0) AS redeemed,
           coalesce(sum(points) FILTER (WHERE kind = 'adjusted'), 0) AS adjusted
    FROM hero.points_ledger WHERE school_year = %(school_year)s AND kind <> 'reset' GROUP BY school_id
)
SELECT s.school_id                AS school_id,
       s.name                     AS school,
       coalesce(t.events, 0)      AS events,
       coalesce(t.positive, 0)    AS positive,
       coalesce(t.negative, 0)    AS negative,
       coalesce(t.tardies, 0)     AS tardies,
       coalesce(t.students, 0)    AS students,
       coalesce(t.teachers, 0)    AS teachers,
       coalesce(t.days, 0)        AS days,
       t.first_on                 AS first_on,
       t.last_on                  AS last_on,
       coalesce(f.assigned, 0)    AS consequences_assigned,
       coalesce(f.served, 0)      AS consequences_served,
       coalesce(p.earned, 0)      AS points_earned,
       coalesce(p.redeemed, 0)    AS points_redeemed,
       coalesce(p.adjusted, 0)    AS points_adjusted
FROM directory.schools s
LEFT JOIN tracked t ON t.school_id = s.school_id
LEFT JOIN followed f ON f.school_id = s.school_id
LEFT JOIN points p ON p.school_id = s.school_id
WHERE t.school_id IS NOT NULL OR f.school_id IS NOT NULL OR p.school_id IS NOT NULL
ORDER BY s.name, s.school_id

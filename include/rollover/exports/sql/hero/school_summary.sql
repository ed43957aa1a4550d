-- The numbers of school_activity with what the printed summary draws: events by month, the codes and locations most used.
WITH events AS (
    SELECT e.school_id, e.location, c.name AS behavior, c.kind, (e.occurred_at AT TIME ZONE %(time_zone)s)::date AS date
    FROM hero.tracking_events e
    LEFT JOIN hero.behavior_codes c ON c.code_id = e.code_id
    WHERE e.school_year = %(school_year)s
), by_month AS (
    SELECT school_id, date_trunc('month', date)::date AS month,
           count(*) FILTER (WHERE kind = 'positive') AS positive,
           count(*) FILTER (WHERE kind = 'negative') AS negative,
           count(*) FILTER (WHERE kind = 'tardy') AS tardies
    FROM events GROUP BY 1, 2
), by_behavior AS (
    SELECT school_id, behavior, kind, count(*) AS events FROM events GROUP BY 1, 2, 3
), by_location AS (
    SELECT school_id, location, count(*) AS events FROM events GROUP BY 1, 2
)
SELECT a.*,
       (SELECT coalesce(jsonb_agg(to_jsonb(m) - 'school_id' ORDER BY m.month), '[]')
        FROM by_month m WHERE m.school_id = a.school_id) AS months,
       (SELECT coalesce(jsonb_agg(to_jsonb(b) - 'school_id' ORDER BY b.events DESC, b.behavior), '[]')
        FROM by_behavior b WHERE b.school_id = a.school_id) AS behaviors,
       (SELECT coalesce(jsonb_agg(to_jsonb(l) - 'school_id' ORDER BY l.events DESC, l.location), '[]')
        FROM by_location l WHERE l.school_id = a.school_id) AS locations
FROM (SCHOOL_ACTIVITY) a
ORDER BY a.school, a.school_id

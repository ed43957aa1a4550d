-- The archived years of the session's tenant: those whose rows have left the live tables. An archive that was written
-- after its year's last expiry is there again.
WITH kept AS (
    SELECT r.rollover_id, r.school_year, r.reset_date, a.school_id, a.table_name, a.rows, a.bytes, a.key_id,
           a.read_back_at
    FROM ledger.archives a
    JOIN ledger.rollovers r ON r.rollover_id = a.rollover_id
    WHERE EXISTS (
        SELECT FROM ledger.steps s
        WHERE s.rollover_id = a.rollover_id AND s.plan_no = a.plan_no AND s.step = 'erase'
    )
), years AS (
    SELECT rollover_id, school_year, reset_date, max(read_back_at) AS archived_at,
           count(DISTINCT school_id) AS schools, count(*) AS files, sum(bytes)::bigint AS bytes,
           array_remove(array_agg(DISTINCT key_id), NULL) AS keys
    FROM kept GROUP BY rollover_id, school_year, reset_date
)
SELECT y.school_year, y.reset_date, y.archived_at, y.schools, y.files, y.bytes, y.keys, tables.rows AS tables,
       manifest.path AS manifest, manifest.sha256, expired.at AS expired_at, destroyed.at AS key_destroyed_at
FROM years y
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(t.table_name, t.rows) AS rows FROM (
        SELECT k.table_name, sum(k.rows)::bigint AS rows FROM kept k WHERE k.rollover_id = y.rollover_id GROUP BY 1
    ) t
) tables
JOIN LATERAL (
    SELECT s.result -> 'manifest' ->> 'path' AS path, s.result -> 'manifest' ->> 'sha256' AS sha256
    FROM ledger.steps s
    WHERE s.rollover_id = y.rollover_id AND s.step = 'archive' AND s.result -> 'manifest' ->> 'path' IS NOT NULL
    ORDER BY s.plan_no DESC LIMIT 1
) manifest ON true
LEFT JOIN LATERAL (
    SELECT max(p.done_at) AS at FROM ledger.archive_plans p
    WHERE p.kind = 'expire' AND p.school_year = y.school_year AND p.done_at >= y.archived_at
) expired ON true
LEFT JOIN LATERAL (
    SELECT max(p.done_at) AS at FROM ledger.archive_plans p
    WHERE p.kind = 'destroy_key' AND p.done_at IS NOT NULL AND p.content ->> 'key_id' = ANY (y.keys)
) destroyed ON true
ORDER BY y.school_year

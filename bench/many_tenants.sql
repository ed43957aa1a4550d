-- A vendor's ledger: every tenant of a catalog with three school years behind it, one under way, and open items.
-- A number of tenants (open) wait for an approval, as many have a roster in review. Names and numbers are made up.
INSERT INTO directory.districts (district_id, name, org_sourced_id)
SELECT DISTINCT split_part(t, '__', 2), 'District ' || split_part(t, '__', 2), split_part(t, '__', 2) || '-org'
FROM unnest(CAST(:tenants AS text[])) t;
INSERT INTO directory.tenants (tenant_id, district_id, product, current_school_year)
SELECT t, split_part(t, '__', 2), split_part(t, '__', 1), '2026-27' FROM unnest(CAST(:tenants AS text[])) t;
INSERT INTO directory.schools (district_id, school_id, name)
SELECT district_id, 'school-' || s, 'School ' || s FROM directory.districts, generate_series(1, 3) s;
INSERT INTO directory.subscriptions (district_id, school_id, product, state, starts_on, ends_on, source, read_at)
SELECT t.district_id, s.school_id, t.product, 'active', date '2024-07-01', date '2027-06-30', 'crm', now()
FROM directory.tenants t JOIN directory.schools s USING (district_id);

CREATE TEMPORARY TABLE many AS
SELECT t.tenant_id, t.tenant_id || '__' || y AS rollover_id, y AS school_year, row_number() OVER () AS n,
       row_number() OVER (PARTITION BY y ORDER BY t.tenant_id) AS tenant_no,
       make_timestamptz(left(y, 4)::int + 1, 7, 8, 5, 0, 0) AS at, y < '2025-26' AS is_over
FROM directory.tenants t, unnest(ARRAY['2022-23', '2023-24', '2024-25', '2025-26']) y;

INSERT INTO ledger.rollovers
SELECT tenant_id, rollover_id, school_year, at::date, at, true, CASE WHEN is_over THEN 'certified' ELSE 'running' END,
       'scheduled__' || school_year, at, CASE WHEN is_over THEN at + interval '30 days' END
FROM many;
INSERT INTO ledger.plans
SELECT tenant_id, rollover_id, 1, encode(sha256(rollover_id::bytea), 'hex'), at, '[]',
       CASE WHEN is_over OR tenant_no > :open THEN 'dana' END, CASE WHEN is_over OR tenant_no > :open THEN at END
FROM many;
INSERT INTO ledger.plan_lines
SELECT m.tenant_id, m.rollover_id, 1, 'school-' || s, c, 'hero.' || c, a, 'its subscription', 100 * s, 1, 1000
FROM many m, generate_series(1, 3) s, unnest(ARRAY['tracking_events', 'points_ledger']) c, unnest(ARRAY['erase', 'archive']) a;
INSERT INTO ledger.steps
SELECT m.tenant_id, m.rollover_id, CASE WHEN s.n > 2 AND s.n < 10 THEN 1 ELSE 0 END, s.step, m.at + s.n * interval '5 minutes',
       1, CAST(:results AS jsonb) -> s.step
FROM many m, unnest(ARRAY['guard', 'pause_sync', 'plan', 'export_reports', 'approve', 'archive', 'erase', 'verify_reset',
    'certify', 'reset', 'import_roster', 'verify_roster', 'resume_sync']) WITH ORDINALITY AS s (step, n)
WHERE m.is_over OR (s.n <= 4) OR (m.tenant_no > :open AND s.n IN (5, 6, 7, 8, 10))
   OR (m.tenant_no > 3 * :open AND s.n = 11);
INSERT INTO ledger.archives (tenant_id, rollover_id, plan_no, school_id, table_name, path, rows, checksum, bytes, sha256, read_back_at)
SELECT m.tenant_id, m.rollover_id, 1, 'school-' || s, 'hero.' || c, m.rollover_id || '/' || s || '/' || c, 100 * s, 1, 9000,
       repeat('e', 64), m.at
FROM many m, generate_series(1, 3) s, unnest(ARRAY['tracking_events', 'points_ledger']) c
WHERE m.is_over OR m.tenant_no > :open;
INSERT INTO ledger.certificates
SELECT tenant_id, rollover_id, 1, 'certificates/' || rollover_id || '.json', repeat('a', 64), repeat('b', 64), 'key',
       'signature', 60, repeat('c', 64), at + interval '30 days'
FROM many WHERE is_over;
INSERT INTO ledger.exports (tenant_id, rollover_id, plan_no, report, file, path, rows, bytes, sha256, written_at)
SELECT m.tenant_id, m.rollover_id, 1, 'report_' || r, 'report_' || r || '.csv', 'exports/report_' || r || '.csv', 100, 9000,
       repeat('d', 64), m.at
FROM many m, generate_series(1, 8) r;
INSERT INTO ledger.pauses (tenant_id, paused_by, reason, paused_at, ended_by, ended_at)
SELECT tenant_id, rollover_id, 'rollover of ' || school_year, at, CASE WHEN is_over THEN rollover_id END,
       CASE WHEN is_over THEN at + interval '30 days' END
FROM many;
INSERT INTO ledger.drops
SELECT m.tenant_id, format('%s__%s', m.tenant_id, lpad(to_hex(m.n * 100 + d), 12, '0')), '/drop', 'f' || m.n * 100 + d,
       '[{"name": "users.csv", "size": 120000, "modified": 1785000000}, {"name": "orgs.csv", "size": 900, "modified": 1785000300}]',
       m.at + d * interval '2 days'
FROM many m, generate_series(1, 12) d;
INSERT INTO ledger.imports (tenant_id, import_id, state, format, school_year, reason, details, found_at, changed_at)
SELECT d.tenant_id, d.drop_id, CASE WHEN d.n < 12 OR d.school_year < '2025-26' THEN 'superseded'
           WHEN d.tenant_no BETWEEN :open + 1 AND 2 * :open THEN 'in_review' WHEN d.tenant_no % 40 = 0 THEN 'rejected'
           WHEN d.tenant_no > 3 * :open THEN 'applied' ELSE 'ready' END,
       'oneroster_1_1', format('%s-%s', left(d.school_year, 4)::int + 1, right((left(d.school_year, 4)::int + 2)::text, 2)),
       CASE WHEN d.n = 12 THEN '1 over the limits' END,
       '{"schema_version": 1, "rows": {"users.csv": 12000, "orgs.csv": 4}, "errors": {"bad_date": 5}, "warnings": {"username_twice": 2}}',
       d.found_at, d.found_at + interval '10 minutes'
FROM (SELECT x.*, m.school_year, m.tenant_no, row_number() OVER (PARTITION BY m.rollover_id ORDER BY x.found_at) AS n
      FROM ledger.drops x JOIN many m ON x.tenant_id = m.tenant_id AND x.found_at > m.at AND x.found_at < m.at + interval '100 days') d;
INSERT INTO ledger.findings (tenant_id, import_id, code, severity, file, "row", "column", message)
SELECT i.tenant_id, i.import_id, 'bad_date', 'error', 'users.csv', r, 'dateLastModified', 'not a date'
FROM ledger.imports i, generate_series(1, 7) r WHERE i.state <> 'superseded';
INSERT INTO ledger.questions (tenant_id, kind, about, plan_no, digest, subject, rows_erased, options, dag_id, run_id, task_id,
    map_index, asked_at)
SELECT tenant_id, 'plan', rollover_id, 1, encode(sha256(rollover_id::bytea), 'hex'), rollover_id || ': erase 1,200, archive 1,200 rows?',
       1200 * tenant_no, '["Approve", "Reject"]', 'rollover__' || tenant_id, 'scheduled__2025-26', 'ask_approval', -1, at
FROM many WHERE school_year = '2025-26' AND tenant_no <= :open;
INSERT INTO ledger.notices (tenant_id, kind, school_year, about, role, channel, decided_at, subject, recipients, sent_at)
SELECT tenant_id, 'reset_in_' || k, school_year, at::date::text, 'district_it', 'mail', at - interval '14 days', 'Reset', 2,
       at - interval '14 days'
FROM many, unnest(ARRAY['4_weeks', '2_weeks', '1_week']) k;

-- What is due at night, of all tenants: see the view at the end. For it, the ledger records what has been removed of a
-- finished import, and when a tenant's files were last compared with the ledger.
ALTER TABLE ledger.imports
    ADD COLUMN files_removed_at timestamptz,
    ADD COLUMN rows_removed_at timestamptz,
    ADD CONSTRAINT ck_imports_files_removed_when_finished CHECK (
        files_removed_at IS NULL OR state IN ('applied', 'rejected', 'superseded', 'undone'));
COMMENT ON COLUMN ledger.imports.files_removed_at IS 'null: its files are in storage, or may be';
COMMENT ON COLUMN ledger.imports.rows_removed_at IS
    'of an applied import: the rows that it marked tobedeleted, and its history; null: some are there, or may be';
GRANT UPDATE (files_removed_at, rows_removed_at) ON ledger.imports TO rollover_app;

CREATE TABLE ledger.file_checks (
    tenant_id  text NOT NULL,
    checked_at timestamptz NOT NULL,
    differs    boolean NOT NULL,
    CONSTRAINT pk_file_checks PRIMARY KEY (tenant_id)
);
COMMENT ON COLUMN ledger.file_checks.differs IS 'a file was unknown or missing: it is compared every night until none is';
ALTER TABLE ledger.file_checks ENABLE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON ledger.file_checks TO rollover_app
    USING (tenant_id = (SELECT current_setting('rollover.tenant_id', true)));
GRANT SELECT, INSERT ON ledger.file_checks TO rollover_app;
GRANT UPDATE (checked_at, differs) ON ledger.file_checks TO rollover_app;

-- One index for each kind of work, of the rows for which it is still to be done: the query costs what is to do.
CREATE INDEX ix_imports_with_files ON ledger.imports (tenant_id, state, changed_at) WHERE files_removed_at IS NULL;
CREATE INDEX ix_imports_with_rows ON ledger.imports (tenant_id, changed_at)
    WHERE state = 'applied' AND rows_removed_at IS NULL;
CREATE INDEX ix_imports_with_report ON ledger.imports (tenant_id, changed_at)
    WHERE state IN ('applied', 'rejected', 'superseded', 'undone')
      AND details #>> '{reported,folder}' IS NOT NULL AND details #>> '{reported,removed_at}' IS NULL;
CREATE INDEX ix_imports_with_old_report ON ledger.imports (tenant_id, import_id)
    WHERE state <> details #>> '{reported,state}';
CREATE INDEX ix_exports_kept ON ledger.exports (rollover_id) WHERE removed_at IS NULL;
CREATE INDEX ix_artifacts_changed ON ledger.artifacts (tenant_id, greatest(intended_at, removed_at));

-- What may be due for a tenant: the kind of work, what it is about, and the oldest time from which the tenant's own
-- number of days counts. Ids and times only. Whether the days are over is not known here: district and product files
-- say how many there are. A row of kind 'files_checked' says when a tenant's files were last compared.
CREATE VIEW ledger.due AS
SELECT tenant_id, 'import' AS kind, NULL AS about, min(changed_at) AS at
FROM ledger.imports
WHERE files_removed_at IS NULL AND state NOT IN ('applied', 'rejected', 'superseded', 'undone')
GROUP BY tenant_id
UNION ALL
SELECT tenant_id, 'import_files', NULL, min(changed_at)
FROM ledger.imports i
WHERE files_removed_at IS NULL AND state IN ('applied', 'rejected', 'superseded', 'undone')
  AND NOT EXISTS (SELECT FROM ledger.pauses p WHERE p.tenant_id = i.tenant_id AND p.ended_at IS NULL)
GROUP BY tenant_id
UNION ALL
SELECT tenant_id, 'roster_rows', NULL, min(changed_at)
FROM ledger.imports i
WHERE state = 'applied' AND rows_removed_at IS NULL
  AND NOT EXISTS (SELECT FROM ledger.pauses p WHERE p.tenant_id = i.tenant_id AND p.ended_at IS NULL)
GROUP BY tenant_id
UNION ALL
SELECT tenant_id, 'exports', NULL, min(finished_at)
FROM ledger.rollovers r
WHERE state = 'certified'
  AND EXISTS (SELECT FROM ledger.exports e WHERE e.rollover_id = r.rollover_id AND e.removed_at IS NULL)
GROUP BY tenant_id
UNION ALL
SELECT tenant_id, 'reports', NULL, min(changed_at)
FROM ledger.imports
WHERE state IN ('applied', 'rejected', 'superseded', 'undone')
  AND details #>> '{reported,folder}' IS NOT NULL AND details #>> '{reported,removed_at}' IS NULL
GROUP BY tenant_id
UNION ALL
SELECT tenant_id, 'outdated_report', import_id, changed_at
FROM ledger.imports WHERE state <> details #>> '{reported,state}'
UNION ALL
SELECT tenant_id, 'pause', paused_by, paused_at FROM ledger.pauses WHERE ended_at IS NULL
UNION ALL
SELECT tenant_id, 'files_checked', NULL, checked_at FROM ledger.file_checks
UNION ALL
SELECT t.tenant_id, 'files_changed', NULL, c.checked_at
FROM directory.tenants t LEFT JOIN ledger.file_checks c USING (tenant_id)
WHERE c.differs
   OR EXISTS (
       SELECT FROM ledger.artifacts a WHERE a.tenant_id = t.tenant_id
         AND greatest(a.intended_at, a.removed_at) > coalesce(c.checked_at, '-infinity'))
   OR EXISTS (
       SELECT FROM ledger.rollovers r WHERE r.tenant_id = t.tenant_id AND r.finished_at > c.checked_at)
   OR EXISTS (
       SELECT FROM ledger.archive_plans p WHERE p.tenant_id = t.tenant_id AND p.done_at > c.checked_at)
UNION ALL
SELECT r.tenant_id, 'archived_year', r.school_year, r.reset_date::timestamp AT TIME ZONE 'UTC'
FROM ledger.rollovers r
CROSS JOIN LATERAL (
    SELECT max(p.done_at) AS at FROM ledger.archive_plans p
    WHERE p.tenant_id = r.tenant_id AND p.kind = 'expire' AND p.school_year = r.school_year
) expired
WHERE EXISTS (
    SELECT FROM ledger.archives a
    WHERE a.rollover_id = r.rollover_id AND a.read_back_at > coalesce(expired.at, '-infinity'));
GRANT SELECT ON ledger.due TO rollover_season;

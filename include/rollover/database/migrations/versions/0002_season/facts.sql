-- How many rows of an import are rejected, of the files that were checked: null before that. A row that is there twice
-- is not rejected (see Import.rejected_rows).
CREATE FUNCTION ledger.rejected_rows(import_id text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT sum((m.details -> 'rows' ->> file.key)::bigint - file.value::bigint
               - coalesce((m.details #>> ARRAY['validation', 'repeated', file.key])::bigint, 0))
    FROM ledger.imports m, jsonb_each_text(m.details #> '{validation,taken}') file
    WHERE m.import_id = rejected_rows.import_id AND jsonb_typeof(m.details #> '{validation,taken}') = 'object'
$$;
REVOKE ALL ON FUNCTION ledger.rejected_rows(text) FROM PUBLIC;

-- The facts of each tenant and school year, as JSON: include/rollover/season/facts.py types them. A year is there if it
-- is the current one or has a rollover, or one that was refused. Read by refresh_season only, for tenants that changed.
CREATE VIEW ledger.season_facts AS
SELECT t.tenant_id, y.school_year, jsonb_build_object(
    'current_school_year', t.current_school_year,
    'rollover', to_jsonb(r) - 'tenant_id' - 'rollover_id' - 'school_year',
    'done', done.steps,
    'plan', to_jsonb(plan) || to_jsonb(planned) || jsonb_build_object(
        'rejected_by', rejected.by, 'rejected_at', rejected.recorded_at),
    'failure', to_jsonb(failure),
    'question', to_jsonb(question),
    'questions', asked.questions,
    'newest_drop', to_jsonb(newest),
    'live_roster', to_jsonb(live),
    'new_roster', to_jsonb(awaited),
    'in_review', to_jsonb(reviews),
    'import_failure', to_jsonb(import_failure),
    'waiting_imports', ready.imports,
    'unread', to_jsonb(unread),
    'pause', to_jsonb(pause),
    'holds', to_jsonb(held),
    'exports', to_jsonb(exported),
    'certificate', to_jsonb(certificate),
    'notices', to_jsonb(noticed),
    'dag', to_jsonb(dag)
) AS facts,
coalesce(r.state = 'certified' AND y.school_year < t.current_school_year, false) AS is_past
FROM directory.tenants t
CROSS JOIN LATERAL (
    SELECT t.current_school_year AS school_year
    UNION SELECT school_year FROM ledger.rollovers WHERE tenant_id = t.tenant_id
    UNION SELECT right(rollover_id, 7) FROM ledger.failures WHERE tenant_id = t.tenant_id AND rollover_id IS NOT NULL
) y
CROSS JOIN LATERAL (SELECT t.tenant_id || '__' || y.school_year AS rollover_id,
    format('%s-%s', left(y.school_year, 4)::int + 1, right((left(y.school_year, 4)::int + 2)::text, 2)) AS next_year) i
LEFT JOIN ledger.rollovers r ON r.rollover_id = i.rollover_id
LEFT JOIN LATERAL (
    SELECT p.plan_no, p.plan_hash, p.frozen_at, p.approved_by, p.approved_at FROM ledger.plans p
    WHERE p.rollover_id = i.rollover_id ORDER BY p.plan_no DESC LIMIT 1
) plan ON true
LEFT JOIN LATERAL (
    SELECT coalesce(sum(l.rows) FILTER (WHERE l.action = 'erase'), 0) AS erase,
           coalesce(sum(l.rows) FILTER (WHERE l.action = 'archive'), 0) AS archive
    FROM ledger.plan_lines l WHERE l.rollover_id = i.rollover_id AND l.plan_no = plan.plan_no
) planned ON true
LEFT JOIN LATERAL (
    SELECT e.facts ->> 'by' AS by, e.recorded_at FROM ledger.evidence e
    WHERE e.tenant_id = t.tenant_id AND e.rollover_id = i.rollover_id AND e.kind = 'plan_rejected'
      AND (e.facts ->> 'plan_no')::int = plan.plan_no ORDER BY e.evidence_id LIMIT 1
) rejected ON true
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_object_agg(s.step, s.finished_at), '{}') AS steps, max(s.finished_at) AS last_at
    FROM ledger.steps s WHERE s.rollover_id = i.rollover_id AND s.plan_no IN (0, coalesce(plan.plan_no, 0))
) done
LEFT JOIN LATERAL (
    SELECT f.step, f.error_class, f.is_refusal, f.reason, f.remedy, f.waits_for, f.failed_at, f.run_id
    FROM ledger.failures f
    WHERE f.tenant_id = t.tenant_id AND f.rollover_id = i.rollover_id
      AND f.failed_at > greatest(done.last_at, plan.frozen_at, '-infinity')
    ORDER BY f.failed_at DESC LIMIT 1
) failure ON true
LEFT JOIN LATERAL (
    SELECT q.question_id, q.kind, q.subject, q.asked_at, q.dag_id, q.run_id FROM ledger.questions q
    WHERE q.tenant_id = t.tenant_id AND q.kind = 'plan' AND q.about = i.rollover_id AND q.plan_no = plan.plan_no
      AND q.answered_at IS NULL ORDER BY q.question_id DESC LIMIT 1
) question ON true
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(to_jsonb(q) - 'tenant_id' - 'answer' - 'answered_by' - 'answered_at' - 'reason'
                              ORDER BY q.question_id), '[]') AS questions
    FROM ledger.questions q WHERE q.tenant_id = t.tenant_id AND q.answered_at IS NULL
) asked
LEFT JOIN LATERAL (
    SELECT l.import_id, l.state, l.school_year, l.format, l.found_at, l.changed_at, l.reason, l.files_from, l.files_to,
           l.rows, ledger.rejected_rows(l.import_id) AS rejected, l.errors, l.warnings
    FROM ledger.last_imports l WHERE l.tenant_id = t.tenant_id AND l.is_newest LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT l.import_id, l.state, l.school_year, l.format, l.found_at, l.changed_at, l.reason, l.files_from, l.files_to,
           l.rows, ledger.rejected_rows(l.import_id) AS rejected, l.errors, l.warnings
    FROM ledger.last_imports l WHERE l.tenant_id = t.tenant_id AND l.is_live LIMIT 1
) live ON true
LEFT JOIN LATERAL (
    SELECT m.import_id, m.state, m.found_at, m.changed_at, m.reason FROM ledger.imports m
    WHERE m.tenant_id = t.tenant_id AND m.school_year = i.next_year AND m.state NOT IN ('superseded', 'undone')
    ORDER BY m.found_at DESC, m.import_id DESC LIMIT 1
) awaited ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS imports, min(m.changed_at) AS since, jsonb_agg(m.import_id ORDER BY m.import_id) AS import_ids
    FROM ledger.imports m
    WHERE m.tenant_id = t.tenant_id AND m.state = 'in_review' HAVING count(*) > 0
) reviews ON true
LEFT JOIN LATERAL (
    SELECT f.step, f.error_class, f.is_refusal, f.reason, f.remedy, f.waits_for, f.failed_at, f.run_id
    FROM ledger.failures f JOIN ledger.imports m ON m.import_id = f.import_id
    WHERE f.tenant_id = t.tenant_id AND f.failed_at > m.changed_at
      AND m.state NOT IN ('applied', 'rejected', 'superseded', 'undone')
    ORDER BY f.failed_at DESC LIMIT 1
) import_failure ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS imports FROM ledger.imports m WHERE m.tenant_id = t.tenant_id AND m.state = 'ready'
) ready
LEFT JOIN LATERAL (
    SELECT jsonb_array_length(d.files) AS files, m.found_at FROM ledger.imports m
    JOIN ledger.drops d ON d.drop_id = m.import_id
    WHERE m.tenant_id = t.tenant_id AND m.reason = 'refused for not_read' ORDER BY m.found_at DESC LIMIT 1
) unread ON true
LEFT JOIN LATERAL (
    SELECT p.paused_at AS since, p.paused_by AS by, p.reason FROM ledger.pauses p
    WHERE p.tenant_id = t.tenant_id AND p.ended_at IS NULL
) pause ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS holds, min(h.set_at) AS since,
           count(*) FILTER (WHERE h.school_id IS NULL AND h.student_id IS NULL) AS of_district
    FROM ledger.holds h WHERE h.tenant_id = t.tenant_id AND h.lifted_at IS NULL HAVING count(*) > 0
) held ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS files, max(x.written_at) AS written_at, count(x.removed_at) AS removed FROM ledger.exports x
    WHERE x.rollover_id = i.rollover_id HAVING count(*) > 0
) exported ON true
LEFT JOIN LATERAL (
    SELECT c.plan_no, c.issued_at, c.sha256, c.path FROM ledger.certificates c
    WHERE c.rollover_id = i.rollover_id ORDER BY c.plan_no DESC LIMIT 1
) certificate ON true
LEFT JOIN LATERAL (
    SELECT min(n.sent_at) FILTER (
               WHERE n.kind LIKE 'reset\_in\_%' AND n.role IN ('district_it', 'privacy_officer')) AS informed_at,
           max(n.sent_at) AS last_sent_at,
           count(*) FILTER (
               WHERE n.sent_at IS NULL AND n.failed_at IS NOT NULL AND n.withdrawn_at IS NULL) AS failed
    FROM ledger.notices n WHERE n.tenant_id = t.tenant_id AND n.school_year = y.school_year HAVING count(*) > 0
) noticed ON true
LEFT JOIN LATERAL (
    SELECT d.state, d.since FROM ledger.dag_states d WHERE d.tenant_id = t.tenant_id
) dag ON true;

-- Brings the rows of ledger.season up to date, and returns how many were written. Who reads the season calls it first,
-- so that what is read is never older than the ledger; it costs as much as has changed. One at a time: of two at once,
-- the one with the older snapshot could write last.
CREATE FUNCTION ledger.refresh_season() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' SET jit = off AS $$
DECLARE
    refreshed bigint := 0;
    tenants text[];
    one text;
BEGIN
    IF NOT EXISTS (SELECT FROM ledger.season_changes) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger.season', 0));
    WITH changed AS (DELETE FROM ledger.season_changes RETURNING tenant_id)
    SELECT array_agg(DISTINCT tenant_id) INTO tenants FROM changed;
    -- One by one: joined with a list of tenants, the view would be evaluated for all of them.
    FOREACH one IN ARRAY coalesce(tenants, '{}') LOOP
        WITH found AS MATERIALIZED (SELECT f.* FROM ledger.season_facts f WHERE f.tenant_id = one),
        gone AS (
            DELETE FROM ledger.season known WHERE known.tenant_id = one
                AND NOT EXISTS (SELECT FROM found WHERE found.school_year = known.school_year)
        ),
        written AS (
            INSERT INTO ledger.season AS known (tenant_id, school_year, facts, is_past, version, changed_at)
            SELECT found.tenant_id, found.school_year, found.facts, found.is_past, nextval('ledger.season_version'),
                   clock_timestamp()
            FROM found
            ON CONFLICT (tenant_id, school_year) DO UPDATE SET facts = excluded.facts, is_past = excluded.is_past,
                version = excluded.version, changed_at = excluded.changed_at
            WHERE known.facts IS DISTINCT FROM excluded.facts
            RETURNING 1
        )
        SELECT refreshed + count(*) INTO refreshed FROM written;
    END LOOP;
    RETURN refreshed;
END $$;

-- Records the DAG states that have changed, of all tenants at once; returns how many. Row-level security would need a
-- session for each tenant. What it can write is one of three words.
CREATE FUNCTION ledger.record_dag_states(states jsonb, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    recorded bigint;
BEGIN
    INSERT INTO ledger.dag_states AS known (tenant_id, dag_id, state, since)
    SELECT t.tenant_id, s.dag_id, s.state, at
    FROM jsonb_to_recordset(states) AS s (tenant_id text, dag_id text, state text)
    JOIN directory.tenants t USING (tenant_id)
    ON CONFLICT (tenant_id) DO UPDATE SET dag_id = excluded.dag_id, state = excluded.state, since = excluded.since
    WHERE (known.dag_id, known.state) IS DISTINCT FROM (excluded.dag_id, excluded.state);
    GET DIAGNOSTICS recorded = ROW_COUNT;
    RETURN recorded;
END $$;

CREATE FUNCTION ledger.note_season_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO ledger.season_changes (tenant_id) SELECT DISTINCT tenant_id FROM changed;
    RETURN NULL;
END $$;

-- The tables that the facts are made of. A trigger sees the changed rows of one kind of statement only.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'directory.tenants', 'ledger.rollovers', 'ledger.steps', 'ledger.plans', 'ledger.evidence',
        'ledger.imports', 'ledger.pauses', 'ledger.holds', 'ledger.exports', 'ledger.certificates',
        'ledger.questions', 'ledger.failures', 'ledger.dag_states', 'ledger.notices']
    LOOP
        EXECUTE format('CREATE TRIGGER season_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.note_season_change()', name);
        EXECUTE format('CREATE TRIGGER season_update AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed '
            'FOR EACH STATEMENT EXECUTE FUNCTION ledger.note_season_change()', name);
    END LOOP;
END $$;
CREATE TRIGGER season_delete AFTER DELETE ON directory.tenants REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.note_season_change();
INSERT INTO ledger.season_changes (tenant_id) SELECT tenant_id FROM directory.tenants;

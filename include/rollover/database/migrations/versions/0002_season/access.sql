-- rollover_season reads the season of all tenants, their notices, and what is due at night (see due.sql), and nothing
-- else. Whoever works as rollover_app may take that role, and has none of its rights before that.
DO $$ BEGIN CREATE ROLE rollover_season NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT rollover_season TO rollover_app WITH INHERIT FALSE, SET TRUE;
GRANT USAGE ON SCHEMA ledger TO rollover_season;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['questions', 'failures', 'dag_states', 'notices', 'season', 'season_changes'] LOOP
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON ledger.%I TO rollover_app '
            'USING (tenant_id = (SELECT current_setting(''rollover.tenant_id'', true)))', name);
    END LOOP;
END $$;
GRANT SELECT, INSERT ON ledger.questions, ledger.failures, ledger.dag_states, ledger.notices TO rollover_app;
GRANT UPDATE (answer, answered_by, answered_at, reason) ON ledger.questions TO rollover_app;
GRANT UPDATE (dag_id, state, since) ON ledger.dag_states TO rollover_app;
GRANT UPDATE (reset_date, subject, text_sha256, recipients, sent_at, attempts, error_class, failed_at,
    withdrawn_at)
    ON ledger.notices TO rollover_app;
GRANT SELECT ON ledger.season, ledger.season_changes TO rollover_app;

GRANT SELECT ON ledger.season, ledger.notices TO rollover_season;
CREATE POLICY every_tenant ON ledger.notices FOR SELECT TO rollover_season USING (true);
CREATE POLICY every_tenant ON ledger.season FOR SELECT TO rollover_season USING (true);
REVOKE ALL ON FUNCTION ledger.refresh_season(), ledger.note_season_change(),
    ledger.record_dag_states(jsonb, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.record_dag_states(jsonb, timestamptz) TO rollover_season;
GRANT EXECUTE ON FUNCTION ledger.refresh_season() TO rollover_season, rollover_app;
GRANT EXECUTE ON FUNCTION ledger.rejected_rows(text) TO rollover_app;

-- Who may do what. rollover_app works and owns nothing: it has rights table by table, sees the rows of the session's
-- tenant only, and cannot rewrite the record. rollover_person marks the logins that belong to one person each.
DO $$ BEGIN CREATE ROLE rollover_app NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN CREATE ROLE rollover_person NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

GRANT USAGE ON SCHEMA directory, roster, hero, imagine_math, imagine_math_facts, ledger TO rollover_app;
GRANT USAGE ON SCHEMA ledger TO rollover_person;

-- Every table shows one tenant's rows: asked for in a subquery, the tenant is read once a statement and not once a row.
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN
        SELECT c.oid::regclass AS name,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id') AS has_tenant
        FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace::regnamespace::text IN
              ('directory', 'roster', 'hero', 'imagine_math', 'imagine_math_facts', 'ledger')
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name);
        EXECUTE format('CREATE POLICY one_tenant ON %s TO rollover_app USING (%s)', t.name, CASE WHEN t.has_tenant
            THEN $q$tenant_id = (SELECT current_setting('rollover.tenant_id', true))$q$
            ELSE $q$district_id = split_part(current_setting('rollover.tenant_id', true), '__', 2)$q$ END);
    END LOOP;
END $$;

GRANT SELECT ON ALL TABLES IN SCHEMA directory TO rollover_app;
GRANT UPDATE (current_school_year) ON directory.tenants TO rollover_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA roster, hero, imagine_math, imagine_math_facts
    TO rollover_app;
REVOKE UPDATE ON roster.history FROM rollover_app;

-- Of the ledger, nothing is ever deleted, and only these columns may be filled in or changed later.
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA ledger TO rollover_app;
REVOKE INSERT ON ledger.last_imports FROM rollover_app;
GRANT UPDATE (state, run_id, finished_at, reset_date, reset_at, is_current) ON ledger.rollovers TO rollover_app;
GRANT UPDATE (approved_by, approved_at) ON ledger.plans TO rollover_app;
GRANT UPDATE (approved_by, approved_at, done_at) ON ledger.archive_plans TO rollover_app;
GRANT UPDATE (lifted_by, lift_reason, lifted_at) ON ledger.holds TO rollover_app;
GRANT UPDATE (ended_by, ended_at) ON ledger.pauses TO rollover_app;
GRANT UPDATE (removed_at) ON ledger.exports TO rollover_app;
GRANT UPDATE (plan_no, intended_at, removed_at) ON ledger.artifacts TO rollover_app;
GRANT UPDATE ON ledger.roster_versions TO rollover_app;
GRANT UPDATE (state, format, school_year, sha256, reason, details, comparison, decision, decided_by, decided_at,
              changed_at) ON ledger.imports TO rollover_app;

REVOKE ALL ON FUNCTION ledger.ensure_school_year(text), ledger.partition_of(text, text),
    ledger.lock_partition(text, text), ledger.empty_partition(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.ensure_school_year(text), ledger.partition_of(text, text),
    ledger.lock_partition(text, text), ledger.empty_partition(text, text) TO rollover_app;

-- The record is added to and never rewritten unnoticed. Grants keep the role that works from changing it; triggers
-- refuse it to the owner and to a superuser too, until one of them drops the trigger.

CREATE FUNCTION ledger.never_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%.% is a record: it is added to, and never changed', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;

-- Nothing of these ever changes.
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.steps
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.plan_lines
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.plan_subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.archives
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.evidence
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.certificates
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();

-- Of these, the columns that are named never change; the others do, some of them once.
CREATE TRIGGER never_changed
    BEFORE UPDATE OF rollover_id, tenant_id, school_year, started_at OR DELETE OR TRUNCATE ON ledger.rollovers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF tenant_id, rollover_id, plan_no, plan_hash, frozen_at, warnings OR DELETE OR TRUNCATE
    ON ledger.plans FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER changed_once BEFORE UPDATE ON ledger.plans
    FOR EACH ROW WHEN (OLD.approved_by IS NOT NULL) EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF tenant_id, plan_id, kind, school_year, plan_hash, content, asked_by, frozen_at OR DELETE
    OR TRUNCATE ON ledger.archive_plans FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER done_once BEFORE UPDATE ON ledger.archive_plans
    FOR EACH ROW WHEN (OLD.done_at IS NOT NULL OR OLD.approved_at IS NOT NULL AND NEW.approved_by <> OLD.approved_by)
    EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF hold_id, tenant_id, kind, school_id, student_id, reason, set_by, set_at OR DELETE OR TRUNCATE
    ON ledger.holds FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER changed_once BEFORE UPDATE ON ledger.holds
    FOR EACH ROW WHEN (OLD.lifted_at IS NOT NULL) EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF pause_id, tenant_id, paused_by, reason, paused_at OR DELETE OR TRUNCATE ON ledger.pauses
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER changed_once BEFORE UPDATE ON ledger.pauses
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF tenant_id, rollover_id, plan_no, report, file, path, rows, pages, bytes, sha256, delivered_to,
    written_at OR DELETE OR TRUNCATE ON ledger.exports
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();
CREATE TRIGGER removed_once BEFORE UPDATE ON ledger.exports
    FOR EACH ROW WHEN (OLD.removed_at IS NOT NULL) EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF artifact_id, tenant_id, rollover_id, place, path OR DELETE OR TRUNCATE ON ledger.artifacts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF drop_id, tenant_id, folder, fingerprint, files, found_at OR DELETE OR TRUNCATE ON ledger.drops
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();

CREATE TRIGGER never_changed
    BEFORE UPDATE OF tenant_id, import_id, old_id, new_id, matched_by OR DELETE OR TRUNCATE ON ledger.id_maps
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed();

-- A link of the chain of evidence goes behind the last one of its tenant, or not in at all. As invoker: the role that
-- works sees its own tenant's links here too, and the owner, who sees all, asks for one.
CREATE FUNCTION ledger.behind_the_last() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    last record;
BEGIN
    SELECT evidence_id, hash INTO last FROM ledger.evidence
    WHERE tenant_id = NEW.tenant_id ORDER BY evidence_id DESC LIMIT 1;
    IF NEW.previous_hash IS DISTINCT FROM coalesce(last.hash, repeat('0', 64))
        OR NEW.evidence_id <= last.evidence_id OR NEW.hash !~ '^[0-9a-f]{64}$'
    THEN
        RAISE EXCEPTION 'evidence goes behind the last link of its tenant'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER behind_the_last BEFORE INSERT ON ledger.evidence
    FOR EACH ROW EXECUTE FUNCTION ledger.behind_the_last();

-- A hold, whoever sets it, waits for a step that is under way, and counts from then on: it never comes in between. It
-- takes the tenant's lock as rollover.database.session does; set_at was filled in before the wait.
CREATE FUNCTION ledger.after_the_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id, 0));
    NEW.set_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER after_the_step BEFORE INSERT ON ledger.holds FOR EACH ROW EXECUTE FUNCTION ledger.after_the_step();

-- A personal login signs as itself. Only the workers' own login may name others: it records who Airflow has
-- authenticated. A superuser is a member of every role, and can become anybody: it is nobody in particular.
CREATE FUNCTION ledger.is_person() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT NOT rolsuper AND pg_has_role(oid, 'rollover_person', 'MEMBER') FROM pg_roles WHERE rolname = session_user
$$;

CREATE FUNCTION ledger.signs_as_itself() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    before text := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) ->> TG_ARGV[0] END;
    signed text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF signed IS DISTINCT FROM before AND signed IS NOT NULL AND signed <> session_user AND ledger.is_person() THEN
        RAISE EXCEPTION 'a personal login signs as itself'
            USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  COLUMN = TG_ARGV[0];
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER set_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.holds
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('set_by');
CREATE TRIGGER lifted_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.holds
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('lifted_by');
CREATE TRIGGER approved_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.plans
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('approved_by');
CREATE TRIGGER asked_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.archive_plans
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('asked_by');
CREATE TRIGGER approved_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.archive_plans
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('approved_by');
CREATE TRIGGER decided_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.imports
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('decided_by');
CREATE TRIGGER paused_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.pauses
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('paused_by');
CREATE TRIGGER ended_by_signs_as_itself BEFORE INSERT OR UPDATE ON ledger.pauses
    FOR EACH ROW EXECUTE FUNCTION ledger.signs_as_itself('ended_by');

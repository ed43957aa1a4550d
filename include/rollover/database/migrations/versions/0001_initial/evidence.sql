-- What a person decides, and that a rollover is certified, needs its link in the chain of evidence, or its certificate,
-- in the same transaction. The triggers are deferred to the end of it.

CREATE FUNCTION ledger.in_evidence(tenant text, kinds text[], wanted jsonb) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM ledger.evidence WHERE tenant_id = tenant AND kind = ANY (kinds) AND facts @> wanted)
$$;

CREATE FUNCTION ledger.hold_is_set_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{hold_set}', jsonb_build_object('hold', NEW.hold_id, 'by', NEW.set_by))) THEN
        RAISE EXCEPTION 'a hold is set with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold_is_set_in_evidence
    AFTER INSERT ON ledger.holds DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (true)
    EXECUTE FUNCTION ledger.hold_is_set_in_evidence();

CREATE FUNCTION ledger.hold_is_lifted_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{hold_lifted}', jsonb_build_object('hold', NEW.hold_id, 'by', NEW.lifted_by))) THEN
        RAISE EXCEPTION 'a hold is lifted with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold_is_lifted_in_evidence
    AFTER UPDATE ON ledger.holds DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.lifted_at IS NOT NULL)
    EXECUTE FUNCTION ledger.hold_is_lifted_in_evidence();

-- A plan that a person rejected is never approved.
CREATE FUNCTION ledger.plan_is_approved_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT ledger.in_evidence(NEW.tenant_id, '{approve}',
           jsonb_build_object('approved_by', NEW.approved_by, 'plan_hash', NEW.plan_hash)) THEN
        RAISE EXCEPTION 'a plan is approved with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF EXISTS (SELECT FROM ledger.evidence e
               WHERE e.rollover_id = NEW.rollover_id AND e.kind = 'plan_rejected'
                 AND e.facts @> jsonb_build_object('plan_no', NEW.plan_no)) THEN
        RAISE EXCEPTION 'a rejected plan is not approved'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER plan_is_approved_in_evidence
    AFTER UPDATE ON ledger.plans DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.approved_by IS NOT NULL)
    EXECUTE FUNCTION ledger.plan_is_approved_in_evidence();

CREATE FUNCTION ledger.archive_plan_is_approved_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{archive_plan_approved}', jsonb_build_object('plan', NEW.plan_id, 'plan_hash', NEW.plan_hash, 'by', NEW.approved_by))) THEN
        RAISE EXCEPTION 'a plan is approved with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER archive_plan_is_approved_in_evidence
    AFTER UPDATE ON ledger.archive_plans DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.approved_by IS NOT NULL)
    EXECUTE FUNCTION ledger.archive_plan_is_approved_in_evidence();

CREATE FUNCTION ledger.archive_plan_is_done_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{archive_expired,archive_key_destroyed}', jsonb_build_object('plan_hash', NEW.plan_hash))) THEN
        RAISE EXCEPTION 'a plan is done with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER archive_plan_is_done_in_evidence
    AFTER UPDATE ON ledger.archive_plans DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.done_at IS NOT NULL)
    EXECUTE FUNCTION ledger.archive_plan_is_done_in_evidence();

CREATE FUNCTION ledger.import_is_decided_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{roster_decision}', jsonb_build_object('import_id', NEW.import_id, 'answer', NEW.decision, 'by', NEW.decided_by))) THEN
        RAISE EXCEPTION 'an import is decided about with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER import_is_decided_in_evidence
    AFTER UPDATE ON ledger.imports DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.decision IS NOT NULL
          AND (OLD.decision, OLD.decided_by) IS DISTINCT FROM (NEW.decision, NEW.decided_by))
    EXECUTE FUNCTION ledger.import_is_decided_in_evidence();

CREATE FUNCTION ledger.pause_is_ended_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.in_evidence(NEW.tenant_id, '{resume_sync,resumed_by_hand}', jsonb_build_object('pause', NEW.pause_id, 'ended_by', NEW.ended_by))) THEN
        RAISE EXCEPTION 'a pause is ended with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER pause_is_ended_in_evidence
    AFTER UPDATE ON ledger.pauses DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.ended_at IS NOT NULL)
    EXECUTE FUNCTION ledger.pause_is_ended_in_evidence();

CREATE FUNCTION ledger.rollover_is_certified_by_a_certificate() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (EXISTS (SELECT FROM ledger.certificates c WHERE c.rollover_id = NEW.rollover_id)) THEN
        RAISE EXCEPTION 'a rollover is certified by its certificate'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rollover_is_certified_by_a_certificate
    AFTER UPDATE ON ledger.rollovers DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.state = 'certified' AND OLD.state <> 'certified')
    EXECUTE FUNCTION ledger.rollover_is_certified_by_a_certificate();

-- ENABLE ALWAYS: else whoever sets session_replication_role passes by every trigger.
DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger
             WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'ledger'::regnamespace)
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
    END LOOP;
END $$;

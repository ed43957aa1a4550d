"""Two people are two people: personal logins, and holds, approvals and decisions that nobody rewrites unnoticed

- ``rollover_person`` marks the logins that belong to one person each. What such a session signs, it signs as itself.
- A hold is lifted once, wholly, and by somebody else than who set it; a plan is approved once. NULL passed the checks.
- Each of these needs its link in the chain of evidence in the same transaction.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROLE = """
DO $$ BEGIN CREATE ROLE rollover_person NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$
"""

# A superuser is a member of every role, and can become anybody: it is nobody in particular.
IS_PERSON = """
CREATE FUNCTION ledger.is_person() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT NOT rolsuper AND pg_has_role(oid, 'rollover_person', 'MEMBER') FROM pg_roles WHERE rolname = session_user
$$
"""

# Only the workers' own login may name others: it records whom Airflow has authenticated.
SIGNS_AS_ITSELF = """
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
END $$
"""
SIGNED = {
    "holds": ("set_by", "lifted_by"),
    "plans": ("approved_by",),
    "archive_plans": ("asked_by", "approved_by"),
    "imports": ("decided_by",),
    "pauses": ("paused_by", "ended_by"),
}

# Deferred to the end of the transaction: by then the chain must have the link.
IN_EVIDENCE = """
CREATE FUNCTION ledger.in_evidence(tenant text, kinds text[], wanted jsonb) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM ledger.evidence WHERE tenant_id = tenant AND kind = ANY (kinds) AND facts @> wanted)
$$
"""
NEEDS_EVIDENCE = """
CREATE FUNCTION ledger.{name}() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT ({proof}) THEN
        RAISE EXCEPTION '{said}'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$
"""
# By name: table, event, condition, what must be recorded by the end of the transaction, what is said without it.
EVIDENCE = {
    "hold_is_set_in_evidence": (
        "holds",
        "INSERT",
        "true",
        "ledger.in_evidence(NEW.tenant_id, '{hold_set}', jsonb_build_object('hold', NEW.hold_id, 'by', NEW.set_by))",
        "a hold is set with its evidence",
    ),
    "hold_is_lifted_in_evidence": (
        "holds",
        "UPDATE",
        "NEW.lifted_at IS NOT NULL",
        "ledger.in_evidence(NEW.tenant_id, '{hold_lifted}', "
        "jsonb_build_object('hold', NEW.hold_id, 'by', NEW.lifted_by))",
        "a hold is lifted with its evidence",
    ),
    "plan_is_approved_in_evidence": (
        "plans",
        "UPDATE",
        "NEW.approved_by IS NOT NULL",
        "ledger.in_evidence(NEW.tenant_id, '{approve}', "
        "jsonb_build_object('approved_by', NEW.approved_by, 'plan_hash', NEW.plan_hash))",
        "a plan is approved with its evidence",
    ),
    "archive_plan_is_approved_in_evidence": (
        "archive_plans",
        "UPDATE",
        "NEW.approved_by IS NOT NULL",
        "ledger.in_evidence(NEW.tenant_id, '{archive_plan_approved}', "
        "jsonb_build_object('plan', NEW.plan_id, 'plan_hash', NEW.plan_hash, 'by', NEW.approved_by))",
        "a plan is approved with its evidence",
    ),
    "archive_plan_is_done_in_evidence": (
        "archive_plans",
        "UPDATE",
        "NEW.done_at IS NOT NULL",
        "ledger.in_evidence(NEW.tenant_id, '{archive_expired,archive_key_destroyed}', "
        "jsonb_build_object('plan_hash', NEW.plan_hash))",
        "a plan is done with its evidence",
    ),
    "import_is_decided_in_evidence": (
        "imports",
        "UPDATE",
        "NEW.decision IS NOT NULL AND (OLD.decision, OLD.decided_by) IS DISTINCT FROM (NEW.decision, NEW.decided_by)",
        "ledger.in_evidence(NEW.tenant_id, '{roster_decision}', "
        "jsonb_build_object('import_id', NEW.import_id, 'answer', NEW.decision, 'by', NEW.decided_by))",
        "an import is decided about with its evidence",
    ),
    "pause_is_ended_in_evidence": (
        "pauses",
        "UPDATE",
        "NEW.ended_at IS NOT NULL",
        "ledger.in_evidence(NEW.tenant_id, '{resume_sync,resumed_by_hand}', "
        "jsonb_build_object('pause', NEW.pause_id, 'ended_by', NEW.ended_by))",
        "a pause is ended with its evidence",
    ),
    "rollover_is_certified_by_a_certificate": (
        "rollovers",
        "UPDATE",
        "NEW.state = 'certified' AND OLD.state <> 'certified'",
        "EXISTS (SELECT FROM ledger.certificates c WHERE c.rollover_id = NEW.rollover_id)",
        "a rollover is certified by its certificate",
    ),
}

# By table: what never changes, and from when on nothing does.
FIXED = {
    "holds": ("hold_id, tenant_id, kind, school_id, student_id, reason, set_by, set_at", "OLD.lifted_at IS NOT NULL"),
    "plans": (
        "tenant_id, rollover_id, plan_no, plan_hash, frozen_at, warnings",
        "OLD.approved_by IS NOT NULL",
    ),
    "pauses": ("pause_id, tenant_id, paused_by, reason, paused_at", "OLD.ended_at IS NOT NULL"),
    "rollovers": ("rollover_id, tenant_id, school_year, started_at", None),
    "drops": ("drop_id, tenant_id, folder, fingerprint, files, found_at", None),
    "id_maps": ("tenant_id, import_id, old_id, new_id, matched_by", None),
}
CHECKS = {
    "holds": {
        "lifted_wholly": "num_nulls(lifted_by, lift_reason, lifted_at) IN (0, 3)",
        "second_person": "lifted_by IS NULL OR lower(lifted_by) <> lower(set_by)",
    },
    "plans": {"approved_wholly": "num_nulls(approved_by, approved_at) IN (0, 2)"},
    "archive_plans": {
        "approved_wholly": "num_nulls(approved_by, approved_at) IN (0, 2)",
        "second_person": "approved_by IS NULL OR asked_by IS NULL OR lower(approved_by) <> lower(asked_by)",
    },
    "imports": {"decided_wholly": "num_nulls(decision, decided_by, decided_at) IN (0, 3)"},
    "pauses": {"ended_wholly": "num_nulls(ended_by, ended_at) IN (0, 2)"},
}


def upgrade() -> None:
    op.execute(ROLE)
    op.execute(IS_PERSON)
    op.execute(SIGNS_AS_ITSELF)
    op.execute("GRANT USAGE ON SCHEMA ledger TO rollover_person")
    op.execute(IN_EVIDENCE)
    for table, checks in CHECKS.items():
        for name, condition in checks.items():
            op.execute(f"ALTER TABLE ledger.{table} DROP CONSTRAINT IF EXISTS ck_{table}_{name}")
            op.execute(f"ALTER TABLE ledger.{table} ADD CONSTRAINT ck_{table}_{name} CHECK ({condition})")
    for table, signed in SIGNED.items():
        for column in signed:
            _trigger(
                f"{column}_signs_as_itself",
                f"BEFORE INSERT OR UPDATE ON ledger.{table} FOR EACH ROW "
                f"EXECUTE FUNCTION ledger.signs_as_itself('{column}')",
                table,
            )
    for table, (columns, ended) in FIXED.items():
        _trigger(
            "never_changed",
            f"BEFORE UPDATE OF {columns} OR DELETE OR TRUNCATE ON ledger.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed()",
            table,
        )
        if ended:
            _trigger(
                "changed_once",
                f"BEFORE UPDATE ON ledger.{table} FOR EACH ROW WHEN ({ended}) "
                "EXECUTE FUNCTION ledger.never_changed()",
                table,
            )
    for name, (table, event, condition, proof, said) in EVIDENCE.items():
        op.execute(NEEDS_EVIDENCE.format(name=name, proof=proof, said=said))
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER {event} ON ledger.{table} DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION ledger.{name}()"
        )
        op.execute(f"ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER {name}")


def _trigger(name: str, definition: str, table: str) -> None:
    op.execute(f"CREATE TRIGGER {name} {definition}")
    op.execute(f"ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER {name}")

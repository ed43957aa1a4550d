"""Certificates, the subscriptions that a plan went by, and a record that nobody rewrites unnoticed

- Grants keep the role that works from changing a record. Triggers now refuse it to the owner and to a superuser too,
  until one of them drops the trigger; ENABLE ALWAYS, so that ``session_replication_role`` does not pass it.
- A link of the chain of evidence goes behind the last one of its tenant, or not in at all.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TENANT_OF_A_ROW = "tenant_id = (SELECT current_setting('rollover.tenant_id', true))"
NEW = ("certificates", "plan_subscriptions")
NEVER_CHANGED = (*NEW, "archives", "evidence", "exports", "plan_lines", "steps")

NEVER_CHANGED_FUNCTION = """
CREATE FUNCTION ledger.never_changed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '%.% is a record: it is added to, and never changed', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$
"""
# As invoker: the role that works sees its own tenant's links here too, and the owner, who sees all, asks for one.
BEHIND_THE_LAST_FUNCTION = """
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
END $$
"""


def upgrade() -> None:
    op.create_table(
        "certificates",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("rollover_id", sa.Text(), nullable=False),
        sa.Column("plan_no", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="of the JSON; the PDF lies beside it"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the JSON"),
        sa.Column("pdf_sha256", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("evidence_entries", sa.BigInteger(), nullable=False),
        sa.Column("evidence_head", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rollover_id", "plan_no", name="pk_certificates"),
        schema="ledger",
    )
    op.create_table(
        "plan_subscriptions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("rollover_id", sa.Text(), nullable=False),
        sa.Column("plan_no", sa.Integer(), nullable=False),
        sa.Column("school_id", sa.Text(), nullable=False),
        sa.Column("in_force", sa.Boolean(), nullable=False, comment="on the reset date"),
        sa.Column(
            "subscriptions",
            postgresql.JSONB(),
            nullable=False,
            comment="[{state, starts_on, ends_on, source, read_at}] as the source said it",
        ),
        sa.PrimaryKeyConstraint("rollover_id", "plan_no", "school_id", name="pk_plan_subscriptions"),
        schema="ledger",
    )
    op.execute(NEVER_CHANGED_FUNCTION)
    op.execute(BEHIND_THE_LAST_FUNCTION)
    for table in NEW:
        op.execute(f"GRANT SELECT, INSERT ON ledger.{table} TO rollover_app")
        op.execute(f"ALTER TABLE ledger.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY one_tenant ON ledger.{table} TO rollover_app USING ({TENANT_OF_A_ROW})")
    for table in NEVER_CHANGED:
        op.execute(
            f"CREATE TRIGGER never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.{table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed()"
        )
        op.execute(f"ALTER TABLE ledger.{table} ENABLE ALWAYS TRIGGER never_changed")
    op.execute(
        "CREATE TRIGGER behind_the_last BEFORE INSERT ON ledger.evidence "
        "FOR EACH ROW EXECUTE FUNCTION ledger.behind_the_last()"
    )
    op.execute("ALTER TABLE ledger.evidence ENABLE ALWAYS TRIGGER behind_the_last")

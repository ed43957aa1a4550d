"""Archives: by which key a file is encrypted, and the plans by which archived data is destroyed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TENANT_OF_A_ROW = "tenant_id = (SELECT current_setting('rollover.tenant_id', true))"
# A plan is approved once and done once; all else of it is never changed.
FROZEN = "tenant_id, plan_id, kind, school_year, plan_hash, content, asked_by, frozen_at"


def upgrade() -> None:
    key_id = sa.Column(
        "key_id", sa.Text(), comment="of the tenant's key, by which the file is encrypted; null: it is not"
    )
    op.add_column("archives", key_id, schema="ledger")
    op.create_table(
        "archive_plans",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("school_year", sa.Text(), comment="that expires; null: all years, by their key"),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column(
            "content", postgresql.JSONB(), nullable=False, comment="what goes, by which rule or for which reason"
        ),
        sa.Column("asked_by", sa.Text(), comment="null: the rule"),
        sa.Column("frozen_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("plan_id", name="pk_archive_plans"),
        sa.CheckConstraint("kind IN ('expire', 'destroy_key')", name=op.f("ck_archive_plans_kind")),
        sa.CheckConstraint("(kind = 'expire') = (school_year IS NOT NULL)", name=op.f("ck_archive_plans_one_year")),
        sa.CheckConstraint(
            "(kind = 'destroy_key') = (asked_by IS NOT NULL)", name=op.f("ck_archive_plans_asked_for")
        ),
        sa.CheckConstraint("approved_by <> asked_by", name=op.f("ck_archive_plans_second_person")),
        sa.CheckConstraint("done_at IS NULL OR approved_by IS NOT NULL", name=op.f("ck_archive_plans_approved")),
        schema="ledger",
    )
    op.create_index("ix_archive_plans_tenant_id", "archive_plans", ["tenant_id"], schema="ledger")
    op.execute("GRANT SELECT, INSERT, UPDATE (approved_by, approved_at, done_at) ON ledger.archive_plans TO rollover_app")
    op.execute("ALTER TABLE ledger.archive_plans ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY one_tenant ON ledger.archive_plans TO rollover_app USING ({TENANT_OF_A_ROW})")
    op.execute(
        f"CREATE TRIGGER never_changed BEFORE UPDATE OF {FROZEN} OR DELETE OR TRUNCATE ON ledger.archive_plans "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed()"
    )
    op.execute(
        "CREATE TRIGGER done_once BEFORE UPDATE ON ledger.archive_plans FOR EACH ROW "
        "WHEN (OLD.done_at IS NOT NULL OR OLD.approved_at IS NOT NULL AND NEW.approved_by <> OLD.approved_by) "
        "EXECUTE FUNCTION ledger.never_changed()"
    )
    for trigger in ("never_changed", "done_once"):
        op.execute(f"ALTER TABLE ledger.archive_plans ENABLE ALWAYS TRIGGER {trigger}")

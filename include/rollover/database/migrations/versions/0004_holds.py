"""Holds: what may neither be erased nor reset; a plan then has two lines for one school and table, and says its bytes"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TENANT_OF_A_ROW = "tenant_id = (SELECT current_setting('rollover.tenant_id', true))"


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("school_id", sa.Text()),
        sa.Column("student_id", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("lifted_by", sa.Text()),
        sa.Column("lift_reason", sa.Text()),
        sa.Column("lifted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("hold_id", name="pk_holds"),
        sa.CheckConstraint("kind IN ('legal', 'inspection')", name=op.f("ck_holds_kind")),
        sa.CheckConstraint("school_id IS NULL OR student_id IS NULL", name=op.f("ck_holds_one_scope")),
        sa.CheckConstraint("lifted_by <> set_by", name=op.f("ck_holds_second_person")),
        schema="ledger",
    )
    op.execute("GRANT SELECT, INSERT, UPDATE (lifted_by, lift_reason, lifted_at) ON ledger.holds TO rollover_app")
    op.execute("ALTER TABLE ledger.holds ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY one_tenant ON ledger.holds TO rollover_app USING ({TENANT_OF_A_ROW})")
    size = sa.Column(
        "bytes", sa.BigInteger(), nullable=False, server_default="0", comment="what the rows took in the database"
    )
    op.add_column("plan_lines", size, schema="ledger")
    op.drop_constraint("pk_plan_lines", "plan_lines", schema="ledger")
    key = ["rollover_id", "plan_no", "school_id", "table_name", "action"]
    op.create_primary_key("pk_plan_lines", "plan_lines", key, schema="ledger")

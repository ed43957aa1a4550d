"""Artifacts: every file written for a rollover, recorded before it is written"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TENANT_OF_A_ROW = "tenant_id = (SELECT current_setting('rollover.tenant_id', true))"
FIXED = "artifact_id, tenant_id, rollover_id, place, path"

# Files of which there are receipts already.
KNOWN = """
INSERT INTO ledger.artifacts (tenant_id, rollover_id, plan_no, place, path)
SELECT tenant_id, rollover_id, max(plan_no), place, path
FROM (
    SELECT tenant_id, rollover_id, plan_no, 'storage' AS place, path FROM ledger.archives
    UNION ALL
    SELECT tenant_id, rollover_id, plan_no, 'storage', result -> 'manifest' ->> 'path' FROM ledger.steps
    WHERE step = 'archive'
    UNION ALL
    SELECT tenant_id, rollover_id, plan_no, 'storage', path FROM ledger.exports WHERE removed_at IS NULL
    UNION ALL
    SELECT tenant_id, rollover_id, plan_no, 'outbox', delivered_to FROM ledger.exports WHERE removed_at IS NULL
    UNION ALL
    SELECT tenant_id, rollover_id, plan_no, 'storage', path FROM ledger.certificates
    UNION ALL
    SELECT tenant_id, rollover_id, plan_no, 'storage', regexp_replace(path, 'json$', 'pdf') FROM ledger.certificates
) known
WHERE path IS NOT NULL
GROUP BY tenant_id, rollover_id, place, path
"""


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("artifact_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("rollover_id", sa.Text(), comment="null: a certificate that an archive was destroyed"),
        sa.Column("plan_no", sa.Integer(), nullable=False, comment="the last plan for which it was to be written"),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="ending in a slash: a folder, with all that is below it"),
        sa.Column(
            "intended_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("removed_at", sa.DateTime(timezone=True), comment="null: it is there, or may be"),
        sa.CheckConstraint("place IN ('storage', 'outbox')", name="ck_artifacts_place"),
        sa.PrimaryKeyConstraint("artifact_id", name="pk_artifacts"),
        sa.UniqueConstraint("tenant_id", "place", "path", name="uq_artifacts_tenant_id_place_path"),
        schema="ledger",
    )
    op.create_index("ix_artifacts_rollover_id", "artifacts", ["rollover_id"], schema="ledger")
    op.execute(KNOWN)
    op.execute("GRANT SELECT, INSERT ON ledger.artifacts TO rollover_app")
    op.execute("GRANT UPDATE (plan_no, intended_at, removed_at) ON ledger.artifacts TO rollover_app")
    op.execute("ALTER TABLE ledger.artifacts ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY one_tenant ON ledger.artifacts TO rollover_app USING ({TENANT_OF_A_ROW})")
    op.execute(
        f"CREATE TRIGGER never_changed BEFORE UPDATE OF {FIXED} OR DELETE OR TRUNCATE ON ledger.artifacts "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed()"
    )
    op.execute("ALTER TABLE ledger.artifacts ENABLE ALWAYS TRIGGER never_changed")

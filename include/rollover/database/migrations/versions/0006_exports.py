"""Exports: several files per report, pages, and when a file was removed after its time"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    file = sa.Column("file", sa.Text(), comment="below the folder of the year: a printed report has several")
    op.add_column("exports", file, schema="ledger")
    op.execute("UPDATE ledger.exports SET file = regexp_replace(path, '^.*/', '')")
    op.alter_column("exports", "file", nullable=False, schema="ledger")
    op.add_column(
        "exports",
        sa.Column("pages", sa.Integer(), comment="of a printed report, counted in the file"),
        schema="ledger",
    )
    op.add_column(
        "exports",
        sa.Column(
            "removed_at", sa.DateTime(timezone=True), comment="when its time was over, here and in the outbox"
        ),
        schema="ledger",
    )
    op.drop_constraint("pk_exports", "exports", schema="ledger")
    op.create_primary_key("pk_exports", "exports", ["rollover_id", "plan_no", "report", "file"], schema="ledger")
    op.execute("GRANT UPDATE (removed_at) ON ledger.exports TO rollover_app")

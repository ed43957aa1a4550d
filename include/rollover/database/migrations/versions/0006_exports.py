"""Exports: several files per report, pages, and when a file was removed after its time"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


# A receipt says once that its file was removed; all else of it is never changed.
RECEIPT = "tenant_id, rollover_id, plan_no, report, file, path, rows, pages, bytes, sha256, delivered_to, written_at"


def upgrade() -> None:
    op.execute("DROP TRIGGER never_changed ON ledger.exports")
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
    op.execute(
        f"CREATE TRIGGER never_changed BEFORE UPDATE OF {RECEIPT} OR DELETE OR TRUNCATE ON ledger.exports "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger.never_changed()"
    )
    op.execute(
        "CREATE TRIGGER removed_once BEFORE UPDATE ON ledger.exports FOR EACH ROW WHEN (OLD.removed_at IS NOT NULL) "
        "EXECUTE FUNCTION ledger.never_changed()"
    )
    for trigger in ("never_changed", "removed_once"):
        op.execute(f"ALTER TABLE ledger.exports ENABLE ALWAYS TRIGGER {trigger}")

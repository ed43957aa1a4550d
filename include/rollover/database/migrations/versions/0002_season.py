"""Adds the season: one row per tenant and school year that pages, commands, mails and notes read

With it comes what the ledger did not have before: questions to people, failures, notices, the state of DAGs, and
what is due at night. The files are in ``0002_season/``.
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).with_suffix("")
FILES = ("tables", "facts", "access", "due")


def upgrade() -> None:
    for name in FILES:
        ddl = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
        op.get_bind().exec_driver_sql(ddl, execution_options={"no_parameters": True})

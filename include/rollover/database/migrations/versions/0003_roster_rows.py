"""Lets COPY fill the roster: the rows of each roster table lie in a partition that can be written to directly

COPY does not write to a table with row-level security. The file is in ``0003_roster_rows/``.
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FOLDER = Path(__file__).with_suffix("")


def upgrade() -> None:
    ddl = (FOLDER / "partitions.sql").read_text(encoding="utf-8")
    op.get_bind().exec_driver_sql(ddl, execution_options={"no_parameters": True})

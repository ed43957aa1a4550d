"""The schema of version 0.1.0, in the files of ``0001_initial/``

Released: neither this file nor those are ever changed. A later version adds a migration, and a test holds their hashes.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FOLDER = Path(__file__).with_suffix("")
FILES = (
    ("directory", ""),
    ("roster", ""),
    ("hero", ""),
    ("imagine", "imagine_math"),
    ("imagine", "imagine_math_facts"),
    ("imagine_math", ""),
    ("ledger", ""),
    ("partitions", ""),
    ("access", ""),
    ("record", ""),
    ("evidence", ""),
)
"""By order: the file, and the product whose schema it makes where it makes several."""


def upgrade() -> None:
    for name, product in FILES:
        ddl = (FOLDER / f"{name}.sql").read_text(encoding="utf-8").replace("$product", product)
        op.get_bind().exec_driver_sql(ddl, execution_options={"no_parameters": True})

"""Say what a valid set would change, before it does."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster import imports
from rollover.roster.diff import difference


def compare(engine: Engine, tenant_id: str, import_id: str, storage: UPath) -> dict[str, Any]:
    """Count, per roster table, the rows that would be added, changed, removed or stay: validated → ready.

    The counts are in ``counts["changes"]``. They are of this moment: applying compares anew. A set of the next
    school year becomes ready too, and waits for the rollover.
    """
    with tenant_session(engine, tenant_id, isolation="REPEATABLE READ") as connection:
        found = imports.load(connection, import_id)
        if found.state != "validated":
            return found.summary()
        changes = {table.name: difference(connection, table, storage, import_id).counts for table in ROSTER_TABLES}
    with tenant_session(engine, tenant_id) as connection:
        imports.advance(connection, import_id, before="validated", after="ready", counts={"changes": changes})
        return imports.load(connection, import_id).summary()

"""The ledger's row of an import: where it is, and the one way it moves on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.errors import Refused

TERMINAL = ("applied", "rejected", "superseded")


@dataclass(frozen=True)
class Import:
    """One drop on its way into the live roster, as the ledger has it."""

    import_id: str
    state: str
    found_at: datetime
    school_year: str | None
    reason: str | None
    counts: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        """What a step returns: JSON, and nothing personal."""
        return {
            "import_id": self.import_id,
            "state": self.state,
            "school_year": self.school_year,
            "reason": self.reason,
            "counts": self.counts,
        }


def load(connection: Connection, import_id: str, *, for_update: bool = False) -> Import:
    """Read an import of the session's tenant; `for_update` keeps others from moving it in this transaction.

    Raises Refused for an import that this tenant does not have.
    """
    columns = [imports.c[field.name] for field in fields(Import)]
    query = select(*columns).where(imports.c.import_id == import_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise Refused(f"The ledger has no import {import_id} of this tenant.", "use an id that `pending` lists.")
    return Import(**row._mapping)


def current(engine: Engine, tenant_id: str, import_id: str) -> Import:
    """Read an import in a transaction of its own."""
    with tenant_session(engine, tenant_id) as connection:
        return load(connection, import_id)


def advance(
    connection: Connection,
    import_id: str,
    *,
    before: str,
    after: str,
    school_year: str | None = None,
    sha256: str | None = None,
    reason: str | None = None,
    counts: dict[str, Any] | None = None,
) -> bool:
    """Move an import from one state to another; False, with no change, where it is not in `before` any more.

    Two runs of one step can meet (a killed task and its successor): the first to arrive moves the import, and
    the other must then leave everything as it is. `counts` are added to the counts that are there.
    """
    values: dict[str, Any] = {"state": after, "reason": reason, "changed_at": func.clock_timestamp()}
    if school_year is not None:
        values["school_year"] = school_year
    if sha256 is not None:
        values["sha256"] = sha256
    found = load(connection, import_id, for_update=True)
    if found.state != before:
        return False
    if counts:
        values["counts"] = {**found.counts, **counts}
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(values))
    return True

"""Finds earlier imports of a tenant: the last that went live, and the last with the same files."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select

from rollover.database.tables.ledger import imports
from rollover.roster.imports.details import ReadAs
from rollover.roster.imports.model import Decision, Import, ImportState, query_imports, read_import

WENT_LIVE = (ImportState.APPLIED, ImportState.UNDONE)
# A school year is over when the next has begun, and within a year the order in which drops were found is the order in
# which they go live: apply passes over a set that is older than one that it has let in.
_LATEST_LIVE = (imports.c.school_year.desc(), imports.c.found_at.desc(), imports.c.import_id.desc())


def last_live(connection: Connection, states: Sequence[ImportState] = (ImportState.APPLIED,)) -> Import | None:
    """The last import of the session's tenant that went live and is in one of `states`."""
    query = query_imports().where(imports.c.state.in_(states)).order_by(*_LATEST_LIVE).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else read_import(row)


def last_applied(connection: Connection, school_year: str) -> Import | None:
    """The import of a school year that is live; None if none was applied.

    It is the newest of those applied: an older set is never applied after a newer one.
    """
    of_year = (imports.c.state == ImportState.APPLIED, imports.c.school_year == school_year)
    row = connection.execute(query_imports().where(*of_year).order_by(*_LATEST_LIVE).limit(1)).one_or_none()
    return None if row is None else read_import(row)


def same_set(connection: Connection, found: Import) -> Import | None:
    """The live import, if its set is that of `found`: the same files, format and way of reading them.

    None if anything is unknown, or if the last import was undone, was applied in part, or is a delta: then the live
    roster was not made from that set alone.
    """
    live = last_live(connection, WENT_LIVE)
    if live is None or live.state is not ImportState.APPLIED:
        return None
    if live.decision is Decision.ADDITIONS_ONLY or not live.is_whole:
        return None
    here, there = _identity(found), _identity(live)
    return live if None not in here and here == there else None


def seen_before(connection: Connection, found: Import) -> str | None:
    """The state of the last earlier import of the same files: "replaced", "undone" or "discarded".

    None if there is no such import, or if its roster is still live, and for a set with a delta: a district's system may
    rightly send the same change twice.
    """
    live = last_live(connection)
    if not found.is_whole or None in _identity(found) or (live is not None and _identity(live) == _identity(found)):
        return None
    ended = or_(imports.c.state.in_(WENT_LIVE), imports.c.decision == Decision.DISCARD)
    earlier = (
        query_imports()
        .where(ended, imports.c.sha256 == found.sha256, imports.c.found_at < found.found_at)
        .order_by(imports.c.found_at.desc())
    )
    for row in connection.execute(earlier):
        if _identity(same := read_import(row)) == _identity(found):
            return {ImportState.APPLIED: "replaced", ImportState.UNDONE: "undone"}.get(same.state, "discarded")
    return None


def rows_before(connection: Connection) -> dict[str, int]:
    """The number of rows by type that the last applied and compared import had; empty if there is none."""
    was_compared = (imports.c.state == ImportState.APPLIED, imports.c.comparison.isnot(None))
    query = select(imports.c.comparison["types"]).where(*was_compared).order_by(*_LATEST_LIVE).limit(1)
    types: dict[str, dict[str, int]] | None = connection.scalar(query)
    return {kind: count["staged"] for kind, count in (types or {}).items()}


def _identity(found: Import) -> tuple[str | None, str | None, ReadAs | None]:
    return found.sha256, found.format, found.details.reading.read_as

"""The ledger's row of an import: where it is, and the one way it moves on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, or_, select, update

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.errors import Refused

TERMINAL = ("applied", "rejected", "superseded", "undone")
UNCHANGED = "unchanged"
"""In the counts of an import whose files are those of the import that is live: it was not even staged."""
SAME_AS = "same_as"
"""In the counts of such an import, once applied: the import whose staged rows are its own too."""
READ_AS = "read_as"
"""In the counts: what a set's files were read by, besides its format. The same files read otherwise are another set."""
DELTAS = "deltas"
"""In the counts: the files of a set that hold only changes."""
LAID_OVER = "laid_over"
"""In the counts: the version of the live roster from which a set was filled up where it says nothing. For another
version it has to be validated again."""
NOT_IDENTIFIED = "not_identified"
"""In the counts: rows by file in which staging found no certain identity."""
REFUSED_FOR = "refused_for"
"""In the counts: the codes for which staging refuses a set, which is checked all the same before it is rejected."""
REPORTED = "reported"
"""In the counts: where the import's report is, the SHA-256 of the text that lies there, and the state it tells of."""
REMOVED_AT = "removed_at"
"""In what the counts say of the report: when it was removed."""
TAKEN = "taken"
"""In the counts: rows by file that break no rule which keeps them out."""
REPEATED = "repeated"
"""In the counts: rows by file that were there already, word for word, and were taken once."""
OTHER_STATUS = "other_status"
"""In the counts: rows by file whose status is neither active nor tobedeleted, and nothing says what it means."""
CUT_OFF = "cut_off"
"""In the counts: the files that end inside a row."""
UNNAMED = "unnamed"
"""In the counts: rows by full file that are kept out, and of which nobody can tell who they are about."""
IS_WHOLE = func.coalesce(func.jsonb_array_length(imports.c.counts[DELTAS]), 0) == 0
"""Of rows of the ledger, what :attr:`Import.is_whole` is of an import."""


@dataclass(frozen=True)
class Import:
    """One drop on its way into the live roster, as the ledger has it."""

    import_id: str
    tenant_id: str
    state: str
    found_at: datetime
    changed_at: datetime
    school_year: str | None
    format: str | None
    sha256: str | None
    reason: str | None
    counts: dict[str, Any]
    comparison: dict[str, Any] | None
    decision: str | None
    decided_by: str | None

    @property
    def is_whole(self) -> bool:
        """Whether a set is a whole roster; with a delta, it says what has changed since the sets before it.

        Only a whole set replaces older ones.
        """
        return not self.counts.get(DELTAS)

    @property
    def kept_out(self) -> dict[str, tuple[int, int]]:
        """By file that was checked: how many rows it has, and how many of them are kept out for errors."""
        rows, taken = self.counts.get("rows", {}), self.counts.get(TAKEN) or {}
        repeated = self.counts.get(REPEATED, {})
        return {name: (rows[name], rows[name] - repeated.get(name, 0) - taken[name]) for name in taken if name in rows}

    def summary(self) -> dict[str, Any]:
        """What a step returns: JSON, and nothing personal."""
        return {
            "import_id": self.import_id,
            "state": self.state,
            "school_year": self.school_year,
            "reason": self.reason,
            "counts": self.counts,
        }


_COLUMNS = [imports.c[field.name] for field in fields(Import)]
# A school year is over when the next has begun, and within a year the order in which drops were found is the order in
# which they go live: apply passes over a set that is older than one that it has let in.
_LATEST_LIVE = (imports.c.school_year.desc(), imports.c.found_at.desc(), imports.c.import_id.desc())


def load(connection: Connection, import_id: str, *, for_update: bool = False) -> Import:
    """Read an import of the session's tenant; `for_update` keeps others from moving it in this transaction.

    Raises Refused for an import that this tenant does not have.
    """
    query = select(*_COLUMNS).where(imports.c.import_id == import_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise Refused(f"The ledger has no import {import_id} of this tenant.", "use an id that `pending` lists.")
    return Import(**row._mapping)


def current(engine: Engine, tenant_id: str, import_id: str) -> Import:
    """Read an import in a transaction of its own."""
    with tenant_session(engine, tenant_id) as connection:
        return load(connection, import_id)


def last_live(connection: Connection, *states: str) -> Import | None:
    """The last import of the session's tenant that went live and is in one of `states`; without any, applied."""
    query = select(*_COLUMNS).where(imports.c.state.in_(states or ("applied",))).order_by(*_LATEST_LIVE).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Import(**row._mapping)


def same_set(connection: Connection, found: Import) -> Import | None:
    """The import that is live, where its set is that of `found`: the same files, format and way of reading them.

    None where anything is unknown, where the last import was undone, where only a part of the last set was let in, and
    where it held changes only: it is not what the live roster was made from.
    """
    live = last_live(connection, "applied", "undone")
    if live is None or live.state != "applied" or live.decision == "additions_only" or not live.is_whole:
        return None
    here, there = _identity(found), _identity(live)
    return live if None not in here and here == there else None


def is_unchanged(connection: Connection, found: Import) -> bool:
    """Whether a fetched set is, byte for byte, what the live roster was made from: nothing is to be done for it."""
    return same_set(connection, found) is not None


def seen_before(connection: Connection, found: Import) -> str | None:
    """What became of the last earlier import of the same files: "replaced", "undone" or "discarded".

    None where no such import was, where what it brought in is still what is live, and for a set with a delta: the
    district's system says the same of a person again when it is so again.
    """
    live = last_live(connection)
    if not found.is_whole or None in _identity(found) or (live is not None and _identity(live) == _identity(found)):
        return None
    ended = or_(imports.c.state.in_(("applied", "undone")), imports.c.decision == "discard")
    earlier = (
        select(*_COLUMNS)
        .where(ended, imports.c.sha256 == found.sha256, imports.c.found_at < found.found_at)
        .order_by(imports.c.found_at.desc())
    )
    for row in connection.execute(earlier):
        if _identity(same := Import(**row._mapping)) == _identity(found):
            return {"applied": "replaced", "undone": "undone"}.get(same.state, "discarded")
    return None


def rows_before(connection: Connection) -> dict[str, int]:
    """By type of row, how many the last import that was applied and compared had; empty where there is none."""
    query = select(imports.c.comparison["types"]).where(imports.c.state == "applied", imports.c.comparison.isnot(None))
    types: dict[str, dict[str, int]] | None = connection.scalar(query.order_by(*_LATEST_LIVE).limit(1))
    return {kind: count["staged"] for kind, count in (types or {}).items()}


def _identity(found: Import) -> tuple[Any, ...]:
    return found.sha256, found.format, found.counts.get(READ_AS)


def advance(
    connection: Connection,
    import_id: str,
    *,
    before: str,
    after: str,
    school_year: str | None = None,
    format: str | None = None,
    sha256: str | None = None,
    reason: str | None = None,
    counts: dict[str, Any] | None = None,
    comparison: dict[str, Any] | None = None,
) -> bool:
    """Move an import from one state to another; False, with no change, where it is not in `before` any more.

    Two runs of one step can meet (a killed task and its successor): the first to arrive moves the import, and
    the other must then leave everything as it is. `counts` are added to the counts that are there; of the others,
    what is None stays as it is, but for the reason.
    """
    values: dict[str, Any] = {"state": after, "reason": reason, "changed_at": func.clock_timestamp()}
    given = {"school_year": school_year, "format": format, "sha256": sha256, "comparison": comparison}
    values |= {name: value for name, value in given.items() if value is not None}
    found = load(connection, import_id, for_update=True)
    if found.state != before:
        return False
    if counts:
        values["counts"] = {**found.counts, **counts}
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(values))
    return True

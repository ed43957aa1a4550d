"""Reads and writes the record of a roster import in the ledger: its state, its details, and the only way to advance
it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.errors import Refused
from rollover.ledger import questions
from rollover.roster.imports.details import ImportDetails


class ImportState(StrEnum):
    """The state of a roster import. The ledger's check constraint lists the same states."""

    FOUND = "found"
    """Recorded by the intake."""
    FETCHED = "fetched"
    """Its files are in storage."""
    STAGED = "staged"
    """Its files are read into typed rows; with a delta, it may wait here for an older import."""
    VALIDATED = "validated"
    """Its accepted rows are known."""
    IN_REVIEW = "in_review"
    """In review: over its limits, and a person is asked."""
    READY = "ready"
    """May be applied."""
    APPLIED = "applied"
    """Live, or was until another was applied."""
    REJECTED = "rejected"
    """Refused, or discarded by a person."""
    SUPERSEDED = "superseded"
    """Not needed: a newer one took its place, or its year is over."""
    UNDONE = "undone"
    """Was applied, and was undone."""


class Decision(StrEnum):
    """What a person decided about an import in review. The ledger's check constraint lists the same."""

    APPROVE = "approve"
    APPROVE_WITH_ID_MAP = "approve_with_id_map"
    """People whose ids changed are first given their new ids everywhere."""
    ADDITIONS_ONLY = "additions_only"
    DISCARD = "discard"


TERMINAL = (ImportState.APPLIED, ImportState.REJECTED, ImportState.SUPERSEDED, ImportState.UNDONE)
"""The states in which an import is finished."""

# SQL over rows of the ledger
IS_WHOLE = func.coalesce(func.jsonb_array_length(imports.c.details["reading"]["deltas"]), 0) == 0
"""SQL for :attr:`Import.is_whole`."""
REPORT_IS_THERE = imports.c.details["reported"]["folder"].astext.isnot(None) & imports.c.details["reported"][
    "removed_at"
].astext.is_(None)


@dataclass(frozen=True)
class Import:
    """One drop on its way into the live roster, as the ledger has it."""

    import_id: str
    tenant_id: str
    state: ImportState
    found_at: datetime
    changed_at: datetime
    school_year: str | None
    format: str | None
    sha256: str | None
    """The hash of the set, whether or not its files were zipped."""
    reason: str | None
    """Why it is in its state, or waits in it."""
    details: ImportDetails
    comparison: dict[str, Any] | None
    """The comparison as JSON, which :mod:`rollover.roster.comparing.comparison` reads."""
    decision: Decision | None
    decided_by: str | None

    @property
    def is_whole(self) -> bool:
        """Whether a set is a whole roster; with a delta, it says what has changed since the sets before it.

        Only a whole set replaces older ones.
        """
        return not self.details.reading.deltas

    @property
    def rejected_rows(self) -> dict[str, tuple[int, int]]:
        """By file that was checked: how many rows it has, and how many of them are rejected because of errors."""
        rows, validation = self.details.rows, self.details.validation
        taken, repeated = validation.taken or {}, validation.repeated
        return {name: (rows[name], rows[name] - repeated.get(name, 0) - taken[name]) for name in taken if name in rows}

    def as_json(self) -> dict[str, Any]:
        """What a task returns to Airflow: nothing personal."""
        return {
            "import_id": self.import_id,
            "state": self.state.value,
            "school_year": self.school_year,
            "reason": self.reason,
            "details": self.details.as_json(),
        }


def query_imports() -> Select[Any]:
    """Select imports; :func:`read_import` makes each row an Import."""
    return select(*(imports.c[field.name].label(field.name) for field in fields(Import)))


def read_import(row: Row[Any]) -> Import:
    """Make an Import of a row. Raises Refused if its details are of another schema version."""
    typed = {
        "state": ImportState(row.state),
        "details": ImportDetails.from_json(row.details),
        "decision": None if row.decision is None else Decision(row.decision),
    }
    return Import(**{field.name: row._mapping[field.name] for field in fields(Import)} | typed)


def load(connection: Connection, import_id: str, *, for_update: bool = False) -> Import:
    """Read an import of the session's tenant; `for_update` keeps others from moving it in this transaction.

    Raises Refused for an import that this tenant does not have.
    """
    query = query_imports().where(imports.c.import_id == import_id)
    row = connection.execute(query.with_for_update() if for_update else query).one_or_none()
    if row is None:
        raise Refused(
            f"The ledger has no import {import_id} of this tenant.",
            "use an id that `rollover roster list` shows.",
        )
    return read_import(row)


def current(engine: Engine, tenant_id: str, import_id: str) -> Import:
    """Read an import in a transaction of its own."""
    with tenant_session(engine, tenant_id) as connection:
        return load(connection, import_id)


def advance(
    connection: Connection,
    found: Import,
    after: ImportState,
    *,
    school_year: str | None = None,
    format: str | None = None,
    sha256: str | None = None,
    reason: str | None = None,
    details: ImportDetails | None = None,
    comparison: dict[str, Any] | None = None,
) -> bool:
    """Advance an import; returns False, with no change, if its state is no longer that of `found`.

    Two runs of one step can meet (a killed task and its successor): the first to arrive moves the import, and the other
    must then leave everything as it is. The parts of `details` that are set replace the old ones. Other arguments that
    are None leave their value unchanged, except the reason. An import that leaves the review is not asked about any
    more.
    """
    values: dict[str, Any] = {"state": after, "reason": reason, "changed_at": func.clock_timestamp()}
    given = {"school_year": school_year, "format": format, "sha256": sha256, "comparison": comparison}
    values |= {name: value for name, value in given.items() if value is not None}
    if details is not None:
        values["details"] = patched(details)
    of_this = (imports.c.import_id == found.import_id, imports.c.state == found.state)
    moved = connection.execute(update(imports).where(*of_this).values(values)).rowcount == 1
    if moved and found.state is ImportState.IN_REVIEW and after is not ImportState.IN_REVIEW:
        questions.withdraw(connection, "roster", [found.import_id])
    return moved


def patched(details: ImportDetails) -> ColumnElement[Any]:
    """SQL for a row's details, with the parts replaced that are set in `details`."""
    return imports.c.details.op("||")(literal(details.as_json(), JSONB))


def write_details(connection: Connection, import_id: str, details: ImportDetails) -> None:
    """Replace the parts that are set in `details`, beside what others may write at the same time."""
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(details=patched(details)))


def write_decision(connection: Connection, import_id: str, decision: Decision | None, by: str | None) -> None:
    """Record what a person decided about an import and when; None removes the decision."""
    at = None if decision is None else func.clock_timestamp()
    values = {"decision": decision, "decided_by": by, "decided_at": at}
    connection.execute(update(imports).where(imports.c.import_id == import_id).values(values))


def supersede_older(connection: Connection, newer: Import, *which: ColumnElement[bool], reason: str) -> None:
    """Move those imports of `which` that are older than `newer` to superseded. A set with a delta supersedes none."""
    if not newer.is_whole:
        return
    superseded = connection.scalars(
        update(imports)
        .where(*which, (newer.found_at, newer.import_id) > _POSITION)
        .values(state=ImportState.SUPERSEDED, reason=reason, changed_at=func.clock_timestamp())
        .returning(imports.c.import_id)
    )
    questions.withdraw(connection, "roster", superseded)


def is_newer(found: Import) -> ColumnElement[bool]:
    """SQL for whether a row of the ledger is a newer import than `found`."""
    return (found.found_at, found.import_id) < _POSITION


_POSITION = tuple_(imports.c.found_at, imports.c.import_id)

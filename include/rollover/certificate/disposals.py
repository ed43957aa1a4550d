"""The plans of a rollover that were run, as their steps recorded them: what a certificate is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, select

from rollover.database.tables import metadata
from rollover.database.tables.ledger import archives, exports, plan_lines, plan_subscriptions, plans, steps
from rollover.ledger import disposal_plans, rollovers
from rollover.ledger.disposal_plans import DisposalPlan
from rollover.ledger.plans import GOES, Line, PlanAction, line_of, stayed
from rollover.ledger.receipts import ArchiveReceipt, ExportReceipt, Written
from rollover.ledger.results import AnyResult, Approval, Erased, ResetVerified, Step
from rollover.run import Run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class ExportedFile(ExportReceipt):
    """A file of a report that was exported before the deletion."""

    rows: int
    written_at: datetime
    removed_at: datetime | None


@dataclass(frozen=True)
class ArchivedFile(ArchiveReceipt):
    """An archived file; `expired_at` is when it was erased after its retention, if it was."""

    read_back_at: datetime
    expired_at: datetime | None = None


@dataclass(frozen=True)
class SchoolStanding:
    """A school's subscriptions, as the plan found them, and whether one was in force on the reset date."""

    school_id: str
    in_force: bool
    subscriptions: list[dict[str, str]]


@dataclass(frozen=True)
class TableCounts:
    """The rows of a table before, archived, erased, deleted and remaining; None if no step recorded it."""

    table: str
    data_class: str
    before: int
    archived: int
    erased: int
    deleted: int | None
    remaining: int | None


@dataclass(frozen=True)
class Disposal:
    """One plan that was run, and what its steps recorded.

    `lines` are those by which rows went; `stayed` those that the next plan took, if this one was ended in between.
    `remaining` is how many rows the next step that looked again found, by table.
    """

    number: int
    frozen_at: datetime
    lines: list[Line]
    stayed: list[Line]
    held: list[Line]
    subscriptions: list[SchoolStanding]
    exports: list[ExportedFile]
    archives: list[ArchivedFile]
    approval: Approval
    erased: Erased
    verified: ResetVerified | None
    remaining: Mapping[str, int]
    erased_at: datetime

    def rows(self, table: str, *actions: PlanAction) -> int:
        """The rows of a table that the plan takes by some of its actions."""
        return sum(line.rows for line in self.lines if line.table_name == table and line.action in actions)

    @property
    def tables(self) -> list[TableCounts]:
        return [
            TableCounts(
                table=name,
                data_class=metadata.tables[name].info["data_class"],
                before=self.rows(name, PlanAction.ARCHIVE, PlanAction.ERASE),
                archived=self.rows(name, PlanAction.ARCHIVE),
                erased=self.rows(name, PlanAction.ERASE),
                deleted=self.erased.deleted.get(name),
                remaining=self.remaining.get(name),
            )
            for name in sorted({line.table_name for line in self.lines})
        ]

    @property
    def files(self) -> list[Written]:
        """The files of the plan that must still exist."""
        exported = [file for file in self.exports if file.removed_at is None]
        return [*exported, *(file for file in self.archives if file.expired_at is None)]


def disposals(connection: Connection, run: Run) -> list[Disposal]:
    """The plans that were run, in order. A plan that was frozen again before its erase disposed of nothing."""
    numbers = select(steps.c.plan_no).where(steps.c.rollover_id == run.id, steps.c.step == Step.ERASE)
    done: list[Disposal] = []
    remaining: Mapping[str, int] = {}
    for number in connection.scalars(numbers.order_by(steps.c.plan_no.desc())).all():
        disposal = _disposal(connection, run, number, remaining)
        remaining = disposal.remaining
        done.insert(0, disposal)
    return done


def _disposal(connection: Connection, run: Run, number: int, later: Mapping[str, int]) -> Disposal:
    """One plan. `later` is what the plan after it left: if rows came late, only the verification of the plan that took
    them passed, and it counted for both."""

    def rows(table: Table, columns: Iterable[str], *order: str) -> list[dict[str, Any]]:
        query = select(*[table.c[name] for name in columns])
        mine = query.where(table.c.rollover_id == run.id, table.c.plan_no == number)
        return [dict(row) for row in connection.execute(mine.order_by(*[table.c[name] for name in order])).mappings()]

    lines = [line_of(row) for row in rows(plan_lines, _names(Line), "school_id", "table_name")]
    over = disposal_plans.expired(connection, run.school_year.key)
    others = stayed(connection, run, number)
    results = {row["step"]: row for row in rows(steps, ("step", "result", "finished_at"))}
    erased_at = results[Step.ERASE]["finished_at"]
    verified = _result(run, ResetVerified, results)
    approval, erased = _result(run, Approval, results), _result(run, Erased, results)
    assert approval is not None and erased is not None  # the erase requires the approval
    goes = [line for line in lines if line.action in GOES]
    exported = [ExportedFile(**row) for row in rows(exports, _names(ExportedFile), "report")]
    archived_columns = [name for name in _names(ArchivedFile) if name != "expired_at"]
    archived = [ArchivedFile(**row) for row in rows(archives, archived_columns, "school_id", "table_name")]
    return Disposal(
        number=number,
        frozen_at=rows(plans, ("frozen_at",))[0]["frozen_at"],
        lines=[line for line in goes if (line.school_id, line.table_name) not in others],
        stayed=[line for line in goes if (line.school_id, line.table_name) in others],
        held=[line for line in lines if line.action == PlanAction.HOLD],
        subscriptions=[SchoolStanding(**row) for row in rows(plan_subscriptions, _names(SchoolStanding), "school_id")],
        # What is reported about the new roster is written later, and of no row that went.
        exports=[file for file in exported if file.written_at < erased_at],
        archives=[_with_its_end(file, over) for file in archived if (file.school_id, file.table_name) not in others],
        approval=approval,
        erased=erased,
        verified=verified,
        remaining=verified.remaining if verified else later,
        erased_at=erased_at,
    )


def _names(kind: type[DataclassInstance]) -> list[str]:
    return [field.name for field in fields(kind)]


def _result(run: Run, kind: type[AnyResult], results: Mapping[str, dict[str, Any]]) -> AnyResult | None:
    return rollovers.parsed(run, kind, results[kind.step]["result"]) if kind.step in results else None


def _with_its_end(file: ArchivedFile, over: DisposalPlan | None) -> ArchivedFile:
    """An archived file, with the time at which it expired."""
    if over is None or over.done_at is None or file.read_back_at >= over.done_at:
        return file
    return replace(file, expired_at=over.done_at)

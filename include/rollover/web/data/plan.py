"""Collects what a plan does with which rows, and why; without a frozen plan, what one would say now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from rollover.config import Product
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import plan_lines, plans
from rollover.ledger.plans import GOES, Line, PlanAction
from rollover.run import Run
from rollover.yearend import plan as planning
from rollover.yearend.plan_page import SHOWN_IN_ORDER

TOUCHED = (*GOES, PlanAction.HOLD)
HEADER = ("school id", "school", "data class", "action", "rows", "bytes", "why")


@dataclass(frozen=True)
class SchoolRow:
    """One school's rows of one data class with one action."""

    school_id: str
    school: str
    data_class: str
    action: PlanAction
    why: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class ClassRow:
    """A data class with one action, over all schools; `rule` is the sentence of the product file."""

    data_class: str
    action: PlanAction
    rule: str
    schools: int
    rows: int
    bytes: int
    why: tuple[str, ...]


@dataclass(frozen=True)
class SchoolPlan:
    """What happens to one school's rows. `going` is the number that leave the live database."""

    school_id: str
    school: str
    lines: tuple[SchoolRow, ...]

    @property
    def by_action(self) -> Mapping[PlanAction, int]:
        return _by_action(self.lines)

    @property
    def touched(self) -> tuple[SchoolRow, ...]:
        """The lines of rows that go, or that would go without a hold."""
        return tuple(line for line in self.lines if line.action in TOUCHED)

    @property
    def stays(self) -> Mapping[PlanAction, int]:
        """The other rows by what happens to them: they are reset or kept."""
        return {action: rows for action, rows in self.by_action.items() if action not in TOUCHED}

    @property
    def going(self) -> int:
        return sum(self.by_action.get(action, 0) for action in GOES)


@dataclass(frozen=True)
class PlanView:
    """A plan, or what one would say now: then it has no number, hash or time."""

    number: int | None
    plan_hash: str | None
    frozen_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None
    warnings: tuple[str, ...]
    lines: tuple[SchoolRow, ...]
    classes: tuple[ClassRow, ...]

    @property
    def by_action(self) -> Mapping[PlanAction, int]:
        """The rows by what happens to them."""
        return _by_action(self.lines)

    @property
    def schools(self) -> list[SchoolPlan]:
        """The schools, those first that lose most rows for good."""
        of_school: dict[str, list[SchoolRow]] = {}
        for line in self.lines:
            of_school.setdefault(line.school_id, []).append(line)
        found = [SchoolPlan(school_id, rows[0].school, tuple(rows)) for school_id, rows in of_school.items()]
        return sorted(found, key=lambda each: (-each.by_action.get(PlanAction.ERASE, 0), -each.going, each.school))


def frozen(connection: Connection, rollover_id: str, product: Product) -> PlanView | None:
    """The plan in force of a rollover; None if there is none yet."""
    head = plans.c
    newest = select(head.plan_no, head.plan_hash, head.frozen_at, head.approved_by, head.approved_at, head.warnings)
    query = newest.where(head.rollover_id == rollover_id).order_by(head.plan_no.desc()).limit(1)
    plan = connection.execute(query).one_or_none()
    if plan is None:
        return None
    lines = _lines(connection, rollover_id, plan.plan_no)
    return PlanView(
        plan.plan_no,
        plan.plan_hash,
        plan.frozen_at,
        plan.approved_by,
        plan.approved_at,
        tuple(plan.warnings),
        lines,
        _classes(lines, product),
    )


def draft(connection: Connection, run: Run) -> PlanView:
    """What a plan would say now. It reads every row of the year, so it takes as long as the year is large.

    Raises Refused if no plan could be frozen now, which says why and what to do.
    """
    current = planning.current_school_year(connection) == run.school_year.key
    names = planning.school_names(connection)
    found = [_row(names, line) for line in planning.draft(connection, run, current=current)]
    lines = _in_order(_added(found))
    notes = planning.warnings(connection, run)
    return PlanView(None, None, None, None, None, tuple(notes), lines, _classes(lines, run.product))


def table(plan: PlanView) -> Iterable[tuple[Any, ...]]:
    """The rows of a plan for a CSV file with `HEADER`. They are numbers and name no person."""
    for line in plan.lines:
        yield (line.school_id, line.school, line.data_class, line.action.value, line.rows, line.bytes, line.why)


def _lines(connection: Connection, rollover_id: str, plan_no: int) -> tuple[SchoolRow, ...]:
    row = plan_lines.c
    key = (row.school_id, row.data_class, row.action, row.reason)
    query = (
        select(*key, func.sum(row.rows).label("rows"), func.sum(row.bytes).label("bytes"), func.max(schools.c.name))
        .outerjoin(schools, schools.c.school_id == row.school_id)
        .where(row.rollover_id == rollover_id, row.plan_no == plan_no)
        .group_by(*key)
    )
    found = (
        SchoolRow(school_id, name or school_id, data_class, PlanAction(action), why, int(rows), int(size))
        for school_id, data_class, action, why, rows, size, name in connection.execute(query)
    )
    return _in_order(found)


def _row(names: Mapping[str, str], line: Line) -> SchoolRow:
    name = names.get(line.school_id, line.school_id)
    return SchoolRow(line.school_id, name, line.data_class, line.action, line.reason, line.rows, line.bytes)


def _added(lines: Iterable[SchoolRow]) -> Iterable[SchoolRow]:
    """The tables of a data class added up."""
    sums: dict[SchoolRow, Counter[str]] = {}
    for line in lines:
        key = SchoolRow(line.school_id, line.school, line.data_class, line.action, line.why, 0, 0)
        sums.setdefault(key, Counter()).update(rows=line.rows, bytes=line.bytes)
    for key, size in sums.items():
        yield SchoolRow(key.school_id, key.school, key.data_class, key.action, key.why, size["rows"], size["bytes"])


def _in_order(lines: Iterable[SchoolRow]) -> tuple[SchoolRow, ...]:
    def rank(line: SchoolRow) -> tuple[Any, ...]:
        return SHOWN_IN_ORDER.index(line.action), line.school, line.school_id, line.data_class, line.why

    return tuple(sorted(lines, key=rank))


def _classes(lines: Iterable[SchoolRow], product: Product) -> tuple[ClassRow, ...]:
    grouped: dict[tuple[PlanAction, str], list[SchoolRow]] = {}
    for line in lines:
        grouped.setdefault((line.action, line.data_class), []).append(line)
    found = [
        ClassRow(
            data_class=name,
            action=action,
            rule=product.data_classes[name].source if name in product.data_classes else "",
            schools=len({row.school_id for row in rows}),
            rows=sum(row.rows for row in rows),
            bytes=sum(row.bytes for row in rows),
            why=tuple(sorted({row.why for row in rows})),
        )
        for (action, name), rows in grouped.items()
    ]
    return tuple(sorted(found, key=lambda row: (SHOWN_IN_ORDER.index(row.action), -row.rows, row.data_class)))


def _by_action(lines: Iterable[SchoolRow]) -> Mapping[PlanAction, int]:
    counted = Counter[PlanAction]()
    for line in lines:
        counted[line.action] += line.rows
    return counted

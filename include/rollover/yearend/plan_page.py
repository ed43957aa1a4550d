"""Writes a plan as a person reads it before approving. The words are in ``texts/plan.md.j2``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rollover.ledger.plans import Line, PlanAction
from rollover.run import Run
from rollover.texts import render
from rollover.yearend.subscription import AGAIN

SHOWN_IN_ORDER = (PlanAction.ERASE, PlanAction.ARCHIVE, PlanAction.HOLD, PlanAction.RESET, PlanAction.KEEP)


@dataclass
class Entry:
    """One row of the plan's table: what happens to a school's rows of a data class, and why."""

    school: str
    data_class: str
    action: PlanAction
    reason: str
    rows: int = 0
    bytes: int = 0


def question(run: Run, rows: Mapping[str, int]) -> str:
    """The question about a plan in one line: who, which year, and what goes. `rows` are by action."""
    return render(
        "plan_question.txt.j2",
        district=run.district.name,
        product=run.product.label,
        school_year=str(run.school_year),
        erased=rows.get(PlanAction.ERASE, 0),
        archived=rows.get(PlanAction.ARCHIVE, 0),
    )


def markdown(names: Mapping[str, str], lines: list[Line], warnings: list[str], gaps: Mapping[str, int]) -> str:
    """The plan: one row per school and data class, what goes first.

    `names` are those of the schools, by id; `gaps` has the rows of each school whose subscription has a gap.
    """
    return render(
        "plan.md.j2",
        gaps=[{"school": names[school], "rows": rows, "since": _since(lines, school)} for school, rows in gaps.items()],
        erased=_rows(lines, PlanAction.ERASE),
        archived=_rows(lines, PlanAction.ARCHIVE),
        held=_rows(lines, PlanAction.HOLD),
        warnings=warnings,
        entries=_entries(names, lines),
    )


def _entries(names: Mapping[str, str], lines: Iterable[Line]) -> list[Entry]:
    """Add up the lines of each school and data class: its tables are not shown one by one."""
    entries: dict[tuple[str, str, PlanAction, str], Entry] = {}
    for line in sorted(lines, key=lambda line: (SHOWN_IN_ORDER.index(line.action), line)):
        key = (line.school_id, line.data_class, line.action, line.reason)
        entry = entries.setdefault(key, Entry(names[line.school_id], line.data_class, line.action, line.reason))
        entry.rows += line.rows
        entry.bytes += line.bytes
    return list(entries.values())


def _since(lines: Iterable[Line], school_id: str) -> str:
    """Since when a school has a subscription again."""
    why = next(line.reason for line in lines if line.school_id == school_id and AGAIN in line.reason)
    return why.split(AGAIN)[1].split(":")[0].strip()


def _rows(lines: Iterable[Line], action: str) -> int:
    return sum(line.rows for line in lines if line.action == action)

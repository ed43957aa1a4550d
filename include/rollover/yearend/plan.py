"""The plan: per school and table what will happen to which rows, why, and how many. Frozen before anything goes.

Law 1: nothing is erased that is not in a frozen plan. Law 3: a school that the directory does not know, or a
subscription that is not certain, stops the plan.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import time, timedelta
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from rollover.calendar import reset_instant
from rollover.config import Action, DataClassRule
from rollover.database.checksums import RowsChecksum, checksums_by_school
from rollover.database.tables import hero, product_tables
from rollover.database.tables.base import is_activity
from rollover.database.tables.directory import schools, tenants
from rollover.database.tables.ledger import plan_lines, plan_subscriptions, plans
from rollover.errors import Refused
from rollover.ledger import holds, rollovers
from rollover.ledger.plans import FrozenPlan, Line, PlanAction, holds_current_state, in_force
from rollover.ledger.results import Planned, Step
from rollover.run import Run
from rollover.yearend import plan_page
from rollover.yearend.subscription import AGAIN, Standing, standings

log = logging.getLogger(__name__)


def freeze(connection: Connection, run: Run) -> FrozenPlan:
    """Freeze the plan, or the next one if the data changed since the last; returns the plan in force.

    The same data gives the same hash, so planning again without a change keeps the plan in force. A plan after an
    erase holds the rows that came late; a plan that was run is never run again. Nor is one that a
    person rejected: the next plan may say the same, but it is asked about as a plan of its own.
    """
    lines, known = _draft(connection, run, current=holds_current_state(connection, run))
    digest = plan_hash(lines)
    number = rollovers.plan_number(connection, run)
    if number and _stays_in_force(connection, run, digest):
        return in_force(connection, run)
    key = {"tenant_id": run.tenant.id, "rollover_id": run.id, "plan_no": number + 1}
    connection.execute(insert(plans).values(**key, plan_hash=digest, warnings=warnings(connection, run)))
    if lines:
        connection.execute(insert(plan_lines), [{**key, **asdict(line)} for line in lines])
    if known:  # if all rows are held, no school's subscription decides
        connection.execute(insert(plan_subscriptions), [{**key, **standing.as_record()} for standing in known])
    return in_force(connection, run)


def _stays_in_force(connection: Connection, run: Run, digest: str) -> bool:
    plan = in_force(connection, run)
    return (
        not rollovers.is_done(connection, run, Step.ERASE)
        and rollovers.rejection(connection, run, plan.number) is None
        and plan.plan_hash == digest
    )


def needs_approval(plan: FrozenPlan) -> bool:
    """Whether a person must approve.

    Nobody is asked about a past year's plan that removes nothing. In the current year a person is asked even then,
    whatever the product file says: it may be the wrong database.
    """
    if not plan.going:
        return plan.rollover.is_current
    return plan.run.product.approval_required or bool(schools_with_a_gap(plan.lines))


def schools_with_a_gap(lines: Iterable[Line]) -> dict[str, int]:
    """The schools whose rows are erased for a subscription that was not active on the reset date and is again now, with
    the number of rows. A person has to confirm each by its name."""
    rows: dict[str, int] = {}
    for line in lines:
        if line.action == PlanAction.ERASE and AGAIN in line.reason:
            rows[line.school_id] = rows.get(line.school_id, 0) + line.rows
    return rows


def confirmations(connection: Connection, lines: Iterable[Line]) -> list[str]:
    """What an approval has to choose besides Approve, a sentence for each school with a gap."""
    names = school_names(connection)
    return [f"Erase {' '.join(names[school].split())} ({school})" for school in sorted(schools_with_a_gap(lines))]


def school_names(connection: Connection) -> dict[str, str]:
    """The names of the district's schools, by id."""
    return {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}


def draft(connection: Connection, run: Run, *, current: bool) -> list[Line]:
    """What a plan would say now. Changes nothing.

    A past year's plan holds the rows of that year only; the current year's also the tenant's current state.
    """
    return _draft(connection, run, current=current)[0]


def _draft(connection: Connection, run: Run, *, current: bool, sizes: bool = True) -> tuple[list[Line], list[Standing]]:
    """Draw up the lines, and the subscription standing of each school that decides one."""

    def look(table: Table, held: bool | None) -> Mapping[str, RowsChecksum]:
        return checksums_by_school(connection, table, run.school_year.key, held=held, sizes=sizes)

    tables = [
        table
        for table in product_tables(run.product.product)
        if _rule(run, table).action is not Action.FOLLOW_ROSTER and (current or is_activity(table))
    ]
    found = {table: look(table, _held_filter(run, table)) for table in tables}
    known = standings(connection, run, {school_id for by_school in found.values() for school_id in by_school})
    lines = held_lines(connection, run, tables)
    for table, by_school in found.items():
        _refuse_unknown_schools(run, table, by_school, known)
        for school_id, checksum in by_school.items():
            action, reason = _decide(_rule(run, table).action, known[school_id])
            lines.append(_line(table, school_id, action, reason, checksum))
    return sorted(lines), [known[school_id] for school_id in sorted(known)]


def held_lines(connection: Connection, run: Run, tables: Iterable[Table]) -> list[Line]:
    """The lines of rows that stay because a hold is on them. Rows that are kept anyway are left out."""
    why = "; ".join(str(hold) for hold in holds.in_force(connection))
    if not why:
        return []
    return [
        _line(table, school_id, PlanAction.HOLD, why, checksum)
        for table in tables
        if _held_filter(run, table) is not None
        for school_id, checksum in checksums_by_school(
            connection, table, run.school_year.key, held=True, sizes=True
        ).items()
    ]


def _held_filter(run: Run, table: Table) -> bool | None:
    """Which rows of a table its rule applies to: all of a kept table (None), else those without a hold (False)."""
    return None if _rule(run, table).action is Action.KEEP else False


def _line(table: Table, school_id: str, action: PlanAction, reason: str, found: RowsChecksum) -> Line:
    data_class = table.info["data_class"]
    return Line(school_id, data_class, table.fullname, action, reason, found.rows, found.checksum, found.bytes)


def still_holds(connection: Connection, plan: FrozenPlan, left: list[Line]) -> bool:
    """Whether a plan drawn up now would be the one in force, of which the lines `left` are still to be run:
    the same rows, subscriptions and holds."""
    now, _ = _draft(connection, plan.run, current=plan.holds_current_state, sizes=False)
    return plan_hash(now) == plan_hash([*left, *plan.lines_of(PlanAction.HOLD)])


def plan_hash(lines: Iterable[Line]) -> str:
    """SHA-256 over the lines by which rows go. The reason counts too: another subscription is another plan, and so is
    another hold.

    When the source was read may differ between two readings of the same subscription, so it does not count. Nor do
    the rows that are kept, held or reset: people go on working with them. Bytes are those of a disk.
    """
    content = [_what_goes(line) for line in sorted(lines) if line.action in (PlanAction.ARCHIVE, PlanAction.ERASE)]
    content += [
        {"school_id": line.school_id, "table_name": line.table_name, "held": line.reason}
        for line in sorted(lines)
        if line.action == PlanAction.HOLD
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _what_goes(line: Line) -> dict[str, Any]:
    said = {**asdict(line), "checksum": str(line.checksum), "reason": re.sub(r", read [^)]*", "", line.reason)}
    del said["bytes"]
    return said


def summary(connection: Connection, plan: FrozenPlan) -> Planned:
    """The plan for the approval, the log and the evidence. Numbers and school names only."""
    rows = Counter[str]()
    for line in sorted(plan.lines):
        rows[line.action] += line.rows
    log.info("plan %s of %s: %s", plan.number, plan.run.id, ", ".join(f"{name} {n} rows" for name, n in rows.items()))
    return Planned(
        plan_no=plan.number,
        plan_hash=plan.plan_hash,
        rows=rows,
        warnings=list(plan.warnings),
        approval_required=needs_approval(plan),
        confirmations=confirmations(connection, plan.lines),
        question=plan_page.question(plan.run, rows),
        markdown=markdown(connection, plan.lines, plan.warnings),
    )


def markdown(connection: Connection, lines: Iterable[Line], notes: Iterable[str]) -> str:
    """The plan as a person reads it before approving."""
    lines = list(lines)
    return plan_page.markdown(school_names(connection), lines, list(notes), schools_with_a_gap(lines))


def warnings(connection: Connection, run: Run) -> list[str]:
    """What may have altered the year's history: codes or settings changed after the school year ended."""
    if run.product.product != "hero" or run.school_year.key != current_school_year(connection):
        return []
    if run.facts.ends is None:
        return [f"The district file does not say when {run.school_year} ended: whether codes changed since is unknown."]
    over = reset_instant(run.facts.ends + timedelta(days=1), time(0), run.district.time_zone)
    notes = []
    for table in (hero.behavior_codes, hero.action_settings):
        changed = connection.scalar(select(func.count()).where(table.c.updated_at >= over))
        if changed:
            notes.append(
                f"{changed} {table.name.replace('_', ' ')} changed after the school year ended on {run.facts.ends}; "
                "records of the year may read differently. The archive binds them as they are now."
            )
    return notes


def current_school_year(connection: Connection) -> str | None:
    """The session's tenant's current school year, as the directory has it."""
    return connection.scalar(select(tenants.c.current_school_year))


def _rule(run: Run, table: Table) -> DataClassRule:
    return run.product.data_classes[table.info["data_class"]]


def _decide(action: Action, standing: Standing) -> tuple[PlanAction, str]:
    match action:
        case Action.ARCHIVE_OR_ERASE:
            return (PlanAction.ARCHIVE if standing.active else PlanAction.ERASE), f"subscription {standing.reason}"
        case Action.ERASE:
            return PlanAction.ERASE, "erased whatever the subscription"
        case Action.RESET:
            return PlanAction.RESET, "starts again each school year"
        case _:
            return PlanAction.KEEP, "kept from year to year"


def _refuse_unknown_schools(run: Run, table: Table, found: Iterable[str], known: dict[str, Standing]) -> None:
    unknown = sorted(set(found) - known.keys())
    if unknown:
        raise Refused(
            f"{table.fullname} holds rows of {run.tenant} in schools that the directory does not know: "
            f"{', '.join(unknown[:5])}{' and more' if len(unknown) > 5 else ''}.",
            "add the school to the directory, or correct the rows, then clear this task.",
        )

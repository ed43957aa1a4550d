"""Collects each school's subscription: as the plan went by it, and as the directory has it now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, select

from rollover.database.tables.directory import schools, subscriptions
from rollover.database.tables.ledger import plan_subscriptions
from rollover.errors import SubscriptionUnclear
from rollover.run import Run
from rollover.yearend.subscription import Subscription, standing_of


@dataclass(frozen=True)
class SchoolSubscription:
    """A school's subscription. `in_force` says whether it covers the reset date; None: that is not certain, and
    `why` says what is wrong. `was_frozen` if the plan in force went by it."""

    school_id: str
    school: str
    in_force: bool | None
    why: str
    known: tuple[Subscription, ...]
    was_frozen: bool
    has_changed: bool
    """Whether the directory has another subscription now than the plan went by."""


def by_school(connection: Connection, run: Run, plan_no: int | None) -> list[SchoolSubscription]:
    """The subscriptions of a rollover's schools, those first that are not certain or not in force.

    Without a plan, all schools of the directory that ever subscribed to the product.
    """
    now = _in_directory(connection, run.product.product)
    frozen = _in_plan(connection, run.id, plan_no) if plan_no is not None else {}
    names = {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}
    found = []
    for school_id in frozen or now:
        name = names.get(school_id, school_id)
        if school_id in frozen:
            in_force, known = frozen[school_id]
            changed = _said(known) != _said(now.get(school_id, []))
            found.append(SchoolSubscription(school_id, name, in_force, "", tuple(known), True, changed))
        else:
            found.append(_as_of_now(run, school_id, name, now[school_id]))
    rank = {None: 0, False: 1, True: 2}
    return sorted(found, key=lambda each: (rank[each.in_force], each.school, each.school_id))


def _as_of_now(run: Run, school_id: str, name: str, known: list[Subscription]) -> SchoolSubscription:
    try:
        standing = standing_of(run, school_id, known)
    except SubscriptionUnclear as error:
        return SchoolSubscription(school_id, name, None, error.reason, tuple(known), False, False)
    return SchoolSubscription(school_id, name, standing.active, "", tuple(known), False, False)


def _in_directory(connection: Connection, product: str) -> dict[str, list[Subscription]]:
    columns = [subscriptions.c[name] for name in Subscription.__dataclass_fields__]
    query = select(*columns).where(subscriptions.c.product == product).order_by(subscriptions.c.starts_on)
    found: dict[str, list[Subscription]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.school_id].append(Subscription(*row))
    return found


def _in_plan(connection: Connection, rollover_id: str, plan_no: int) -> dict[str, tuple[bool, list[Subscription]]]:
    row = plan_subscriptions.c
    query = select(row.school_id, row.in_force, row.subscriptions).where(
        row.rollover_id == rollover_id, row.plan_no == plan_no
    )
    return {
        found.school_id: (found.in_force, [_from_json(found.school_id, said) for said in found.subscriptions])
        for found in connection.execute(query)
    }


def _from_json(school_id: str, said: dict[str, Any]) -> Subscription:
    return Subscription(
        school_id=school_id,
        state=said["state"],
        starts_on=date.fromisoformat(said["starts_on"]),
        ends_on=date.fromisoformat(said["ends_on"]),
        source=said["source"],
        read_at=datetime.fromisoformat(said["read_at"]),
    )


def _said(known: Iterable[Subscription]) -> set[tuple[str, date, date]]:
    """What counts of subscriptions: not when they were read, nor from where."""
    return {(each.state, each.starts_on, each.ends_on) for each in known}

"""Whether a school's right to a product covers the reset date. Unknown, stale or contradictory means no answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from rollover.calendar import utc_minute
from rollover.config.problems import nearest
from rollover.database.tables.directory import schools, subscriptions
from rollover.errors import SubscriptionUnclear
from rollover.run import Run

ACTIVE, ENDED, CANCELLED = "active", "ended", "cancelled"
STATES = (ACTIVE, ENDED, CANCELLED)
"""What a source may say, as of when it was read. One that has ended was in force from its first day to its last."""
CLOCKS_DIFFER = timedelta(minutes=5)
REMEDY = "correct it at its source, wait for the directory to be read again, then clear this task."


AGAIN = "active again since"
"""In the reason of a plan's line: its school has a gap on the reset date, and a subscription again."""


@dataclass(frozen=True)
class Subscription:
    """One row of the directory: from-to (both inclusive), as its source said it."""

    school_id: str
    state: str
    starts_on: date
    ends_on: date
    source: str
    read_at: datetime

    def covers(self, day: date) -> bool:
        return self.starts_on <= day <= self.ends_on

    def as_json(self) -> dict[str, str]:
        return {
            "state": self.state,
            "starts_on": self.starts_on.isoformat(),
            "ends_on": self.ends_on.isoformat(),
            "source": self.source,
            "read_at": self.read_at.isoformat(),
        }

    def __str__(self) -> str:
        return (
            f"{self.state} {self.starts_on} to {self.ends_on} (source {self.source}, read {utc_minute(self.read_at)})"
        )


@dataclass(frozen=True)
class Standing:
    """A school's subscription as of the reset date, and the sentence that proves it."""

    school_id: str
    active: bool
    reason: str
    subscriptions: tuple[Subscription, ...]

    def as_record(self) -> dict[str, Any]:
        """As the ledger keeps it, beside the plan that went by it."""
        return {
            "school_id": self.school_id,
            "in_force": self.active,
            "subscriptions": [subscription.as_json() for subscription in self.subscriptions],
        }


def standings(connection: Connection, run: Run, school_ids: Collection[str]) -> dict[str, Standing]:
    """The standing of some schools as of the reset date; schools that the directory does not know are absent.

    Raises SubscriptionUnclear if a school's is not certain: erasing by a guess cannot be undone.
    """
    rows = connection.execute(
        select(subscriptions).where(
            subscriptions.c.product == run.product.product, subscriptions.c.school_id.in_(school_ids)
        )
    ).mappings()
    of_school: dict[str, list[Subscription]] = defaultdict(list)
    for row in rows:
        fields = {name: row[name] for name in Subscription.__dataclass_fields__}
        of_school[row["school_id"]].append(Subscription(**fields))
    known = select(schools.c.school_id).where(schools.c.school_id.in_(school_ids)).order_by(schools.c.school_id)
    return {school_id: standing_of(run, school_id, of_school[school_id]) for school_id in connection.scalars(known)}


def standing_of(run: Run, school_id: str, known: list[Subscription]) -> Standing:
    """The standing of one school, of which the directory has the subscriptions `known`. Raises SubscriptionUnclear."""
    day, where = run.reset_date, f"school {school_id} of {run.tenant}"
    if not known:
        raise SubscriptionUnclear(f"Nothing is known about the subscription of {where}.", REMEDY)
    for subscription in known:
        if subscription.state not in STATES:
            meant = nearest(subscription.state, STATES)
            hint = f" (did it mean '{meant}'?)" if meant else ""
            raise SubscriptionUnclear(
                f"The subscription of {where} has the unknown state '{subscription.state}'{hint}; "
                f"known are {', '.join(STATES)}.",
                REMEDY,
            )
        _refuse_contradiction(subscription, where)
        age = run.now - subscription.read_at
        if age < -CLOCKS_DIFFER:
            raise SubscriptionUnclear(
                f"The subscription of {where} was read in the future, at {subscription.read_at}.", REMEDY
            )
        if age > timedelta(days=run.product.subscription_max_age_days):
            raise SubscriptionUnclear(f"The subscription of {where} was last read {age.days} days ago.", REMEDY)
    covering = [subscription for subscription in known if subscription.covers(day)]
    if any(subscription.state == CANCELLED for subscription in covering):
        raise SubscriptionUnclear(
            f"A subscription of {where} is cancelled, but its from-to covers {day}: {_listed(covering)}. "
            "Whether it was in force on that day is not known.",
            REMEDY,
        )
    lapsed = [s for s in known if s.state == ACTIVE and s.ends_on < s.read_at.date()]
    if lapsed and not covering:
        raise SubscriptionUnclear(
            f"A subscription of {where} is active, but over since before it was read: {_listed(lapsed)}.", REMEDY
        )
    verdict = f"active on {day}" if covering else f"not active on {day}{_again(run, known)}"
    return Standing(school_id, bool(covering), f"{verdict}: {_listed(covering or known)}", tuple(known))


def _again(run: Run, known: list[Subscription]) -> str:
    """Say that a school has a subscription now but had none on the reset date, which may be a mistake; else nothing."""
    today = run.now.astimezone(ZoneInfo(run.district.time_zone)).date()
    since = [s.starts_on for s in known if s.state == ACTIVE and s.covers(today) and s.starts_on > run.reset_date]
    return f", {AGAIN} {min(since)}" if since else ""


def _refuse_contradiction(subscription: Subscription, where: str) -> None:
    """Refuse a state, which holds as of the reading, that contradicts the dates."""
    if subscription.ends_on < subscription.starts_on:
        raise SubscriptionUnclear(f"A subscription of {where} ends before it starts: {subscription}.", REMEDY)
    if subscription.state == ENDED and subscription.ends_on > subscription.read_at.date():
        raise SubscriptionUnclear(f"A subscription of {where} has ended, but runs on: {subscription}.", REMEDY)


def _listed(subscriptions: list[Subscription]) -> str:
    return "; ".join(str(subscription) for subscription in subscriptions)

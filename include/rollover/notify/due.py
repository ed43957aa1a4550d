"""Decides which notices are due: from the season, what was sent before, and the clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from rollover.calendar import reset_instant
from rollover.config import Catalog
from rollover.ledger.notices import Key
from rollover.notify.addresses import Addresses
from rollover.notify.kinds import DAYS_BEFORE, Kind, Role, roles_of
from rollover.season.deadlines import Alarm
from rollover.season.facts import FailureFacts
from rollover.season.phases import NOT_BEGUN, Phase
from rollover.season.state import TenantState

MORNING = time(8)
"""A notice about a reset date is due at this time of the district's day: nobody reads mail at midnight."""
NEWS = timedelta(days=14)
"""What happened longer ago is not news. So the first run on an old ledger mails nobody about past years."""


@dataclass(frozen=True)
class Event:
    """Something to notify people of. `reset_date` is the date that follows from silence, if one does."""

    kind: Kind
    about: str
    reset_date: date | None = None
    failure: FailureFacts | None = None


@dataclass(frozen=True)
class Notice:
    """One notice: an event, to one role, through one channel."""

    state: TenantState
    event: Event
    role: Role
    channel: str

    @property
    def key(self) -> Key:
        return Key(self.state.tenant.id, self.event.kind, self.event.about, self.role, self.channel)


def due(
    states: Iterable[TenantState], known: Mapping[Key, bool], catalog: Catalog, addresses: Addresses, now: datetime
) -> list[Notice]:
    """The notices that are due as of `now`, each once; `known` says of those in the ledger whether they were sent."""
    return [each for each in candidates(states, catalog, addresses, now) if not known.get(each.key, False)]


def outdated(candidates: Iterable[Notice], known: Mapping[Key, bool]) -> list[Key]:
    """The notices of the ledger that were never sent, and are no longer true."""
    wanted = {each.key for each in candidates}
    return sorted(key for key, is_sent in known.items() if not is_sent and key not in wanted)


def candidates(states: Iterable[TenantState], catalog: Catalog, addresses: Addresses, now: datetime) -> list[Notice]:
    """All notices that are true as of `now`, whether sent or not. A tenant's years may say the same: it is due once."""
    found: dict[Key, Notice] = {}
    for state in states:
        district = catalog.districts[state.tenant.district]
        for event in events(state, district.time_zone, now):
            waits_for = event.failure.waits_for if event.failure else state.waits_for
            for role, channel in addresses.ways(district, roles_of(event.kind, waits_for)):
                notice = Notice(state, event, role, channel)
                found.setdefault(notice.key, notice)
    return list(found.values())


def events(state: TenantState, time_zone: str, now: datetime) -> Iterator[Event]:
    """What people should know about a tenant's school year as of `now`."""
    yield from _reset(state, time_zone, now)
    yield from _rollover(state, now)
    yield from _rosters(state, now)


def _reset(state: TenantState, time_zone: str, now: datetime) -> Iterator[Event]:
    """Of the notices before a reset only the newest: a district that is added late does not get all at once."""
    dates = state.dates
    is_coming = state.phase in NOT_BEGUN and dates.is_active and now < dates.reset_at
    if not is_coming or state.school_year != state.facts.current_school_year:
        return
    for kind in sorted(DAYS_BEFORE, key=lambda kind: DAYS_BEFORE[kind]):
        if now >= reset_instant(dates.reset_date - timedelta(days=DAYS_BEFORE[kind]), MORNING, time_zone):
            yield Event(kind, dates.reset_date.isoformat(), dates.reset_date)
            return


def _rollover(state: TenantState, now: datetime) -> Iterator[Event]:
    facts, year = state.facts, state.school_year
    if state.phase is Phase.CERTIFIED and facts.certificate and now - facts.certificate.issued_at < NEWS:
        yield Event(Kind.CERTIFIED, f"{year} plan {facts.certificate.plan_no}")
    if state.phase is Phase.WAITING_FOR_APPROVAL and facts.plan:
        yield Event(Kind.APPROVAL_WAITING, f"{year} plan {facts.plan.plan_no}")
    if facts.failure is not None and state.phase is not Phase.CERTIFIED:
        yield _failed(f"{year} ", facts.failure)


def _rosters(state: TenantState, now: datetime) -> Iterator[Event]:
    facts, alarms = state.facts, state.alarms
    if Alarm.FILES_MISSING in alarms:
        yield Event(Kind.FILES_MISSING, f"{state.school_year} school begins {state.dates.new_year_begins}")
    is_rejected = Alarm.DROP_REJECTED in alarms or Alarm.FILES_NOT_READ in alarms
    if is_rejected and facts.newest_drop and now - facts.newest_drop.changed_at < NEWS:
        yield Event(Kind.ROSTER_REJECTED, facts.newest_drop.import_id)
    is_in_review = state.phase is Phase.ROSTER_IN_REVIEW or {Alarm.ROSTER_IN_REVIEW, Alarm.REVIEW_OVERDUE} & {*alarms}
    if is_in_review and facts.in_review is not None:
        yield from (Event(Kind.ROSTER_IN_REVIEW, import_id) for import_id in facts.in_review.import_ids)
    if Alarm.IMPORT_FAILED in alarms and facts.import_failure is not None:
        yield _failed("import ", facts.import_failure)


def _failed(what: str, failure: FailureFacts) -> Event:
    """A step that fails again after somebody has worked on it is news again."""
    return Event(Kind.STEP_FAILED, f"{what}{failure.step} {failure.failed_at:%Y-%m-%dT%H:%M:%SZ}", failure=failure)

"""Finds what is late or wrong with a tenant besides its phase. The absence of something is an alarm, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from rollover.calendar import SchoolYear, reset_day, reset_instant
from rollover.config import District, Product
from rollover.config.models import YearDates
from rollover.roster.imports import ImportState
from rollover.season.facts import Facts
from rollover.season.phases import NOT_BEGUN, STOPPED, Phase, Standing, WaitsFor
from rollover.tenant import Tenant

GRACE = timedelta(days=1)
"""A run may begin this long after the reset date before it counts as missing."""


class Severity(StrEnum):
    """How serious a state is."""

    FINE = "fine"
    ATTENTION = "attention"  # somebody has to do something, and has time
    LATE = "late"
    WRONG = "wrong"  # nothing goes on until somebody acts

    @property
    def rank(self) -> int:
        """For sorting: the higher, the more serious."""
        return RANKS[self]


RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class Alarm(StrEnum):
    """What is late or wrong besides the phase itself. The sentence of each is in ``texts/alarm.txt.j2``."""

    RESET_DATE_PASSED = "reset_date_passed"
    APPROVAL_OVERDUE = "approval_overdue"
    REVIEW_OVERDUE = "review_overdue"
    FILES_MISSING = "files_missing"
    DROP_REJECTED = "drop_rejected"
    ROSTER_IN_REVIEW = "roster_in_review"
    IMPORT_FAILED = "import_failed"
    FILES_NOT_READ = "files_not_read"
    PAUSE_TOO_LONG = "pause_too_long"
    DAG_PAUSED = "dag_paused"
    DAG_MISSING = "dag_missing"
    NOTICE_NOT_SENT = "notice_not_sent"

    @property
    def severity(self) -> Severity:
        return SEVERITIES.get(self, Severity.LATE)


SEVERITIES = {
    Alarm.DROP_REJECTED: Severity.ATTENTION,
    Alarm.ROSTER_IN_REVIEW: Severity.ATTENTION,
    Alarm.FILES_NOT_READ: Severity.ATTENTION,
    Alarm.NOTICE_NOT_SENT: Severity.ATTENTION,
    Alarm.IMPORT_FAILED: Severity.WRONG,
    Alarm.DAG_MISSING: Severity.WRONG,
}
"""Of the alarms that do not mean that something is late."""


@dataclass(frozen=True)
class Dates:
    """What the district file and the product file say about the dates of a tenant's school year."""

    reset_date: date
    reset_at: datetime
    is_own_date: bool
    new_year_begins: date | None
    """The first school day of the following year."""
    files_due: date | None
    """The day by which the new year's files should be there."""
    approval_days: int
    review_days: int
    pause_max_days: int
    exports_kept_days: int
    is_active: bool
    """Whether the tenant uses the product in this year."""

    @classmethod
    def of(cls, tenant: Tenant, school_year: str, district: District, product: Product) -> Dates:
        """The dates of a tenant's school year."""
        year, config, deadlines = SchoolYear.parse(school_year), district.uses(tenant.product), product.deadlines
        facts = district.facts(tenant.product, year)
        day = reset_day(product.reset_rule, tenant.district, year, facts)
        begins = district.school_years.get(year.next, YearDates()).first_day
        return cls(
            reset_date=day,
            reset_at=reset_instant(day, product.dates.reset_time, district.time_zone),
            is_own_date=facts.own_reset_date is not None,
            new_year_begins=begins,
            files_due=begins and begins - timedelta(days=deadlines.files_missing_days),
            approval_days=deadlines.approval_days,
            review_days=deadlines.review_days,
            pause_max_days=product.pause_max_days_of(config),
            exports_kept_days=product.exports_kept_days_of(config),
            is_active=config.last_school_year is None or year <= config.last_school_year,
        )

    def next_of(self, standing: Standing) -> tuple[date | None, str | None]:
        """The next date of a year that is where `standing` says, and why that date; None if there is none."""
        phase, since = standing.phase, standing.since
        if phase in NOT_BEGUN:
            why = "own reset date" if self.is_own_date else "default reset date"
            return (self.reset_date, why) if self.is_active else (None, None)
        if phase is Phase.WAITING_FOR_APPROVAL and since is not None:
            return _day(since, self.approval_days), "the plan should be approved or rejected"
        if phase is Phase.ROSTER_IN_REVIEW and since is not None:
            return _day(since, self.review_days), "the new roster should be decided about"
        if phase is Phase.WAITING_FOR_ROSTER and self.files_due is not None:
            return self.files_due, "the new year's files should be there"
        if phase is Phase.CERTIFIED and since is not None:
            return _day(since, self.exports_kept_days), "its exports are removed"
        return None, None


@dataclass(frozen=True)
class TimedAlarm:
    """An alarm, and from when on and until when it holds while the facts stay the same. None: whatever the time is."""

    alarm: Alarm
    begins: datetime | None = None
    ends: datetime | None = None

    def holds_at(self, now: datetime) -> bool:
        return (self.begins is None or now >= self.begins) and (self.ends is None or now < self.ends)


def alarms(standing: Standing, facts: Facts, dates: Dates, school_year: str) -> Iterator[TimedAlarm]:
    """What is late or wrong besides the phase itself, or will be if nothing happens."""
    yield from _of_year(standing, facts, dates)
    if school_year == facts.current_school_year or standing.phase not in {*NOT_BEGUN, Phase.CERTIFIED}:
        yield from _of_tenant(standing, facts, dates)


def _of_year(standing: Standing, facts: Facts, dates: Dates) -> Iterator[TimedAlarm]:
    phase, since = standing.phase, standing.since
    if phase in NOT_BEGUN and dates.is_active:
        yield TimedAlarm(Alarm.RESET_DATE_PASSED, dates.reset_at + GRACE)
    if phase is Phase.WAITING_FOR_APPROVAL and since:
        yield TimedAlarm(Alarm.APPROVAL_OVERDUE, since + timedelta(days=dates.approval_days))
    waits_for_files = phase is Phase.WAITING_FOR_ROSTER and standing.waits_for is WaitsFor.DISTRICT_IT
    if waits_for_files and dates.files_due is not None:
        yield TimedAlarm(Alarm.FILES_MISSING, datetime.combine(dates.files_due, time(), UTC))
    if facts.notices is not None and facts.notices.failed:
        yield TimedAlarm(Alarm.NOTICE_NOT_SENT)


def _of_tenant(standing: Standing, facts: Facts, dates: Dates) -> Iterator[TimedAlarm]:
    yield from _of_imports(standing, facts, dates)
    if facts.pause is not None:
        yield TimedAlarm(Alarm.PAUSE_TOO_LONG, facts.pause.since + timedelta(days=dates.pause_max_days))
    if facts.dag is not None and facts.dag.state != "on" and dates.is_active:
        yield TimedAlarm(Alarm.DAG_PAUSED if facts.dag.state == "paused" else Alarm.DAG_MISSING)


def _of_imports(standing: Standing, facts: Facts, dates: Dates) -> Iterator[TimedAlarm]:
    newest, review = facts.newest_drop, facts.in_review
    if facts.import_failure is not None:
        yield TimedAlarm(Alarm.IMPORT_FAILED)
    if review is not None:
        overdue = review.since + timedelta(days=dates.review_days)
        yield TimedAlarm(Alarm.REVIEW_OVERDUE, overdue)
        if standing.phase is not Phase.ROSTER_IN_REVIEW:
            yield TimedAlarm(Alarm.ROSTER_IN_REVIEW, ends=overdue)
    if newest is not None and newest.state is ImportState.REJECTED:
        is_unread = facts.unread is not None and facts.unread.found_at == newest.found_at
        yield TimedAlarm(Alarm.FILES_NOT_READ if is_unread else Alarm.DROP_REJECTED)


def severity_of(standing: Standing, found: tuple[Alarm, ...]) -> Severity:
    """How serious a phase with its alarms is."""
    own = Severity.FINE
    if standing.waits_for is not WaitsFor.NOBODY or standing.phase is Phase.HELD:
        own = Severity.ATTENTION
    if standing.phase in STOPPED:
        own = Severity.WRONG
    return max((own, *(alarm.severity for alarm in found)), key=lambda severity: severity.rank)


def _day(since: datetime, days: int) -> date:
    return (since.astimezone(UTC) + timedelta(days=days)).date()

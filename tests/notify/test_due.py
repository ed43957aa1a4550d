"""Which notices are due: a function of the season, the ledger, the district files and the clock."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from rollover.config import Catalog
from rollover.lint import load_catalog
from rollover.notify.addresses import CHAT, MAIL, Addresses
from rollover.notify.due import NEWS, candidates, due, events, outdated
from rollover.notify.kinds import DAYS_BEFORE, ROLES, Kind, Role, roles_of
from rollover.season.phases import Phase
from rollover.season.state import TenantState
from rollover.settings import HOME
from tests.notify.conftest import CONTACTS
from tests.season.test_state_texts import ALARMS, AT, DROP, FAILURE, NEW_ROSTER, NOW, PHASES, RESET, state_with
from tests.support.small_district import PRODUCTS, district

LOS_ANGELES = "America/Los_Angeles"
RESET_DATE = date(2026, 7, 8)
REVIEWED = {"imports": 2, "since": AT, "import_ids": ("hero__riverside-ca__a", "hero__riverside-ca__b")}
CASES: dict[Kind, tuple[dict[str, Any], list[str]]] = {
    Kind.CERTIFIED: (PHASES[Phase.CERTIFIED][0], ["2025-26 plan 1"]),
    Kind.FILES_MISSING: (RESET, ["2025-26 school begins 2026-08-01"]),
    Kind.ROSTER_REJECTED: (
        {**RESET, "new_roster": {**NEW_ROSTER, "state": "staged"}, "newest_drop": DROP},
        [DROP["import_id"]],
    ),
    Kind.ROSTER_IN_REVIEW: (
        {**PHASES[Phase.ROSTER_IN_REVIEW][0], "in_review": REVIEWED},
        ["hero__riverside-ca__a", "hero__riverside-ca__b"],
    ),
    Kind.APPROVAL_WAITING: (PHASES[Phase.WAITING_FOR_APPROVAL][0], ["2025-26 plan 1"]),
    Kind.STEP_FAILED: (PHASES[Phase.REFUSED][0], ["2025-26 archive 2026-07-09T15:00:00Z"]),
}


def catalog(**more: Any) -> Catalog:
    products = load_catalog(PRODUCTS / "none", PRODUCTS).products
    return Catalog({"riverside-ca": district(**more)}, products, ())


def before_reset(day: date = RESET_DATE, **facts: Any) -> TenantState:
    """Riverside before its reset on `day`."""
    state = state_with(facts)
    moved = replace(state.dates, reset_date=day, reset_at=datetime(day.year, day.month, day.day, 8, tzinfo=UTC))
    return replace(state, dates=moved, next_date=day)


def kind_at(now: datetime, day: date = RESET_DATE) -> Kind | None:
    found = list(events(before_reset(day), LOS_ANGELES, now))
    assert len(found) <= 1
    return found[0].kind if found else None


@pytest.mark.parametrize("kind", CASES)
def test_each_state_has_its_notice(kind: Kind) -> None:
    facts, abouts = CASES[kind]
    found = list(events(state_with(facts), LOS_ANGELES, NOW))
    assert [(each.kind, each.about) for each in found] == [(kind, about) for about in abouts]


def test_every_kind_has_roles_a_text_and_a_test() -> None:
    assert set(ROLES) == set(Kind) == {*CASES, *DAYS_BEFORE}
    for kind in Kind:
        assert (HOME / "include" / "rollover" / "texts" / kind.template).exists()


def test_the_page_has_the_same_rules() -> None:
    page = (HOME / "docs" / "notices.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", page, re.MULTILINE))
    assert rows == {kind.value: ", ".join(role.label for role in roles) for kind, roles in ROLES.items()}


@pytest.mark.parametrize("alarm", ALARMS)
def test_no_alarm_makes_a_notice_that_is_not_meant(alarm: Any) -> None:
    """Of a state before the reset date only the reset is notified."""
    kinds = {each.kind for each in events(state_with(ALARMS[alarm]), LOS_ANGELES, NOW)}
    meant = {
        "approval_overdue": {Kind.APPROVAL_WAITING},
        "files_missing": {Kind.FILES_MISSING},
        "drop_rejected": {Kind.ROSTER_REJECTED, Kind.FILES_MISSING},
        "files_not_read": {Kind.ROSTER_REJECTED, Kind.FILES_MISSING},
        "import_failed": {Kind.STEP_FAILED, Kind.FILES_MISSING},
        "pause_too_long": {Kind.FILES_MISSING},
        "review_overdue": {Kind.FILES_MISSING},
        "roster_in_review": {Kind.FILES_MISSING},
    }
    assert kinds == meant.get(alarm.value, set())


def test_before_a_reset_only_the_newest_notice_is_due() -> None:
    """In the morning of the district's day, each hour of two months."""
    seen: list[tuple[Kind | None, datetime]] = []
    hour = datetime(2026, 6, 1, tzinfo=UTC)
    while hour < datetime(2026, 7, 20, tzinfo=UTC):
        kind = kind_at(hour)
        if not seen or seen[-1][0] is not kind:
            seen.append((kind, hour))
        hour += timedelta(hours=1)
    assert seen == [
        (None, datetime(2026, 6, 1, tzinfo=UTC)),
        (Kind.RESET_IN_4_WEEKS, datetime(2026, 6, 10, 15, tzinfo=UTC)),
        (Kind.RESET_IN_2_WEEKS, datetime(2026, 6, 24, 15, tzinfo=UTC)),
        (Kind.RESET_IN_1_WEEK, datetime(2026, 7, 1, 15, tzinfo=UTC)),
        (Kind.RESET_IN_1_DAY, datetime(2026, 7, 7, 15, tzinfo=UTC)),
        (None, datetime(2026, 7, 8, 8, tzinfo=UTC)),
    ]


def test_a_district_that_is_added_late_gets_one_notice() -> None:
    assert kind_at(datetime(2026, 6, 28, tzinfo=UTC)) is Kind.RESET_IN_2_WEEKS


def test_no_notice_before_the_reset_of_a_year_in_which_the_product_is_not_used() -> None:
    state = before_reset()
    unused = replace(state, dates=replace(state.dates, is_active=False))
    other = replace(state, school_year="2026-27")
    for each in (unused, other):
        assert not list(events(each, LOS_ANGELES, datetime(2026, 7, 2, tzinfo=UTC)))


def test_what_was_sent_is_not_due_and_a_moved_date_is() -> None:
    now, known, addresses = datetime(2026, 7, 2, tzinfo=UTC), catalog(contacts=CONTACTS), Addresses()
    first = due([before_reset()], {}, known, addresses, now)
    assert [(each.event.kind, each.role) for each in first] == [
        (Kind.RESET_IN_1_WEEK, Role.DISTRICT_IT),
        (Kind.RESET_IN_1_WEEK, Role.CUSTOMER_SUCCESS),
    ]
    assert {each.event.reset_date for each in first} == {RESET_DATE}
    sent = {each.key: True for each in first}
    assert due([before_reset()], sent, known, addresses, now) == []
    assert due([before_reset()], dict.fromkeys(sent, False), known, addresses, now) == first
    later = RESET_DATE + timedelta(days=7)
    moved = due([before_reset(later)], sent, known, addresses, now)
    assert {(each.event.kind, each.event.about) for each in moved} == {(Kind.RESET_IN_2_WEEKS, "2026-07-15")}


def test_what_could_not_be_sent_and_is_no_longer_true_is_outdated() -> None:
    now, known = datetime(2026, 7, 2, tzinfo=UTC), catalog(contacts=CONTACTS)
    found = candidates([before_reset()], known, Addresses(), now)
    keys = [each.key for each in found]
    assert outdated(found, dict.fromkeys(keys, False)) == []
    assert outdated([], {keys[0]: False, keys[1]: True}) == [keys[0]]


def test_years_of_a_tenant_that_say_the_same_are_one_notice() -> None:
    rejected = state_with({**RESET, "new_roster": {**NEW_ROSTER, "state": "staged"}, "newest_drop": DROP})
    both = [rejected, replace(rejected, school_year="2026-27")]
    keys = [each.key for each in candidates(both, catalog(contacts=CONTACTS), Addresses(), NOW)]
    assert len(keys) == len(set(keys)) == len(ROLES[Kind.ROSTER_REJECTED])


@pytest.mark.parametrize("kind", [Kind.CERTIFIED, Kind.ROSTER_REJECTED])
def test_what_happened_long_ago_is_not_news(kind: Kind) -> None:
    state = state_with(CASES[kind][0])
    assert [each.kind for each in events(state, LOS_ANGELES, AT + NEWS - timedelta(seconds=1))] == [kind]
    assert [each.kind for each in events(state, LOS_ANGELES, AT + NEWS)] == []


def test_a_district_without_a_contact_is_not_skipped_in_silence() -> None:
    now = datetime(2026, 7, 2, tzinfo=UTC)
    team = Addresses(team={"customer_success": ("success@vendor.example",)})
    found = due([before_reset()], {}, catalog(), team, now)
    assert [(each.role, len(team.of(district(), each.role))) for each in found] == [
        (Role.DISTRICT_IT, 0),
        (Role.CUSTOMER_SUCCESS, 1),
    ]
    waiting = state_with(PHASES[Phase.WAITING_FOR_APPROVAL][0])
    assert due([waiting], {}, catalog(), Addresses(), NOW) == []


def test_the_contacts_of_a_district_file_come_before_the_setting() -> None:
    team = Addresses(team={"data_engineer": ("data@vendor.example",), "district_it": ("wrong@vendor.example",)})
    own = district(contacts=CONTACTS)
    assert [each.email for each in team.of(own, Role.DATA_ENGINEER)] == ["data-engineer@riverside.example"]
    assert [each.email for each in team.of(district(), Role.DATA_ENGINEER)] == ["data@vendor.example"]
    assert team.of(district(), Role.DISTRICT_IT) == ()


def test_a_chat_is_for_our_own_roles_only() -> None:
    everyone = Addresses(mail=False, chat=frozenset(Role))
    found = due([state_with(CASES[Kind.CERTIFIED][0])], {}, catalog(contacts=CONTACTS), everyone, NOW)
    assert [(each.role, each.channel) for each in found] == [
        (Role.CUSTOMER_SUCCESS, CHAT),
        (Role.DATA_ENGINEER, CHAT),
    ]
    both = replace(everyone, mail=True)
    found = due([state_with(CASES[Kind.APPROVAL_WAITING][0])], {}, catalog(contacts=CONTACTS), both, NOW)
    assert [each.channel for each in found] == [MAIL, CHAT]


def test_a_failure_goes_to_who_has_to_act() -> None:
    assert roles_of(Kind.STEP_FAILED, "data_engineer") == (Role.DATA_ENGINEER,)
    assert roles_of(Kind.STEP_FAILED, "customer_success") == (Role.CUSTOMER_SUCCESS, Role.DATA_ENGINEER)
    again = {**FAILURE, "failed_at": AT + timedelta(hours=1)}
    first, second = (state_with({**PHASES[Phase.REFUSED][0], "failure": each}) for each in (FAILURE, again))
    abouts = {next(events(each, LOS_ANGELES, NOW)).about for each in (first, second)}
    assert len(abouts) == 2

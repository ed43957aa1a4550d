"""School years and reset dates, for every year, district and zone that hypothesis can think of."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollover.calendar import (
    JULY,
    MonthDay,
    ResetRule,
    SchoolYear,
    YearFacts,
    begins_on,
    date_problems,
    reset_day,
    reset_instant,
    utc_minute,
    year_of_day,
    years_after,
)

HERO = ResetRule(MonthDay(7, 1), MonthDay(7, 15), None, False, time(1))
IMAGINE = ResetRule(MonthDay(7, 28), MonthDay(7, 28), MonthDay(6, 19), True, time(1))
YEAR = SchoolYear.parse("2025-26")

years = st.integers(1990, 2150).map(SchoolYear)
districts = st.from_regex(r"[a-z]{3,12}-[a-z]{2}", fullmatch=True)
zones = st.sampled_from(
    ["America/Chicago", "America/Phoenix", "Pacific/Honolulu", "Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe"]
)


@given(years)
def test_a_school_year_reads_as_it_is_written(year: SchoolYear) -> None:
    assert SchoolYear.parse(year.key) == year
    assert year.next.previous == year < year.next
    assert (
        year.starts_on
        + timedelta(days=365 + ((year.last_year % 4 == 0 and year.last_year % 100 != 0) or year.last_year % 400 == 0))
        == year.next.starts_on
    )


@pytest.mark.parametrize("key", ["2025", "2025-27", "25-26", "2025/26", "2025-2026", "", "2025-26 ", "１２３４-35"])
def test_anything_else_is_no_school_year(key: str) -> None:
    with pytest.raises(ValueError, match="is not a school year"):
        SchoolYear.parse(key)


def test_the_turn_of_a_century() -> None:
    assert SchoolYear.parse("1999-00").last_year == 2000
    assert SchoolYear.ending_in(2026) == YEAR


@given(districts, years)
def test_hero_resets_on_a_weekday_of_its_window(district: str, year: SchoolYear) -> None:
    day = reset_day(HERO, district, year, YearFacts())
    assert date(year.last_year, 7, 1) <= day <= date(year.last_year, 7, 15)
    assert day.weekday() < 5
    assert day == reset_day(HERO, district, year, YearFacts())


def test_hero_spreads_its_districts_over_the_window() -> None:
    days = [reset_day(HERO, f"district-{n}", YEAR, YearFacts()) for n in range(1100)]
    counts = {day: days.count(day) for day in days}
    assert len(counts) == 11
    assert all(60 < count < 140 for count in counts.values())


@given(districts, years)
def test_imagine_resets_on_july_28_whatever_the_weekday(district: str, year: SchoolYear) -> None:
    assert reset_day(IMAGINE, district, year, YearFacts()) == date(year.last_year, 7, 28)


@given(st.dates(date(2026, 5, 1), date(2026, 9, 30)), st.dates(date(2026, 5, 1), date(2026, 9, 30)))
def test_imagine_waits_for_school_and_summer_session(ends: date, summer: date) -> None:
    day = reset_day(IMAGINE, "x", YEAR, YearFacts(ends=ends, summer_session_ends=summer))
    assert day == max(date(2026, 7, 28), max(ends, summer) + timedelta(days=1))


def test_hero_does_not_wait_for_a_summer_session_but_for_the_school_year() -> None:
    default = reset_day(HERO, "x", YEAR, YearFacts())
    assert reset_day(HERO, "x", YEAR, YearFacts(summer_session_ends=date(2026, 8, 1))) == default
    assert reset_day(HERO, "x", YEAR, YearFacts(ends=date(2026, 7, 20))) == date(2026, 7, 21)


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_an_own_date_is_a_promise(own: date) -> None:
    assert reset_day(IMAGINE, "x", YEAR, YearFacts(ends=date(2026, 6, 5), own_reset_date=own)) == own


@pytest.mark.parametrize(
    ("rule", "facts", "what"),
    [
        (IMAGINE, YearFacts(own_reset_date=date(2026, 6, 18)), "before 2026-06-19"),
        (IMAGINE, YearFacts(own_reset_date=date(2025, 7, 20)), "is not in 2026"),
        (IMAGINE, YearFacts(own_reset_date=date(2026, 7, 1), ends=date(2026, 7, 1)), "last day of the school year"),
        (
            IMAGINE,
            YearFacts(own_reset_date=date(2026, 7, 1), summer_session_ends=date(2026, 7, 24)),
            "last day of the summer session",
        ),
        (
            IMAGINE,
            YearFacts(own_reset_date=date(2026, 8, 3), rostering_begins=date(2026, 8, 3)),
            "when rostering of 2026-27 begins",
        ),
        (IMAGINE, YearFacts(rostering_begins=date(2026, 7, 27)), "agree on an earlier own date"),
        (HERO, YearFacts(own_reset_date=date(2026, 6, 1), ends=date(2026, 6, 5)), "last day of the school year"),
        (HERO, YearFacts(ends=date(2025, 6, 5)), "is not in 2026"),
        (HERO, YearFacts(ends=date(2026, 6, 5), summer_session_ends=date(2026, 6, 1)), "before the school year does"),
    ],
)
def test_a_date_that_breaks_a_rule_is_named(rule: ResetRule, facts: YearFacts, what: str) -> None:
    assert any(what in message for _, message in date_problems(rule, "x", YEAR, facts))


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        (HERO, YearFacts()),
        (HERO, YearFacts(own_reset_date=date(2026, 6, 8), ends=date(2026, 6, 5))),
        (HERO, YearFacts(own_reset_date=date(2026, 8, 20))),
        (IMAGINE, YearFacts(own_reset_date=date(2026, 6, 19), rostering_begins=date(2026, 6, 20))),
        (IMAGINE, YearFacts(date(2026, 6, 5), date(2026, 8, 5), date(2026, 8, 7))),
    ],
)
def test_dates_that_keep_the_rules_pass(rule: ResetRule, facts: YearFacts) -> None:
    assert list(date_problems(rule, "x", YEAR, facts)) == []


@given(st.dates(date(1990, 1, 1), date(2150, 1, 1)), st.times(), zones)
def test_an_instant_is_the_local_time_or_the_first_after_a_gap(day: date, at: time, zone: str) -> None:
    at = at.replace(microsecond=0, tzinfo=None, fold=0)
    instant = reset_instant(day, at, zone)
    local = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    wanted = datetime.combine(day, at)
    assert local == wanted or timedelta() < local - wanted <= timedelta(hours=1)


def test_daylight_saving_on_the_day() -> None:
    assert reset_instant(date(2026, 3, 8), time(2, 30), "America/Chicago").isoformat() == "2026-03-08T08:30:00+00:00"
    assert reset_instant(date(2026, 11, 1), time(1, 30), "America/Chicago").isoformat() == "2026-11-01T06:30:00+00:00"
    assert reset_instant(date(2026, 7, 28), time(1), "America/Chicago").isoformat() == "2026-07-28T06:00:00+00:00"
    assert reset_instant(date(2026, 7, 28), time(1), "America/Phoenix").isoformat() == "2026-07-28T08:00:00+00:00"


@pytest.mark.parametrize(
    ("begins", "first", "last"),
    [
        (JULY, date(2025, 7, 1), date(2026, 6, 30)),
        (MonthDay(4, 1), date(2025, 4, 1), date(2026, 3, 31)),
        (MonthDay(1, 1), date(2026, 1, 1), date(2026, 12, 31)),
    ],
)
def test_a_school_year_is_named_by_the_year_in_which_it_ends(begins: MonthDay, first: date, last: date) -> None:
    assert begins_on(YEAR, begins) == first and begins_on(YEAR.next, begins) == last + timedelta(days=1)
    assert year_of_day(first, begins) == year_of_day(last, begins) == YEAR
    assert year_of_day(first - timedelta(days=1), begins) == YEAR.previous


@pytest.mark.parametrize(
    ("day", "years", "then"),
    [
        (date(2026, 7, 3), 5, date(2031, 7, 3)),
        (date(2028, 2, 29), 4, date(2032, 2, 29)),
        (date(2028, 2, 29), 1, date(2029, 3, 1)),
        (date(2026, 12, 31), 7, date(2033, 12, 31)),
    ],
)
def test_years_later_it_is_the_same_day(day: date, years: int, then: date) -> None:
    assert years_after(day, years) == then


def test_a_time_is_written_in_utc_to_the_minute() -> None:
    assert utc_minute(datetime(2026, 7, 1, 23, 59, 59, tzinfo=ZoneInfo("America/Chicago"))) == "2026-07-02 04:59 UTC"

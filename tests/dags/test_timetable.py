"""The schedule: every school year once, oldest first, on its own date, whatever happened meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.exceptions import AirflowTimetableInvalid, InvalidPartitionKeyError
from airflow.sdk import Asset
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import TimeRestriction
from airflow.utils.types import DagRunType
from hypothesis import given
from hypothesis import strategies as st

from rollover.calendar import MonthDay, ResetRule, SchoolYear, YearFacts, reset_day
from school_year_timetable import SchoolYearTimetable
from tenant_timetable import TenantTimetable

HERO = ResetRule(MonthDay(7, 1), MonthDay(7, 15), None, False, time(18))
IMAGINE = ResetRule(MonthDay(7, 28), MonthDay(7, 28), MonthDay(6, 19), True, time(3, 30))
ZONES = (
    "America/Chicago",
    "America/Los_Angeles",
    "Pacific/Honolulu",
    "UTC",
    "Pacific/Auckland",
    "Asia/Kolkata",
)
ANY_TIME = TimeRestriction(earliest=None, latest=None, catchup=False)
AFTER_EVERYTHING = pendulum.datetime(2100, 1, 1)

years = st.integers(1990, 2060).map(SchoolYear)


@st.composite
def facts(draw: st.DrawFn) -> dict[SchoolYear, YearFacts]:
    chosen = draw(st.lists(years, max_size=4, unique=True))
    day = st.none() | st.dates(date(1991, 6, 19), date(2061, 8, 31))
    return {year: draw(st.builds(YearFacts, day, day, day, day)) for year in chosen}


@st.composite
def timetables(draw: st.DrawFn, *, own_dates: bool = True) -> SchoolYearTimetable:
    first = draw(years)
    return SchoolYearTimetable(
        rule=draw(st.sampled_from((HERO, IMAGINE))),
        district=draw(st.from_regex(r"[a-z]{1,8}(-[a-z]{2})?", fullmatch=True)),
        time_zone=draw(st.sampled_from(ZONES)),
        first_school_year=first,
        last_school_year=draw(st.none() | st.integers(0, 9).map(lambda n: SchoolYear(first.first_year + n))),
        facts=draw(facts()) if own_dates else None,
    )


def timetable(**changes: object) -> SchoolYearTimetable:
    arguments = {
        "rule": HERO,
        "district": "springfield-il",
        "time_zone": "America/Chicago",
        "first_school_year": SchoolYear(2023),
    }
    return SchoolYearTimetable(**(arguments | changes))


def due_keys(schedule: SchoolYearTimetable, from_date: str, to_date: str, now: pendulum.DateTime) -> list[str]:
    first, last = (
        schedule.localize_partition_datetime(pendulum.parse(bound, tz="UTC")) for bound in (from_date, to_date)
    )
    return [run.partition_key for run in schedule._due_runs(first, last, now)]


@given(timetables())
def test_nothing_is_lost_on_the_way_to_the_scheduler(schedule: SchoolYearTimetable) -> None:
    arrived = SchoolYearTimetable.deserialize(json.loads(json.dumps(schedule.serialize())))
    assert vars(arrived) == vars(schedule)
    assert arrived.summary == schedule.summary


def test_airflow_finds_the_registered_timetable() -> None:
    schedule = timetable(facts={SchoolYear(2025): YearFacts(own_reset_date=date(2026, 7, 20))})
    arrived = decode_timetable(encode_timetable(schedule))
    assert type(arrived).__name__ == "SchoolYearTimetable"
    assert arrived.serialize() == schedule.serialize()


@given(timetables(), st.booleans(), st.none() | st.datetimes(timezones=st.just(UTC)))
def test_every_year_runs_once_and_in_order(
    schedule: SchoolYearTimetable, catchup: bool, earliest: datetime | None
) -> None:
    """Whatever start date or catchup the DAG has: neither hides a year that came due meanwhile."""
    restriction = TimeRestriction(earliest and pendulum.instance(earliest), None, catchup)
    info, keys = None, []
    for _ in range(12):
        info = schedule.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        if info is None:
            break
        keys.append(info.partition_key)
    count = (
        (schedule.last_school_year.first_year - schedule.first_school_year.first_year + 1)
        if (schedule.last_school_year)
        else 12
    )
    assert keys == [SchoolYear(schedule.first_school_year.first_year + n).key for n in range(count)]


@given(timetables(), years)
def test_a_run_starts_on_the_local_reset_day_and_its_key_decodes_to_its_year(
    schedule: SchoolYearTimetable, year: SchoolYear
) -> None:
    run, zone = schedule.run_of(year), ZoneInfo(schedule.time_zone)
    expected = reset_day(schedule.rule, schedule.district, year, schedule.facts.get(year, YearFacts()))
    assert run.run_after.astimezone(zone).date() == expected
    assert run.run_after.utcoffset() == timedelta(0)
    assert run.partition_date.astimezone(zone) == datetime(year.first_year, 7, 1, tzinfo=zone)
    assert schedule.resolve_partition_date(run.partition_key) == run.partition_date
    assert run.data_interval is None


@given(timetables(own_dates=False), years, st.integers(0, 6))
def test_backfill_bounds_are_school_years_in_every_time_zone(
    schedule: SchoolYearTimetable, first: SchoolYear, more: int
) -> None:
    last = SchoolYear(first.first_year + more)
    expected = [SchoolYear(year) for year in range(first.first_year, last.first_year + 1)]
    assert due_keys(schedule, str(first.starts_on), str(last.starts_on), AFTER_EVERYTHING) == [
        year.key for year in expected if schedule.last_school_year is None or year <= schedule.last_school_year
    ]
    day_after, day_before = first.starts_on + timedelta(days=1), first.next.starts_on - timedelta(days=1)
    assert due_keys(schedule, str(day_after), str(day_before), AFTER_EVERYTHING) == []


def test_a_year_that_is_not_over_cannot_be_backfilled() -> None:
    schedule = timetable(rule=IMAGINE)
    bounds = ("2023-07-01", "2025-07-01")
    due = schedule.due(SchoolYear(2024))
    assert due == pendulum.datetime(2025, 7, 28, 8, 30)
    assert due_keys(schedule, *bounds, due.subtract(seconds=1)) == ["2023-24"]
    assert due_keys(schedule, *bounds, due) == ["2023-24", "2024-25"]


def test_airflow_asks_for_backfills_by_these_bounds() -> None:
    runs = timetable().iter_partition_dagrun_infos(
        earliest=pendulum.datetime(2019, 7, 1), latest=pendulum.datetime(2021, 7, 1)
    )
    assert [run.partition_key for run in runs] == ["2019-20", "2020-21", "2021-22"]


def test_a_backfill_of_older_years_does_not_bring_the_schedule_back() -> None:
    schedule = timetable()
    old = schedule.run_of(SchoolYear(2019))
    following = schedule.next_dagrun_info_v2(last_dagrun_info=old, restriction=ANY_TIME)
    assert following.partition_key == "2023-24"


def test_a_moved_date_moves_the_run() -> None:
    year = SchoolYear(2023)
    moved = timetable(facts={year: YearFacts(own_reset_date=date(2024, 8, 2))})
    run = moved.next_dagrun_info_v2(last_dagrun_info=None, restriction=ANY_TIME)
    assert (run.partition_key, run.run_after) == ("2023-24", pendulum.datetime(2024, 8, 2, 23))
    assert timetable().due(year) < run.run_after


def test_an_end_date_of_the_dag_is_respected() -> None:
    end = TimeRestriction(earliest=None, latest=pendulum.datetime(2024, 6, 1), catchup=True)
    assert timetable().next_dagrun_info_v2(last_dagrun_info=None, restriction=end) is None


@pytest.mark.parametrize("key", ["2025", "2025-27", "2025-2026", "spring", "2025-26 ", "", None])
def test_a_key_that_is_no_school_year_is_refused(key: str | None) -> None:
    with pytest.raises(InvalidPartitionKeyError, match="is not a school year like '2025-26'"):
        timetable().resolve_partition_date(key)


def test_a_year_backfilled_twice_gets_two_run_ids_that_name_it() -> None:
    schedule = timetable()
    run = schedule.run_of(SchoolYear(2023))
    ids = {
        schedule.generate_run_id(
            run_type=DagRunType.BACKFILL_JOB,
            run_after=run.run_after,
            data_interval=None,
            partition_key=run.partition_key,
        )
        for _ in range(2)
    }
    assert len(ids) == 2
    assert all(run_id.startswith("backfill__2023-24__") for run_id in ids)


def test_the_list_of_dags_shows_the_rule() -> None:
    own = {SchoolYear(2025): YearFacts(own_reset_date=date(2026, 7, 20)), SchoolYear(2024): YearFacts()}
    assert timetable(facts=own).summary == "yearly, Jul 1 to Jul 15, 1 own"
    assert timetable(rule=IMAGINE).summary == "yearly, Jul 28"
    assert timetable().description == "On the reset date of every school year from 2023-24, America/Chicago"


def test_a_contract_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(AirflowTimetableInvalid, match="2022-23 is before the first, 2023-24"):
        timetable(last_school_year=SchoolYear(2022)).validate()


@pytest.mark.parametrize("key", [None, "", "hero", "hero__", "2025-26"])
def test_an_import_without_a_tenant_is_refused(key: str | None) -> None:
    """As Airflow's scheduler and API have it: read back from the serialized DAG."""
    schedule = decode_timetable(encode_timetable(TenantTimetable(assets=Asset("drops"))))
    assert type(schedule).__name__ == TenantTimetable.__name__  # loaded once more, as a plugin
    assert schedule.resolve_partition_date("hero__springfield-il") is None
    with pytest.raises(InvalidPartitionKeyError, match="is not a tenant id like 'hero__springfield-il'"):
        schedule.resolve_partition_date(key)

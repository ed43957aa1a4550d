"""A schedule of one run per school year, on the tenant's own reset date.

The partition key is the school year (``2025-26``), the partition date its first day, and the run is due at
the reset instant that `rollover.calendar` computes. Everything the schedule needs travels with the serialized
DAG, so the scheduler reads no district file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Self

import pendulum
from airflow.exceptions import AirflowTimetableInvalid, InvalidPartitionKeyError
from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from airflow.utils.strings import get_random_string

from rollover.calendar import MonthDay, ResetRule, SchoolYear, YearFacts, reset_day, reset_instant

if TYPE_CHECKING:
    from rollover.config import District, Product


class SchoolYearTimetable(Timetable):
    """One run per school year, from `first_school_year` to `last_school_year`, oldest first, none left out.

    A year that came due while Airflow was down or the DAG paused is run when it is back, however late:
    erasing what must be erased does not lapse. So ``catchup`` and ``start_date`` of the DAG do not matter.
    Earlier years run by backfill, and a year that is not over cannot be backfilled.

    `facts` holds what the district says about single years; the others follow the product's `rule`.
    """

    partitioned = True
    periodic = True  # or Airflow refuses to backfill
    can_be_scheduled = True
    active_runs_limit = 1
    run_ordering = ("partition_date", "run_after")

    def __init__(
        self,
        *,
        rule: ResetRule,
        district: str,
        time_zone: str,
        first_school_year: SchoolYear,
        last_school_year: SchoolYear | None = None,
        facts: Mapping[SchoolYear, YearFacts] | None = None,
    ) -> None:
        self.rule = rule
        self.district = district
        self.time_zone = time_zone
        self.first_school_year = first_school_year
        self.last_school_year = last_school_year
        self.facts = dict(sorted((facts or {}).items()))
        until = f" until {last_school_year}" if last_school_year else ""
        self.description = f"On the reset date of every school year from {first_school_year}{until}, {time_zone}"

    @classmethod
    def of(cls, district: District, product: Product) -> Self:
        """The schedule of one tenant, as its district and product files say it."""
        config = district.products[product.product]
        said = {*district.school_years, *config.reset_dates}
        return cls(
            rule=product.reset_rule,
            district=district.district,
            time_zone=district.time_zone,
            first_school_year=config.first_school_year,
            last_school_year=config.last_school_year,
            facts={year: district.facts(product.product, year) for year in said},
        )

    @property
    def summary(self) -> str:
        """The schedule in the list of DAGs: the default days, and how many years have their own."""
        days = (self.rule.window_from, self.rule.window_to)
        window = dict.fromkeys(f"{day.in_year(2000):%b %-d}" for day in days)
        own = sum(facts.own_reset_date is not None for facts in self.facts.values())
        return f"yearly, {' to '.join(window)}" + (f", {own} own" if own else "")

    def validate(self) -> None:
        if self.last_school_year is not None and self.last_school_year < self.first_school_year:
            raise AirflowTimetableInvalid(
                f"the last school year {self.last_school_year} is before the first, {self.first_school_year}"
            )

    # The DAG file makes the timetable; scheduler and API server get it from the serialized DAG.

    def serialize(self) -> dict[str, Any]:
        return {
            "rule": asdict(self.rule) | {"at": self.rule.at.isoformat()},
            "district": self.district,
            "time_zone": self.time_zone,
            "first_school_year": self.first_school_year.key,
            "last_school_year": self.last_school_year.key if self.last_school_year else None,
            "facts": {
                year.key: {name: day.isoformat() for name, day in asdict(facts).items() if day is not None}
                for year, facts in self.facts.items()
            },
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        rule, last = data["rule"], data["last_school_year"]
        earliest = rule["earliest_own_date"]
        return cls(
            rule=ResetRule(
                window_from=MonthDay(**rule["window_from"]),
                window_to=MonthDay(**rule["window_to"]),
                earliest_own_date=MonthDay(**earliest) if earliest else None,
                waits_for_summer_session=rule["waits_for_summer_session"],
                at=time.fromisoformat(rule["at"]),
            ),
            district=data["district"],
            time_zone=data["time_zone"],
            first_school_year=SchoolYear.parse(data["first_school_year"]),
            last_school_year=SchoolYear.parse(last) if last else None,
            facts={
                SchoolYear.parse(key): YearFacts(**{name: date.fromisoformat(day) for name, day in facts.items()})
                for key, facts in data["facts"].items()
            },
        )

    # One school year as a run

    def due(self, year: SchoolYear) -> pendulum.DateTime:
        """The UTC instant at which a year's rollover starts."""
        day = reset_day(self.rule, self.district, year, self.facts.get(year, YearFacts()))
        return pendulum.instance(reset_instant(day, self.rule.at, self.time_zone))

    def run_of(self, year: SchoolYear) -> DagRunInfo:
        return DagRunInfo(
            run_after=self.due(year),
            data_interval=None,
            partition_date=self._first_instant(year),
            partition_key=year.key,
        )

    def _first_instant(self, year: SchoolYear) -> pendulum.DateTime:
        return pendulum.instance(reset_instant(year.starts_on, time(0), self.time_zone))

    def _within_contract(self, year: SchoolYear) -> bool:
        return self.last_school_year is None or year <= self.last_school_year

    # The scheduler

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The year after the last one that ran, or the first. None when the contract or the DAG has ended."""
        year = self.first_school_year
        if last_dagrun_info is not None and last_dagrun_info.partition_key:
            # A backfill of years before the first one must not bring the schedule back there.
            year = max(year, _school_year(last_dagrun_info.partition_key).next)
        ended = restriction.latest is not None and self.due(year) > restriction.latest
        return self.run_of(year) if self._within_contract(year) and not ended else None

    # Backfills, and runs that a person starts for a key

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterable[DagRunInfo]:
        """The years that begin within the bounds, as far as their reset date has come.

        A backfilled future year would make the scheduler believe that the years before it have run.
        """
        first, last = self.localize_partition_datetime(earliest), self.localize_partition_datetime(latest)
        return self._due_runs(first, last, pendulum.now("UTC"))

    def _due_runs(
        self, first: pendulum.DateTime, last: pendulum.DateTime, now: pendulum.DateTime
    ) -> Iterator[DagRunInfo]:
        for first_year in range(first.year - 1, last.year + 1):
            year = SchoolYear(first_year)
            if first <= self._first_instant(year) <= last and self.due(year) <= now and self._within_contract(year):
                yield self.run_of(year)

    def localize_partition_datetime(self, dt: datetime) -> pendulum.DateTime:
        """Read the wall clock of a bound, which Airflow takes for UTC, in the district's time zone."""
        wall_clock = pendulum.instance(dt).in_timezone("UTC").naive()
        return wall_clock.replace(tzinfo=pendulum.timezone(self.time_zone)).in_timezone("UTC")

    def resolve_partition_date(self, partition_key: str | None) -> datetime | None:
        """The first instant of the key's year.

        Airflow lets a run that a person starts have no key at all, and asks here before it creates one: without a
        year, such a run could only fail. Raises InvalidPartitionKeyError, which the API answers with 400.
        """
        return self._decode_partition_date(partition_key or "")

    def _decode_partition_date(self, partition_key: str) -> datetime:
        return self._first_instant(_school_year(partition_key))

    def infer_manual_data_interval(self, *, run_after: pendulum.DateTime) -> DataInterval:
        return DataInterval.exact(run_after)

    def generate_run_id(
        self,
        *,
        run_type: Any,
        run_after: pendulum.DateTime,
        data_interval: DataInterval | None,
        partition_key: str | None = None,
        **extra: Any,
    ) -> str:
        """The school year stands in the run id, since the grid shows no partition key.

        The random end lets a year be backfilled a second time: Airflow inserts a run beside the first one.
        """
        key = f"{partition_key}__" if partition_key else ""
        return str(run_type.generate_run_id(suffix=f"{key}{run_after.isoformat()}__{get_random_string()}"))


def _school_year(partition_key: str) -> SchoolYear:
    """The year of a key; the API answers an invalid one with 400."""
    try:
        return SchoolYear.parse(partition_key)
    except ValueError as error:
        raise InvalidPartitionKeyError(
            f"{error}. Give the school year as Partition Key (Trigger, Advanced Options)."
        ) from None


class SchoolYearTimetablePlugin(AirflowPlugin):
    name = "school_year_timetable"
    timetables = [SchoolYearTimetable]  # noqa: RUF012 - Airflow's own attribute

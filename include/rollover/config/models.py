"""Types the files `include/districts/*.yaml` and `include/products/*.yaml`."""

from __future__ import annotations

import re
from datetime import date, time
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, cast
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    field_validator,
)

from rollover.calendar import JULY, MonthDay, ResetRule, SchoolYear, YearFacts, years_after
from rollover.config.limits import RosterLimits
from rollover.settings import MailAddress

__all__ = ["Action", "DataClassRule", "District", "Product", "RosterLimits", "TenantConfig"]

ProductName = Literal["hero", "imagine_math", "imagine_math_facts"]


@cache
def _time_zones() -> frozenset[str]:
    """Return every IANA name. Reading them takes as long as a district file, so it is done once."""
    return frozenset(available_timezones())


def _school_year(value: object) -> object:
    return SchoolYear.parse(value) if isinstance(value, str) else value


def _month_day(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{2})-(\d{2})", value)):
        day = MonthDay(int(match[1]), int(match[2]))
        day.in_year(2025)  # not a leap year: February 29 is no yearly date
        return day
    raise ValueError(f"{value!r} is not a day of the year like '07-28'")


def _date(value: object) -> object:
    """Accept a date as YAML reads 2026-07-28. A date with a time, or a number, is a mistake."""
    if type(value) is date:
        return value
    raise ValueError(f"{value!r} is not a date like 2026-07-28")


def _kept_years(value: object) -> object:
    if value == "for_good" or (type(value) is int and value > 0):
        return value
    raise ValueError(f"'{value}' is neither a number of years, one or more, nor 'for_good'")


Year = Annotated[SchoolYear, BeforeValidator(_school_year), PlainSerializer(lambda year: year.key, return_type=str)]
Day = Annotated[date, BeforeValidator(_date)]
YearlyDay = Annotated[
    MonthDay,
    BeforeValidator(_month_day),
    PlainSerializer(lambda day: f"{day.month:02}-{day.day:02}", return_type=str),
]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Days = Annotated[int, Field(gt=0)]


KeptYears = Annotated[int | Literal["for_good"], BeforeValidator(_kept_years)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Contact(_Model):
    """Who is notified. Kept in the file only; never written to a log."""

    role: Literal["district_it", "data_engineer", "customer_success", "privacy_officer"]
    name: Name
    email: MailAddress


class YearDates(_Model):
    """What the district said about one school year."""

    first_day: Day | None = None
    """The first school day. Files of the new year that are still missing before it are reported."""
    ends: Day | None = None
    summer_session_ends: Day | None = None
    rostering_begins: Day | None = None


class TenantConfig(_Model):
    """A district's use of one product."""

    first_school_year: Year
    last_school_year: Year | None = None
    folder: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$")]
    roster_format: Name | None = None
    """The format is recognized by its content. If it is named here, a set in another format is refused."""
    manifest: Literal["required", "none"] = "required"
    """``none``: OneRoster files come without a manifest (version 1.0 has none), and each is a full one."""
    status_means: dict[Name, Literal["active", "tobedeleted"]] = Field(default_factory=dict)
    """The meaning of other values in OneRoster's column ``status``, e.g. ``inactive``. A set with one that is not named
    here is reviewed."""
    roster_import: Literal["nightly", "at_once"]
    column_map: dict[Name, dict[Name, Name]] = Field(default_factory=dict)
    """For a feed that deviates: file name → column of the format → that column's header in the feed."""
    reset_dates: dict[Year, Day] = Field(default_factory=dict)
    grace_days: Days | None = None
    pause_max_days: Days | None = None
    exports_kept_days: Days | None = None
    archive_kept_years: KeptYears | None = None
    roster_limits: RosterLimits | None = None
    """The limits that differ from the product's."""

    @property
    def outbox(self) -> str:
        """The folder in which the district finds what Rollover made for it."""
        return f"{self.folder}/outbox"


class District(_Model):
    """One district file."""

    district: Slug
    name: Name
    time_zone: str
    org_sourced_id: Name
    sftp_connection: Name
    students: int = Field(default=0, ge=0, le=10_000_000)
    """About how many there are: see :attr:`weight`. Airflow cannot store a weight of billions."""
    agreement: Name | None = None
    """The agreement under which its data is disposed of, with its date. Certificates name it."""
    contacts: tuple[Contact, ...] = ()
    school_year_begins: YearlyDay = JULY
    """The first day of a school year: April 1 in Japan, January 1 in much of the southern hemisphere."""
    school_years: dict[Year, YearDates] = Field(default_factory=dict)
    products: dict[ProductName, TenantConfig] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, value: str) -> str:
        if value not in _time_zones():
            raise ValueError(f"'{value}' is not an IANA time zone like America/Chicago")
        return value

    @field_validator("school_year_begins")
    @classmethod
    def _in_every_year(cls, value: MonthDay) -> MonthDay:
        if (value.month, value.day) == (2, 29):
            raise ValueError("02-29 is not a day of every year")
        return value

    def uses(self, product: str) -> TenantConfig:
        """This district's use of a product. Raises KeyError if it does not use it."""
        return self.products[cast(ProductName, product)]

    @property
    def weight(self) -> int:
        """Who goes first where places are few, as Airflow's ``priority_weight``: the largest district."""
        return max(1, self.students)

    def facts(self, product: str, year: SchoolYear) -> YearFacts:
        """The dates that decide one tenant's reset in one school year."""
        said = self.school_years.get(year, YearDates())
        own = self.uses(product).reset_dates.get(year)
        return YearFacts(said.ends, said.summer_session_ends, said.rostering_begins, own)


class Action(StrEnum):
    """What a rollover does to a data class."""

    ARCHIVE_OR_ERASE = "archive_or_erase"  # by the school's subscription as of the reset date
    ERASE = "erase"  # whatever the subscription
    RESET = "reset"  # set to the values of `set`
    KEEP = "keep"  # proved unchanged
    FOLLOW_ROSTER = "follow_roster"  # replaced by the new year's files


class DataClassRule(_Model):
    """The one rule of a data class, with the sentence it comes from."""

    action: Action
    source: Name
    set: dict[str, int | bool] | None = None
    bound_to_archive: bool = False
    """Kept, and copied into the archive, so that an archived year can be read with the codes of its time."""

    @field_validator("set")
    @classmethod
    def _set_goes_with_reset(cls, value: Any, info: Any) -> Any:
        if (value is not None) != (info.data.get("action") is Action.RESET):
            raise ValueError("belongs to `action: reset`, and only there")
        return value


class ProductDates(_Model):
    """When the product resets; see :class:`rollover.calendar.ResetRule`."""

    default_from: YearlyDay
    default_to: YearlyDay
    earliest_own_date: YearlyDay | None = None
    waits_for_summer_session: bool
    reset_time: time


class Deadlines(_Model):
    """After how many days something that has not happened is late."""

    files_missing_days: Days = 14
    """This many days before the first school day, the new year's files should be there."""
    approval_days: Days = 3
    """A plan should be approved or rejected within so many days."""
    review_days: Days = 3
    """A roster in review should be decided about within so many days."""


class Product(_Model):
    """One product file."""

    product: ProductName
    name: Name
    short_name: Name | None = None
    """The name beside that of a district, in a list or a subject; without it, the name."""
    approval_required: bool
    needs_username: bool = True
    """Whether people log in with the username of the roster files. If not, people without one are imported too."""
    subscription_max_age_days: Annotated[int, Field(gt=0)]
    grace_days: Days = 90
    """How many days rows of the roster stay that are marked for deletion. Then they are deleted for good."""
    pause_max_days: Days = 30
    """How many days the sync may be paused before that is reported every day."""
    exports_kept_days: Days = 180
    """How many days a rollover's exports stay after its certificate, in storage and in the outbox."""
    archive_kept_years: KeptYears = "for_good"
    """How many years after its reset date an archived year is kept. Then a person is asked whether it may be erased."""
    dates: ProductDates
    deadlines: Deadlines = Deadlines()
    reports: Annotated[tuple[str, ...], Field(min_length=1)]
    roster_limits: RosterLimits = RosterLimits()
    data_classes: dict[str, DataClassRule]

    @property
    def label(self) -> str:
        """The product in a list of tenants: ``Hero``."""
        return self.short_name or self.name

    def limits_of(self, tenant: TenantConfig) -> RosterLimits:
        """Return the limits for one tenant: the product's, replaced by the district's own."""
        return self.roster_limits.with_changes(tenant.roster_limits)

    def grace_days_of(self, tenant: TenantConfig) -> int:
        return tenant.grace_days or self.grace_days

    def pause_max_days_of(self, tenant: TenantConfig) -> int:
        return tenant.pause_max_days or self.pause_max_days

    def exports_kept_days_of(self, tenant: TenantConfig) -> int:
        return tenant.exports_kept_days or self.exports_kept_days

    def archive_kept_years_of(self, tenant: TenantConfig) -> KeptYears:
        return tenant.archive_kept_years or self.archive_kept_years

    def archive_expires_on(self, tenant: TenantConfig, reset_date: date) -> date | None:
        """Return the first day on which an archived year may be erased; None if it is kept for good."""
        years = self.archive_kept_years_of(tenant)
        return None if years == "for_good" else years_after(reset_date, years)

    @property
    def reset_rule(self) -> ResetRule:
        dates = self.dates
        return ResetRule(
            window_from=dates.default_from,
            window_to=dates.default_to,
            earliest_own_date=dates.earliest_own_date,
            waits_for_summer_session=dates.waits_for_summer_session,
            at=dates.reset_time,
        )

    def classes(self, *actions: Action) -> list[str]:
        """Return the data classes that one of `actions` applies to."""
        return [name for name, rule in self.data_classes.items() if rule.action in actions]

"""Defines a report: the tenant and year that it shows, its query, the types of its columns, and its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from rollover.run import Run

SQL = Path(__file__).parent / "sql"
Row = Mapping[str, Any]


class Kind(StrEnum):
    """The type of a column's values."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    LIST = "list"
    """JSON objects from which a page draws a chart."""


@dataclass(frozen=True)
class Scope:
    """The scope of a report: the session's tenant and one school year.

    `is_current`: whether the tenant's current state (accounts, classrooms) belongs to that year. Days and times are
    those of `time_zone`. `as_of` is the date that a printed report shows as its own.
    """

    school_year: str
    is_current: bool
    time_zone: str
    district: str
    as_of: datetime

    @classmethod
    def of(cls, run: Run, *, is_current: bool) -> Scope:
        return cls(run.school_year.key, is_current, run.district.time_zone, run.district.name, run.now)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters that a query may use."""
        return {"school_year": self.school_year, "is_current": self.is_current, "time_zone": self.time_zone}

    @property
    def as_of_local(self) -> datetime:
        return self.as_of.astimezone(ZoneInfo(self.time_zone))


@dataclass(frozen=True)
class Report:
    """A report of one product.

    `sql` names its query, ``sql/<sql>.sql``; it gives the `columns` in this order and is sorted as the report is. It
    starts from what happened in the school year, so a report is blank, without a row, once that year's data is gone.

    A printed report is made by the Typst template ``printed/<template>.typ`` from the rows of one file. `files` are the
    columns whose values split it into files, ``<name>/<value>/<value>.pdf``; rows of a file follow one another. If
    each row has a page of its own, `page_per_row`, a file ends after so many rows, and the next file continues.
    """

    product: str
    name: str
    title: str
    format: Literal["csv", "xlsx", "pdf"]
    sql: str
    columns: Mapping[str, Kind] = field(hash=False)
    files: tuple[str, ...] = ()
    template: str | None = None
    page_per_row: bool = False

    @cached_property
    def query(self) -> str:
        """Return the query. In its file, ``PRODUCT`` is the product's schema, ``(<NAME>)`` another file's query."""
        text = _read(self.sql)
        for path in (SQL / self.sql).parent.glob("*.sql"):
            reference = f"({path.stem.upper()})"
            if reference in text:
                text = text.replace(reference, f"(\n{_read(f'{path.parent.name}/{path.stem}')}\n)")
        return text.replace("PRODUCT.", f"{self.product}.")


def _read(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def columns(text: str) -> dict[str, Kind]:
    """Read columns like ``school, grade, points: whole, first_on: date``; text is the default kind."""
    parts = (part.partition(":") for part in text.split(","))
    return {" ".join(name.split()): Kind(kind.strip() or "text") for name, _, kind in parts}

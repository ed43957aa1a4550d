"""Collects what the archive has of a tenant: its years, how they developed, and what can be downloaded of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, select

from rollover.archive.keys import Keys
from rollover.archive.retained import Retained, retained_years
from rollover.archive.tables import archived_tables, table_of
from rollover.archive.trends import MEASURES, MONTHS, Counted, counted
from rollover.config import District, Product
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import rollovers, steps
from rollover.errors import Refused
from rollover.exports import Report, reports_of
from rollover.ledger.results import Erased, Step
from rollover.web.charts import Chart, bars, lines

TRENDS_HEADER = ("school year", "school id", "school", "measure", "number")
MONTHS_OF_YEAR = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LONGEST_LINES = 6
"""So many years at most have a line each in the chart of months."""


@dataclass(frozen=True)
class Year:
    """An archived year, by the present district and product files: `expires_on` is None if it is kept for good."""

    kept: Retained
    expires_on: date | None
    rows: Mapping[str, int]
    """The rows of the year by data class, without the settings and names that were copied beside them."""

    @property
    def total(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True)
class Gone:
    """What one year's rollover did with rows: how many were archived, and how many were erased for good."""

    school_year: str
    archived: int
    erased: int


@dataclass(frozen=True)
class ArchiveView:
    """The archive of a tenant."""

    years: tuple[Year, ...]
    gone: tuple[Gone, ...]
    reports: tuple[Report, ...]
    tables: tuple[str, ...]
    """The tables of which rows were archived in some year that is still there."""
    by_year: Chart | None
    by_class: Chart | None


@dataclass(frozen=True)
class TrendRow:
    """A measure of one school over the years; None: the school has none in that year."""

    school: str
    school_id: str | None
    numbers: tuple[int | None, ...]


@dataclass(frozen=True)
class TrendOf:
    """A measure over the years: its chart, and a row for each school."""

    name: str
    chart: Chart
    rows: tuple[TrendRow, ...]
    adds_up: bool


@dataclass(frozen=True)
class Trends:
    """How archived years compare. `left_out` has a sentence for each year that cannot be read."""

    years: tuple[str, ...]
    measures: tuple[TrendOf, ...]
    months: Chart | None
    left_out: tuple[str, ...]


def archive(connection: Connection, district: District, product: Product) -> ArchiveView:
    """The archive of the session's tenant, by the ledger alone."""
    config = district.uses(product.product)
    classes = {table.fullname: str(table.info["data_class"]) for table in archived_tables(product)}
    years = tuple(
        Year(kept, product.archive_expires_on(config, kept.reset_date), _by_class(kept, classes))
        for kept in retained_years(connection)
    )
    gone = tuple(_gone(connection))
    there = {name for year in years if year.kept.is_there for name in year.kept.tables}
    return ArchiveView(
        years,
        gone,
        tuple(reports_of(product.product).values()),
        tuple(sorted(name for name in there if name in classes)),
        bars(
            "Rows archived and rows erased for good, by school year",
            [each.school_year for each in gone],
            {"archived": [each.archived for each in gone], "erased for good": [each.erased for each in gone]},
        )
        if gone
        else None,
        bars(
            "Archived rows by school year and data class",
            [year.kept.school_year for year in years],
            {
                name.replace("_", " "): [year.rows.get(name) for year in years]
                for name in dict.fromkeys(classes.values())
            },
        )
        if years
        else None,
    )


def names_of_schools(connection: Connection) -> dict[str, str]:
    """The names of the district's schools, by id."""
    return {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}


def readable(years: Sequence[Retained], keys: Keys) -> tuple[list[Counted], list[str]]:
    """The numbers of the years that are there and can be read, and a sentence for each of the others."""
    found, left_out = [], []
    for year in years:
        if not year.is_there:
            why = "has expired" if year.expired_at else "cannot be read any more: its key was destroyed"
            left_out.append(f"{year.school_year} {why}.")
            continue
        try:
            found.append(counted(year, keys))
        except Refused as error:
            left_out.append(f"{year.school_year}: {error}")
    return found, left_out


def trends(product: str, found: Sequence[Counted], left_out: Sequence[str], names: Mapping[str, str]) -> Trends:
    """How the numbers of some years compare."""
    years = tuple(each.school_year for each in found)
    ids = sorted(
        {school for each in found for school in each.schools}, key=lambda school: (names.get(school, ""), school)
    )
    measures = []
    for measure in MEASURES[product]:
        rows = [
            TrendRow(
                names.get(school, school), school, tuple(each.by_school.get((school, measure.name)) for each in found)
            )
            for school in ids
        ]
        rows = [row for row in rows if any(number is not None for number in row.numbers)]
        if not rows:
            continue
        totals = [each.total(measure) for each in found]
        chart = bars(f"{measure.name.capitalize()} by school year", years, {measure.name: totals})
        measures.append(TrendOf(measure.name, chart, tuple(rows), measure.adds_up))
    return Trends(years, tuple(measures), _months(product, found), tuple(left_out))


def trends_table(shown: Trends) -> Iterator[tuple[Any, ...]]:
    """The numbers for a CSV file with `TRENDS_HEADER`."""
    for measure in shown.measures:
        for row in measure.rows:
            for year, number in zip(shown.years, row.numbers, strict=True):
                if number is not None:
                    yield (year, row.school_id, row.school, measure.name, number)


def table_title(name: str) -> str:
    """An archived table as people call it: its comment, else its name."""
    return table_of(name).comment or name


def _by_class(kept: Retained, classes: Mapping[str, str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for table, number in kept.tables.items():
        if table in classes:
            rows[classes[table]] = rows.get(classes[table], 0) + number
    return rows


def _gone(connection: Connection) -> Iterator[Gone]:
    row = steps.c
    query = (
        select(rollovers.c.school_year, row.result)
        .join(rollovers, rollovers.c.rollover_id == row.rollover_id)
        .where(row.step == Step.ERASE)
    )
    sums: dict[str, list[int]] = {}
    for school_year, result in connection.execute(query.order_by(rollovers.c.school_year)):
        erased = Erased.model_validate(result)
        archived_and_erased = sums.setdefault(school_year, [0, 0])
        archived_and_erased[0] += sum(erased.archived.values())
        archived_and_erased[1] += sum(erased.erased.values())
    yield from (Gone(year, archived, erased) for year, (archived, erased) in sums.items())


def _months(product: str, found: Sequence[Counted]) -> Chart | None:
    """A line for each of the newest years, over the months of a school year that have any."""
    shown = [each for each in found if each.by_month][-LONGEST_LINES:]
    months = [month for month in (*range(7, 13), *range(1, 7)) if any(each.by_month.get(month) for each in shown)]
    if not shown or not months:
        return None
    title = f"{MONTHS[product].name.capitalize()} by month"
    values = {each.school_year: [each.by_month.get(month, 0) for month in months] for each in shown}
    return lines(title, [MONTHS_OF_YEAR[month - 1] for month in months], values)

"""``rollover dates``: when each tenant resets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import typer

from rollover.cli.command import LOOK, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import BadArgument, Context, school_year
from rollover.cli.parameters import FromOption, ToOption, YearArgument

app = typer.Typer()


@dataclass(frozen=True)
class ResetDate:
    """When a tenant resets, and whether its district file sets the date."""

    tenant: str
    reset_date: date
    is_own_date: bool

    @property
    def origin(self) -> str:
        return "own date" if self.is_own_date else "default"

    def __str__(self) -> str:
        return f"{self.tenant:50} {self.reset_date} {self.reset_date:%A}  {self.origin}"


@dataclass(frozen=True)
class ResetDates(Tabular):
    """The reset dates of a school year, the earliest first."""

    school_year: str
    dates: list[ResetDate]

    def sheet(self) -> Sheet:
        return Sheet(
            ("Tenant", "Reset date", "Day", "Set by"),
            [
                (each.tenant, str(each.reset_date), f"{each.reset_date:%A}", Cell(each.origin, own_style(each)))
                for each in self.dates
            ],
        )


def own_style(each: ResetDate) -> str:
    return "cyan" if each.is_own_date else ""


@app.command("dates", rich_help_panel=LOOK, epilog="Example: rollover dates 2026-27 --from 2027-07-01 --to 2027-07-15")
@command
def dates(context: Context, year: YearArgument, start: FromOption = None, end: ToOption = None) -> Lines[ResetDates]:
    """List the reset date of every tenant for a school year, the earliest first."""
    from rollover.calendar import reset_day

    wanted, found = school_year(year), []
    first, last = start.date() if start else date.min, end.date() if end else date.max
    if first > last:
        raise BadArgument(f"--from {first} is after --to {last}")
    for tenant in context.catalog.tenants:
        district, product = context.catalog.districts[tenant.district], context.catalog.products[tenant.product]
        facts = district.facts(tenant.product, wanted)
        day = reset_day(product.reset_rule, tenant.district, wanted, facts)
        if first <= day <= last:
            found.append(ResetDate(tenant.id, day, bool(facts.own_reset_date)))
    found.sort(key=lambda each: (each.reset_date, each.tenant))
    yield from map(str, found)
    return ResetDates(wanted.key, found)

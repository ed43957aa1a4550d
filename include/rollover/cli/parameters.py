"""Arguments and options that several commands take, and how a shell completes them.

Completion reads the district files without checking them: it answers each time that somebody presses Tab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rollover.calendar import JULY, SchoolYear, year_of_day
from rollover.tenant import PRODUCTS, SEPARATOR, Tenant

PHASES = (
    *("scheduled", "informed", "exporting", "waiting_for_approval", "archiving_and_erasing", "waiting_for_roster"),
    *("roster_in_review", "verifying", "certified", "held", "rejected", "refused", "failed"),
)
WAITS_FOR = ("nobody", "data_engineer", "district_it", "customer_success")
"""As :mod:`rollover.season.phases` has them, which imports too much for help and completion; a test compares them."""
YEAR = re.compile(r"\b20\d\d-\d\d\b")


def complete_tenant(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tenant ids that begin with `incomplete`."""
    district = incomplete.partition(SEPARATOR)[2]
    found = (tenant.id for path in _files(ctx) if path.stem.startswith(district) for tenant in _tenants_in(path))
    return sorted(found)


def complete_district(ctx: typer.Context, incomplete: str) -> list[str]:
    """All districts."""
    return sorted(path.stem for path in _files(ctx))


def complete_tenant_or_district(ctx: typer.Context, incomplete: str) -> list[str]:
    """All districts, and tenant ids that begin with `incomplete`."""
    return [*complete_district(ctx, incomplete), *complete_tenant(ctx, incomplete)]


def complete_year(ctx: typer.Context, incomplete: str) -> list[str]:
    """The school years that district files name, this one, the one before and the next."""
    this = year_of_day(datetime.now(UTC).date(), JULY)
    found = {year.key for year in (this.previous, this, this.next)}
    for path in _files(ctx):
        for key in YEAR.findall(path.read_text(encoding="utf-8", errors="replace")):
            with suppress(ValueError):  # it only looks like one
                found.add(SchoolYear.parse(key).key)
    return sorted(found)


def _files(ctx: typer.Context) -> Iterator[Path]:
    folder: Path = ctx.obj.settings.districts
    return (path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))


def _tenants_in(path: Path) -> Iterator[Tenant]:
    import yaml

    with suppress(yaml.YAMLError, UnicodeDecodeError):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        products = content.get("products") if isinstance(content, dict) else None
        for product in products if isinstance(products, dict) else ():
            yield Tenant(str(product), path.stem)


TenantArgument = Annotated[
    str, typer.Argument(metavar="TENANT", help="E.g. hero__springfield-il.", autocompletion=complete_tenant)
]
TenantOrDistrict = Annotated[
    str,
    typer.Argument(
        metavar="TENANT",
        help="A tenant, or a district for all its products.",
        autocompletion=complete_tenant_or_district,
    ),
]
AnyTenant = Annotated[
    str | None,
    typer.Argument(
        metavar="TENANT",
        help="A tenant or a district; without it, all.",
        autocompletion=complete_tenant_or_district,
    ),
]
YearArgument = Annotated[
    str, typer.Argument(metavar="YEAR", help="A school year like 2025-26.", autocompletion=complete_year)
]
YEAR_OPTION = typer.Option("--year", metavar="YEAR", help="A school year like 2025-26.", autocompletion=complete_year)
YearOption = Annotated[str, YEAR_OPTION]
AnyYear = Annotated[str | None, YEAR_OPTION]
DistrictOption = Annotated[
    str | None, typer.Option("--district", metavar="DISTRICT", help="Only this one.", autocompletion=complete_district)
]
ProductOption = Annotated[
    str | None,
    typer.Option(
        "--product",
        metavar="PRODUCT",
        help=f"One of {', '.join(PRODUCTS)}.",
        autocompletion=lambda: list(PRODUCTS),
    ),
]
PhaseOption = Annotated[
    str | None,
    typer.Option("--phase", metavar="PHASE", help=f"One of {', '.join(PHASES)}.", autocompletion=lambda: list(PHASES)),
]
WaitsForOption = Annotated[
    str | None,
    typer.Option(
        "--waits-for",
        metavar="ROLE",
        help=f"Who has to act: one of {', '.join(WAITS_FOR)}.",
        autocompletion=lambda: list(WAITS_FOR),
    ),
]
LateOption = Annotated[bool, typer.Option("--late", help="Only where something is late or wrong.")]
FromOption = Annotated[
    datetime | None,
    typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="The first day, e.g. 2027-07-01."),
]
ToOption = Annotated[
    datetime | None, typer.Option("--to", metavar="DATE", formats=["%Y-%m-%d"], help="The last day, e.g. 2027-07-15.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, without a name; goes to the evidence.")]

"""``rollover plan``: shows what a rollover would do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import typer

from rollover.cli.command import LOOK, Document, Lines, command
from rollover.cli.context import Context, school_year
from rollover.cli.parameters import TenantOrDistrict, YearOption

app = typer.Typer()


@dataclass(frozen=True)
class PlanLine:
    """One school's rows of one table, with the action and its reason; `bytes` is their size on disk."""

    school_id: str
    data_class: str
    table: str
    action: str
    reason: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class TenantPlan:
    """What a rollover of a tenant would do, as of its reset date."""

    tenant: str
    school_year: str
    as_of: date
    warnings: list[str]
    lines: list[PlanLine]


@dataclass(frozen=True)
class Plans(Document):
    """A plan for each tenant that was named."""

    plans: list[TenantPlan]


@app.command("plan", rich_help_panel=LOOK, epilog="Example: rollover plan hero__springfield-il --year 2025-26")
@command
def plan(context: Context, tenant: TenantOrDistrict, year: YearOption) -> Lines[Plans]:
    """Show what a rollover of a tenant, or of each of a district, would do now; changes nothing."""
    from rollover.yearend import plan as planning

    wanted, plans = school_year(year), []
    for each in context.tenants(tenant):
        run = context.run(each, wanted)
        with context.session(each) as connection:
            current = planning.current_school_year(connection) == wanted.key
            lines, warnings = planning.draft(connection, run, current=current), planning.warnings(connection, run)
            text = planning.markdown(connection, lines, warnings)
        yield f"# {each} {wanted}, as of {run.reset_date}\n"
        yield f"{text} \n"
        rows = [
            PlanLine(line.school_id, line.data_class, line.table_name, line.action, line.reason, line.rows, line.bytes)
            for line in lines
        ]
        plans.append(TenantPlan(each.id, wanted.key, run.reset_date, warnings, rows))
    return Plans(plans)

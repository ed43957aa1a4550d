"""``rollover status``: shows the state of each tenant."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from rollover.cli.command import LOOK, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import Context
from rollover.cli.lint import NotReady, not_ready
from rollover.cli.parameters import AnyTenant
from rollover.season.status_values import TenantStatus

app = typer.Typer()
COLOURS = {"certified": "green", "failed": "red", "running": "cyan"}
"""The colours of the states of a rollover."""


@dataclass(frozen=True)
class StatusRow:
    """A tenant, its state in the ledger, and why it could not run now."""

    tenant: str
    status: TenantStatus
    problems: list[str]

    def __str__(self) -> str:
        return f"{self.tenant}: {'; '.join([str(self.status), *self.problems])}"

    @property
    def cells(self) -> tuple[Cell | str, ...]:
        status, rollover = self.status, self.status.rollover
        return (
            self.tenant,
            status.current_school_year or Cell("not in the directory", "red"),
            Cell(str(rollover), COLOURS.get(rollover.state, "yellow")) if rollover else "none yet",
            Cell(f"paused since {status.pause.since:%Y-%m-%d}", "yellow") if status.pause else Cell("on", "green"),
            f"{status.last_import.changed_at:%Y-%m-%d}, {status.last_import.school_year}"
            if status.last_import
            else "none",
            Cell(", ".join(self._attention), "red" if self.problems else "yellow"),
        )

    @property
    def _attention(self) -> list[str]:
        """The things that need attention, in a word or two each; the sentences are below the table."""
        status = self.status
        counted = {"on hold": len(status.holds), "in review": len(status.in_review), "waiting": status.waiting}
        found = [f"{number} {name}" for name, number in counted.items() if number]
        found += [f"newest drop {status.newest_drop.state}"] if status.newest_drop else []
        found += ["files not read"] if status.unread else []
        return ["cannot run", *found] if self.problems else found

    @property
    def sentences(self) -> list[str]:
        """The sentences about everything that needs attention, below the tenant's name."""
        said = [*self.problems, *self.status.waiting_for]
        return [f"{self.tenant}:", *(f"  {sentence}" for sentence in said), ""] if said else []


@dataclass(frozen=True)
class Statuses(Tabular):
    """Each tenant that was named; `problems` are those of all tenants together, e.g. a shared DAG that is paused."""

    tenants: list[StatusRow]
    problems: list[NotReady]

    def sheet(self) -> Sheet:
        columns = ("Tenant", "Year", "Last rollover", "Nightly sync", "Last import", "Needs attention")
        below = [sentence for row in self.tenants for sentence in row.sentences]
        return Sheet(columns, [row.cells for row in self.tenants], [*below, *map(str, self.problems)])


@app.command("status", rich_help_panel=LOOK, epilog="Example: rollover status springfield-il")
@command
def status(context: Context, tenant: AnyTenant = None) -> Lines[Statuses]:
    """Show the state of each tenant: current year, last rollover, pause, last import, and what needs attention."""
    from rollover.season.status import status_of

    tenants = context.tenants(tenant)
    problems, rows = not_ready(context, tenants), []
    for each in tenants:
        with context.session(each) as connection:
            own = [found.problem for found in problems if found.tenant == each.id]
            rows.append(StatusRow(each.id, status_of(connection), own))
        yield str(rows[-1])
    ids = {each.id for each in tenants}
    shared = [found for found in problems if found.tenant not in ids]
    yield from map(str, shared)
    return Statuses(rows, shared)

"""``rollover hold``: legal holds and open inspection requests, set, lifted by a second person, and listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rollover.cli.command import DECIDE, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import BadArgument, Context
from rollover.cli.parameters import AnyTenant, Reason, TenantArgument, TenantOrDistrict

if TYPE_CHECKING:
    from rollover.ledger.holds import Hold

app = typer.Typer(
    name="hold",
    rich_help_panel=DECIDE,
    no_args_is_help=True,
    help="Legal holds and open inspection requests: data on hold is neither erased nor reset.",
)


@dataclass(frozen=True)
class HoldRow:
    """A hold. `scope` is the district, a school or "one student", whose id is not shown."""

    tenant: str
    hold: int
    kind: str
    scope: str
    set_by: str
    set_at: datetime
    reason: str
    lifted_by: str | None
    lifted_at: datetime | None
    lift_reason: str | None


@dataclass(frozen=True)
class Holds(Tabular):
    """The open holds, or with --all every one."""

    holds: list[HoldRow]

    def sheet(self) -> Sheet:
        return Sheet(
            ("Tenant", "Hold", "Kind", "On", "Since", "Set by", "Reason", "Lifted"),
            [
                (
                    row.tenant,
                    str(row.hold),
                    row.kind,
                    row.scope,
                    f"{row.set_at:%Y-%m-%d}",
                    row.set_by,
                    row.reason,
                    f"{row.lifted_at:%Y-%m-%d} by {row.lifted_by}" if row.lifted_at else Cell("open", "yellow"),
                )
                for row in self.holds
            ],
        )


@app.command(
    "set",
    epilog="Example: rollover hold set springfield-il --kind inspection --student 40172 --reason 'request of 3 June'",
)
@command
def place(
    context: Context,
    tenant: TenantOrDistrict,
    kind: Annotated[
        Literal["inspection", "legal"], typer.Option("--kind", help="A legal hold, or an open request to inspect.")
    ],
    reason: Reason,
    school: Annotated[
        str | None, typer.Option("--school", metavar="ID", help="Only this school, by its id in the roster.")
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", metavar="ID", help="Only this student, by the id in the roster.")
    ] = None,
) -> Lines[None]:
    """Hold the data of a tenant, of one of its schools or students, so that it is neither erased nor reset."""
    from rollover.ledger import holds

    if school is not None and student is not None:
        raise BadArgument("give --school or --student, not both: a hold is on one of them")
    tenants, by = context.tenants(tenant), context.person
    for each in tenants:
        with context.session(each, exclusive=True) as connection:
            hold = holds.place(connection, each.id, kind, reason=reason, by=by, school_id=school, student_id=student)
            gone = holds.gone_before(connection)
        yield f"{each}: {hold}"
        for sentence in gone:
            yield f"  not held, because it was already erased: {sentence}"


@app.command("lift", epilog="Example: rollover hold lift hero__springfield-il 12 --reason 'records handed over'")
@command
def lift(
    context: Context,
    tenant: TenantArgument,
    hold: Annotated[int, typer.Argument(metavar="HOLD", help="Its number, as `rollover hold list` shows it.")],
    reason: Reason,
) -> Lines[None]:
    """Lift a hold that somebody else set. The rows are archived or erased with the next plan."""
    from rollover.ledger import holds

    found, by = context.tenant(tenant), context.person
    with context.session(found, exclusive=True) as connection:
        lifted = holds.lift(connection, found.id, hold, reason=reason, by=by)
    yield f"{found}: lifted {lifted}"


@app.command("list", epilog="Example: rollover hold list springfield-il --all")
@command
def show(
    context: Context,
    tenant: AnyTenant = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False,
) -> Lines[Holds]:
    """List the open holds; with --all, also those that were lifted."""
    from rollover.ledger import holds

    rows = []
    for each in context.tenants(tenant):
        with context.session(each) as connection:
            for hold in holds.every(connection) if every else holds.in_force(connection):
                rows.append(_row(each.id, hold))
                ended = f"; lifted {hold.lifted_at:%Y-%m-%d} by {hold.lifted_by}" if hold.lifted_at else ""
                yield f"{each}: {hold}, set by {hold.set_by}: {hold.reason}{ended}"
    return Holds(rows)


def _row(tenant: str, hold: Hold) -> HoldRow:
    return HoldRow(
        tenant,
        hold.hold_id,
        hold.kind,
        hold.scope,
        hold.set_by,
        hold.set_at,
        hold.reason,
        hold.lifted_by,
        hold.lifted_at,
        hold.lift_reason,
    )

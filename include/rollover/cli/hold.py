"""Legal holds and open inspection requests by hand: set, lifted by a second person, listed."""

from __future__ import annotations

import argparse

from rollover.cli.arguments import (
    TENANT,
    TENANT_OR_DISTRICT,
    Subparsers,
    added,
    engine_of,
    group,
    person_of,
    tenant_of,
    tenants_of,
)
from rollover.lint import load_catalog
from rollover.settings import Settings


def place(options: argparse.Namespace, settings: Settings) -> int:
    """Hold the data of a tenant, of one of its schools or students: it is neither erased nor reset."""
    from rollover.database.session import tenant_session
    from rollover.ledger import holds

    tenants = tenants_of(options, load_catalog(settings.districts, settings.products))
    by = person_of(settings)
    for tenant in tenants:
        with tenant_session(engine_of(settings), tenant.id, exclusive=True) as connection:
            hold = holds.place(
                connection,
                tenant.id,
                options.kind,
                reason=options.reason,
                by=by,
                school_id=options.school,
                student_id=options.student,
            )
            gone = holds.gone_before(connection)
        print(f"{tenant.id}: {hold}")
        for said in gone:
            print(f"  not held, since it went before: {said}")
    return 0


def lift(options: argparse.Namespace, settings: Settings) -> int:
    """Lift a hold; somebody else than who set it. What it held goes with the next plan."""
    from rollover.database.session import tenant_session
    from rollover.ledger import holds

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    by = person_of(settings)
    with tenant_session(engine_of(settings), tenant.id, exclusive=True) as connection:
        hold = holds.lift(connection, tenant.id, options.hold, reason=options.reason, by=by)
    print(f"{tenant.id}: lifted {hold}")
    return 0


def show(options: argparse.Namespace, settings: Settings) -> int:
    """List the open holds; with --all, also those that were lifted."""
    from rollover.database.session import tenant_session
    from rollover.ledger import holds

    engine = engine_of(settings)
    for tenant in tenants_of(options, load_catalog(settings.districts, settings.products)):
        with tenant_session(engine, tenant.id) as connection:
            for hold in holds.every(connection) if options.all else holds.in_force(connection):
                ended = f"; lifted {hold.lifted_at:%Y-%m-%d} by {hold.lifted_by}" if hold.lifted_at else ""
                print(f"{tenant.id}: {hold}, set by {hold.set_by}: {hold.reason}{ended}")
    return 0


def add_to(subparsers: Subparsers) -> None:
    about = "Legal holds and open inspection requests: what is neither erased nor reset."
    commands = group(subparsers, "hold", about)
    command = added(commands, "set", place)
    command.add_argument("tenant", help=TENANT_OR_DISTRICT)
    command.add_argument(
        "--kind", required=True, choices=["inspection", "legal"], help="legal, or an open request to inspect"
    )
    of = command.add_mutually_exclusive_group()
    of.add_argument("--school", help="only this school, by its id in the roster")
    of.add_argument("--student", help="only this student, by the id in the roster")
    command.add_argument("--reason", required=True, help="why, without a name")
    command = added(commands, "lift", lift)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("hold", type=int, help="its number, as `rollover hold list` shows it")
    command.add_argument("--reason", required=True, help="why, without a name")
    command = added(commands, "list", show)
    command.add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command.add_argument("--all", action="store_true", help="also those that were lifted")

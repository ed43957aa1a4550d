"""The command line: look, check, and do by hand what only a person may decide."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from rollover.calendar import SchoolYear
from rollover.config import Catalog, load_catalog
from rollover.config.problems import nearest
from rollover.errors import RolloverError
from rollover.settings import Settings
from rollover.tenant import Tenant


class BadArgument(Exception):
    """An argument that names nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 well, 1 something is wrong, 2 the call is."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, Settings())
        return code
    except RolloverError as error:
        print(error, file=sys.stderr)
        return 1
    except BadArgument as error:
        print(error, file=sys.stderr)
        return 2


def lint(options: argparse.Namespace, settings: Settings) -> int:
    """Check every district and product file."""
    catalog = load_catalog(settings.districts, settings.products)
    for problem in catalog.problems:
        print(problem)
    tenants, files = len(catalog.tenants), len(catalog.districts)
    print(f"{files} districts, {tenants} tenants, {len(catalog.products)} products, {len(catalog.problems)} problems")
    return 1 if catalog.problems else 0


def migrate(options: argparse.Namespace, settings: Settings) -> int:
    """Bring the product database to the newest schema; needs the owner's URL in ROLLOVER_DATABASE_URL."""
    from rollover.database import migrate as migration
    from rollover.database.session import connect

    migration.upgrade(connect(_database_url(settings)))
    print("the database has the newest schema")
    return 0


def dates(options: argparse.Namespace, settings: Settings) -> int:
    """Name the reset date of every tenant for a school year."""
    from rollover.calendar import reset_day

    year = _year(options)
    catalog = load_catalog(settings.districts, settings.products)
    for tenant in catalog.tenants:
        district, product = catalog.districts[tenant.district], catalog.products[tenant.product]
        facts = district.facts(tenant.product, year)
        day = reset_day(product.reset_rule, tenant.district, year, facts)
        print(f"{tenant.id:50} {day} {day:%A}  {'own date' if facts.own_reset_date else 'default'}")
    return 0


def status(options: argparse.Namespace, settings: Settings) -> int:
    """Say where each tenant is: current year, last rollover, pause, last import."""
    from rollover.database.session import connect, tenant_session
    from rollover.status import status_of

    engine = connect(_database_url(settings))
    for tenant in _tenants(options, load_catalog(settings.districts, settings.products)):
        with tenant_session(engine, tenant.id) as connection:
            print(f"{tenant.id}: {status_of(connection)}")
    return 0


def resume(options: argparse.Namespace, settings: Settings) -> int:
    """End the pause of a tenant's roster sync by hand."""
    from rollover import evidence, pause
    from rollover.database.session import connect, tenant_session

    tenant = _tenant(options, load_catalog(settings.districts, settings.products))
    with tenant_session(connect(_database_url(settings)), tenant.id, exclusive=True) as connection:
        result = pause.end(connection, by=getpass.getuser())
        if result["was_paused"]:
            evidence.record(connection, tenant.id, "resumed_by_hand", {**result, "why": options.reason}, None)
    print(f"{tenant.id}: {'the pause has ended' if result['was_paused'] else 'was not paused'}")
    return 0


def plan(options: argparse.Namespace, settings: Settings) -> int:
    """Show what a rollover would do now; changes nothing."""
    from rollover import plan as planning
    from rollover.database.session import connect, tenant_session
    from rollover.run import Run

    catalog = load_catalog(settings.districts, settings.products)
    tenant = _tenant(options, catalog)
    run = Run(
        engine=connect(_database_url(settings)),
        tenant=tenant,
        school_year=_year(options),
        district=catalog.districts[tenant.district],
        product=catalog.products[tenant.product],
        storage=settings.storage_root,
        now=datetime.now(UTC),
    )
    with tenant_session(run.engine, tenant.id) as connection:
        current = planning.current_school_year(connection) == run.school_year.key
        lines = planning.draft(connection, run, current=current)
        print(planning.markdown(connection, lines, planning.warnings(connection, run)))
    return 0


def switch_on(options: argparse.Namespace, settings: Settings) -> int:
    """Switch on again what the reset switched off: Hero's notification e-mails, or its portal schedules."""
    from sqlalchemy import update

    from rollover import evidence
    from rollover.database.session import connect, tenant_session
    from rollover.database.tables import tables_of

    catalog = load_catalog(settings.districts, settings.products)
    tenant = _tenant(options, catalog)
    rule = catalog.products[tenant.product].data_classes.get(options.data_class)
    columns = [name for name, value in ((rule.set if rule else None) or {}).items() if value is False]
    if not columns:
        raise BadArgument(f"'{options.data_class}' of {tenant.product} is not switched off by a reset")
    with tenant_session(connect(_database_url(settings)), tenant.id, exclusive=True) as connection:
        rows = 0
        for table in tables_of(tenant.product, options.data_class):
            rows += connection.execute(update(table).values(dict.fromkeys(columns, True))).rowcount
        facts = {"data_class": options.data_class, "rows": rows, "by": getpass.getuser(), "why": options.reason}
        evidence.record(connection, tenant.id, "switched_on", facts, None)
    print(f"{tenant.id}: {options.data_class} is on for {rows} schools")
    return 0


def _year(options: argparse.Namespace) -> SchoolYear:
    try:
        return SchoolYear.parse(options.year)
    except ValueError as error:
        raise BadArgument(str(error)) from None


def _tenant(options: argparse.Namespace, catalog: Catalog) -> Tenant:
    found = next((tenant for tenant in catalog.tenants if tenant.id == options.tenant), None)
    if found is None:
        meant = nearest(options.tenant, [tenant.id for tenant in catalog.tenants])
        hint = f"; did you mean '{meant}'?" if meant else ""
        raise BadArgument(f"no district file lists the tenant '{options.tenant}'{hint}")
    return found


def _database_url(settings: Settings) -> str:
    if settings.database_url is None:
        raise RolloverError("Set ROLLOVER_DATABASE_URL to the product database, e.g. postgresql+psycopg://…")
    return settings.database_url


def _tenants(options: argparse.Namespace, catalog: Catalog) -> list[Tenant]:
    return [tenant for tenant in catalog.tenants if options.tenant in (None, tenant.id, tenant.district)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollover", description="Starts the new school year clean.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: object) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=(run.__doc__ or "").strip().splitlines()[0], description=run.__doc__)
        command.set_defaults(run=run)
        return command

    add("lint", lint)
    add("migrate", migrate)
    add("dates", dates).add_argument("year", help="a school year like 2025-26")
    add("status", status).add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command = add("resume", resume)
    command.add_argument("tenant", help="e.g. hero__springfield-il")
    command.add_argument("--reason", required=True, help="why the pause ends; goes to the evidence")
    command = add("switch-on", switch_on)
    command.add_argument("tenant", help="e.g. hero__springfield-il")
    command.add_argument("data_class", help="notification_switch or portal_schedules")
    command.add_argument("--reason", required=True, help="goes to the evidence")
    command = add("plan", plan)
    command.add_argument("tenant", help="e.g. hero__springfield-il")
    command.add_argument("--year", required=True, help="a school year like 2025-26")
    return parser


if __name__ == "__main__":
    sys.exit(main())

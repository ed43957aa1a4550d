"""Commands that look, check, and do by hand what only a person may decide. Each returns its exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rollover.cli.arguments import (
    REASON,
    TENANT,
    TENANT_OR_DISTRICT,
    YEAR,
    BadArgument,
    Subparsers,
    added,
    engine_of,
    person_of,
    tenant_of,
    tenants_of,
    year_of,
)
from rollover.config import Catalog
from rollover.errors import DatabaseFailed
from rollover.lint import load_catalog
from rollover.settings import Settings
from rollover.tenant import Tenant


def lint(options: argparse.Namespace, settings: Settings) -> int:
    """Check every district and product file; and where the databases are known, whether each tenant can run."""
    catalog = load_catalog(settings.districts, settings.products)
    not_ready = _not_ready(catalog, settings, catalog.tenants)
    for problem in catalog.problems:
        print(problem)
    for whose, what in not_ready:
        print(f"{whose}: {what}")
    tenants, files = len(catalog.tenants), len(catalog.districts)
    problems = len(catalog.problems) + len(not_ready)
    print(f"{files} districts, {tenants} tenants, {len(catalog.products)} products, {problems} problems")
    return 1 if problems else 0


def _not_ready(catalog: Catalog, settings: Settings, tenants: Sequence[Tenant]) -> list[tuple[str, str]]:
    """Whose rollover could not run, and why, as far as the databases are known here."""
    from rollover.season import readiness

    active = set(readiness.active_tenants(catalog, datetime.now(UTC).date()))
    wanted = [tenant for tenant in tenants if tenant in active]
    found: list[tuple[str, str]] = []
    if settings.database_url is not None:
        with _asked("the directory"):
            found += readiness.unknown_to_directory(engine_of(settings), wanted)
    if readiness.METADATA_URL in os.environ:
        with _asked("Airflow's database"):
            found += readiness.dags_switched_off(readiness.metadata_engine(), wanted)
    return found


@contextmanager
def _asked(place: str) -> Iterator[None]:
    """Say that a place could not be asked, with the kind of error only: its text may quote values."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, DatabaseFailed) as error:
        print(f"{place} was not asked: {type(error).__name__}", file=sys.stderr)


def migrate(options: argparse.Namespace, settings: Settings) -> int:
    """Bring the product database to the newest schema; needs the owner's URL in ROLLOVER_DATABASE_URL."""
    from rollover.database import migrate as migration

    migration.upgrade(engine_of(settings))
    print("the database has the newest schema")
    return 0


def dates(options: argparse.Namespace, settings: Settings) -> int:
    """Name the reset date of every tenant for a school year."""
    from rollover.calendar import reset_day

    year = year_of(options)
    catalog = load_catalog(settings.districts, settings.products)
    for tenant in catalog.tenants:
        district, product = catalog.districts[tenant.district], catalog.products[tenant.product]
        facts = district.facts(tenant.product, year)
        day = reset_day(product.reset_rule, tenant.district, year, facts)
        print(f"{tenant.id:50} {day} {day:%A}  {'own date' if facts.own_reset_date else 'default'}")
    return 0


def status(options: argparse.Namespace, settings: Settings) -> int:
    """Say where each tenant is: current year, last rollover, pause, last import."""
    from rollover.database.session import tenant_session
    from rollover.season.status import status_of

    engine, catalog = engine_of(settings), load_catalog(settings.districts, settings.products)
    tenants = tenants_of(options, catalog)
    not_ready = _not_ready(catalog, settings, tenants)
    for tenant in tenants:
        with tenant_session(engine, tenant.id) as connection:
            said = [status_of(connection), *(problem for whose, problem in not_ready if whose == tenant.id)]
            print(f"{tenant.id}: {'; '.join(said)}")
    ids = {tenant.id for tenant in tenants}
    for whose, problem in not_ready:
        if whose not in ids:
            print(f"{whose}: {problem}")
    return 0


def resume(options: argparse.Namespace, settings: Settings) -> int:
    """End the pause of a tenant's roster sync by hand."""
    from rollover.database.session import tenant_session
    from rollover.ledger import pause

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    by = person_of(settings)
    with tenant_session(engine_of(settings), tenant.id, exclusive=True) as connection:
        result = pause.end_by_hand(connection, tenant.id, by=by, reason=options.reason)
    print(f"{tenant.id}: {'the pause has ended' if result.was_paused else 'was not paused'}")
    return 0


def plan(options: argparse.Namespace, settings: Settings) -> int:
    """Show what a rollover of a tenant, or of each of a district, would do now; changes nothing."""
    from rollover.database.session import tenant_session
    from rollover.run import Run
    from rollover.yearend import plan as planning

    catalog = load_catalog(settings.districts, settings.products)
    tenants = tenants_of(options, catalog)
    for tenant in tenants:
        run = Run(
            engine=engine_of(settings),
            tenant=tenant,
            school_year=year_of(options),
            district=catalog.districts[tenant.district],
            product=catalog.products[tenant.product],
            storage=settings.storage_root,
            now=datetime.now(UTC),
        )
        with tenant_session(run.engine, tenant.id) as connection:
            current = planning.current_school_year(connection) == run.school_year.key
            lines = planning.draft(connection, run, current=current)
            print(f"# {tenant.id} {run.school_year}, as of {run.reset_date}\n")
            print(planning.markdown(connection, lines, planning.warnings(connection, run)), "\n")
    return 0


def switch_on(options: argparse.Namespace, settings: Settings) -> int:
    """Switch on again what the reset switched off: Hero's notification e-mails, or its portal schedules."""
    from sqlalchemy import update

    from rollover.database.session import tenant_session
    from rollover.database.tables import tables_of
    from rollover.ledger import evidence

    catalog = load_catalog(settings.districts, settings.products)
    tenant = tenant_of(options, catalog)
    rule = catalog.products[tenant.product].data_classes.get(options.data_class)
    columns = [name for name, value in ((rule.set if rule else None) or {}).items() if value is False]
    if not columns:
        raise BadArgument(f"'{options.data_class}' of {tenant.product} is not switched off by a reset")
    by = person_of(settings)
    with tenant_session(engine_of(settings), tenant.id, exclusive=True) as connection:
        rows = 0
        for table in tables_of(tenant.product, options.data_class):
            rows += connection.execute(update(table).values(dict.fromkeys(columns, True))).rowcount
        facts = {"data_class": options.data_class, "rows": rows, "by": by, "why": options.reason}
        evidence.record(connection, tenant.id, evidence.SWITCHED_ON, facts, None)
    print(f"{tenant.id}: {options.data_class} is on for {rows} schools")
    return 0


def add_to(subparsers: Subparsers) -> None:
    added(subparsers, "lint", lint)
    added(subparsers, "migrate", migrate)
    added(subparsers, "dates", dates).add_argument("year", help=YEAR)
    added(subparsers, "status", status).add_argument(
        "tenant", nargs="?", help="a tenant or a district; without it, all"
    )
    command = added(subparsers, "resume", resume)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("--reason", required=True, help=REASON)
    command = added(subparsers, "switch-on", switch_on)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("data_class", help="notification_switch or portal_schedules")
    command.add_argument("--reason", required=True, help=REASON)
    command = added(subparsers, "plan", plan)
    command.add_argument("tenant", help=TENANT_OR_DISTRICT)
    command.add_argument("--year", required=True, help=YEAR)

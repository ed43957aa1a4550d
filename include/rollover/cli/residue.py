"""The command that asks every place where data of a tenant's year can still be."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rollover.cli.arguments import TENANT, YEAR, Subparsers, added, engine_of, tenant_of, year_of
from rollover.config import District
from rollover.errors import RolloverError
from rollover.lint import load_catalog
from rollover.settings import Settings

if TYPE_CHECKING:
    from rollover.sftp.outbox import Outbox


def residue(options: argparse.Namespace, settings: Settings) -> int:
    """Ask every place where data of a tenant's school year can still be; exit 1 if there is more than is kept.

    Asked are the product's tables and staging, storage, the outbox and the drops on SFTP, XComs and questions in
    Airflow's database, and this machine's temporary folder. A place that cannot be asked counts as found.
    """
    from rollover.certificate.disposals import disposals
    from rollover.database.session import tenant_session
    from rollover.run import Run
    from rollover.season.readiness import metadata_engine
    from rollover.yearend import residue as places
    from rollover.yearend.still_kept import still_kept

    catalog = load_catalog(settings.districts, settings.products)
    tenant = tenant_of(options, catalog)
    run = Run(
        engine=engine_of(settings),
        tenant=tenant,
        school_year=year_of(options),
        district=catalog.districts[tenant.district],
        product=catalog.products[tenant.product],
        storage=settings.storage_root,
        now=datetime.now(UTC),
        archive_keys=settings.archive_keys,
        backup_days=settings.backup_days,
    )
    found: list[str] = []
    with tenant_session(run.engine, tenant.id) as connection:
        found += map(str, places.in_database(connection, run))
        found += map(str, places.in_storage(connection, run))
        with _asked("SFTP", found), _outbox(run.district) as outbox:
            found += map(str, places.in_outbox(connection, run, outbox))
            done = disposals(connection, run)
            for kept in still_kept(connection, run, done, outbox, run.now) if done else ():
                until = f"until {kept['until']}" if kept["until"] else "no day is set"
                number = f"{kept['number']} {kept['unit']}"
                print(f"kept     {kept['what']}: {number}, {kept['where']}, {until}, {kept['ends']}")
        with _asked("Airflow's database", found):
            found += map(str, places.in_airflow(metadata_engine(), connection, run))
    found += map(str, places.in_temporary_folders())
    for said in found:
        print(f"found    {said}")
    print(f"{run.id}: {f'{len(found)} places or files to look at' if found else 'nothing beyond what the rules keep'}")
    return 1 if found else 0


@contextmanager
def _outbox(district: District) -> Iterator[Outbox]:
    """The district's SFTP server, by the Airflow connection that its file names."""
    from rollover.adapter.connections import outbox_of  # Airflow: only this command needs it

    logging.getLogger("paramiko").setLevel(logging.WARNING)  # Airflow would print every connection

    with outbox_of(district) as outbox:
        yield outbox


@contextmanager
def _asked(place: str, found: list[str]) -> Iterator[None]:
    """Add to `found` that a place could not be asked, with the kind of error only: its text may quote values."""
    try:
        yield
    except RolloverError as error:
        found.append(f"{place} was not asked: {error}")
    except Exception as error:
        found.append(f"{place} was not asked: {type(error).__name__}")


def add_to(subparsers: Subparsers) -> None:
    command = added(subparsers, "residue", residue)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)

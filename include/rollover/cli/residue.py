"""``rollover residue``: searches every place that can still hold data of a tenant's year."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from rollover.certificate.still_kept import StillKept
from rollover.cli.command import PROVE, Document, Lines, command
from rollover.cli.context import Context, school_year
from rollover.cli.parameters import TenantArgument, YearArgument
from rollover.errors import RolloverError

if TYPE_CHECKING:
    from rollover.config import District
    from rollover.sftp.outbox import Outbox

app = typer.Typer()


@dataclass(frozen=True)
class ResidueResult(Document):
    """The data of a rollover's year that still exists: kept by a rule, and beyond every rule."""

    rollover: str
    kept: list[StillKept]
    found: list[str]

    @property
    def exit_code(self) -> int:
        return 1 if self.found else 0

    def __str__(self) -> str:
        number = len(self.found)
        return f"{self.rollover}: {f'{number} places or files to look at' if number else NOTHING}"


NOTHING = "nothing beyond what the rules keep"


@app.command("residue", rich_help_panel=PROVE, epilog="Example: rollover residue hero__springfield-il 2025-26")
@command
def residue(context: Context, tenant: TenantArgument, year: YearArgument) -> Lines[ResidueResult]:
    """Search every place that can still hold data of a tenant's school year.

    Exits 1 if it finds more than is kept by a rule. It searches the product's tables and staging, storage, the outbox
    and the drops on SFTP, XComs and questions in Airflow's database, and this machine's temporary folder. A place that
    cannot be searched counts as found.
    """
    from rollover.certificate.disposals import disposals
    from rollover.season.readiness import metadata_engine
    from rollover.yearend import residue as places
    from rollover.yearend.still_kept import still_kept

    run = context.run(context.tenant(tenant), school_year(year))
    result = ResidueResult(run.id, [], [])
    found = result.found
    with context.session(run.tenant) as connection:
        found += map(str, places.in_database(connection, run))
        found += map(str, places.in_storage(connection, run))
        with _asked("SFTP", found), _outbox(run.district) as outbox:
            found += map(str, places.in_outbox(connection, run, outbox))
            done = disposals(connection, run)
            result.kept.extend(still_kept(connection, run, done, outbox, run.now) if done else [])
        with _asked("Airflow's database", found):
            found += map(str, places.in_airflow(metadata_engine(), connection, run))
    found += map(str, places.in_temporary_folders())
    for kept in result.kept:
        yield f"kept     {kept}"
    for sentence in found:
        yield f"found    {sentence}"
    yield str(result)
    return result


@contextmanager
def _outbox(district: District) -> Iterator[Outbox]:
    """The district's SFTP server, by the Airflow connection that its file names."""
    from rollover.adapter.connections import outbox_of

    logging.getLogger("paramiko").setLevel(logging.WARNING)  # Airflow would print every connection

    with outbox_of(district) as outbox:
        yield outbox


@contextmanager
def _asked(place: str, found: list[str]) -> Iterator[None]:
    """Add to `found` that a place could not be searched, with the type of the error only: its text may quote values."""
    try:
        yield
    except RolloverError as error:
        found.append(f"{place} was not searched: {error}")
    except Exception as error:
        found.append(f"{place} was not searched: {type(error).__name__}")

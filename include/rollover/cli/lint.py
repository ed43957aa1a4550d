"""``rollover lint``: checks the district and product files, and that every tenant could run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from rollover.cli.command import SET_UP, Document, Lines, command
from rollover.cli.context import Context
from rollover.errors import DatabaseFailed
from rollover.tenant import Tenant

app = typer.Typer()


@dataclass(frozen=True)
class NotReady:
    """A tenant, or all of them, whose rollover could not run, and why."""

    tenant: str
    problem: str

    def __str__(self) -> str:
        return f"{self.tenant}: {self.problem}"


@dataclass(frozen=True)
class FileProblem:
    """One thing that is wrong in a file, and the nearest right name if there is one."""

    file: Path
    line: int
    field: str
    message: str
    suggestion: str | None


@dataclass(frozen=True)
class LintResult(Document):
    """The numbers of files and tenants, the problems in the files, and the tenants that could not run."""

    districts: int
    tenants: int
    products: int
    problems: list[FileProblem]
    not_ready: list[NotReady]

    @property
    def found(self) -> int:
        return len(self.problems) + len(self.not_ready)

    @property
    def exit_code(self) -> int:
        return 1 if self.found else 0

    def __str__(self) -> str:
        from rollover.texts.filters import count

        files = ", ".join(map(count, (self.districts, self.tenants, self.products), ("district", "tenant", "product")))
        return f"{files}: {count(self.found, 'problem') if self.found else 'no problems'}"


@app.command("lint", rich_help_panel=SET_UP, epilog="Example: rollover lint")
@command
def lint(context: Context) -> Lines[LintResult]:
    """Check every district and product file, and whether each tenant can run.

    Whether it can run is looked up in the databases that ROLLOVER_DATABASE_URL and
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN name. Exits 1 if there is a problem.
    """
    catalog = context.catalog
    counts = len(catalog.districts), len(catalog.tenants), len(catalog.products)
    problems = [
        FileProblem(each.file, each.line, each.field, each.message, each.suggestion) for each in catalog.problems
    ]
    result = LintResult(*counts, problems, not_ready(context, catalog.tenants))
    yield from map(str, catalog.problems)
    yield from map(str, result.not_ready)
    yield str(result)
    return result


def not_ready(context: Context, tenants: Sequence[Tenant]) -> list[NotReady]:
    """The tenants whose rollover could not run, and why, as far as the configured databases show it."""
    from rollover.season import readiness

    active = set(readiness.active_tenants(context.catalog, datetime.now(UTC).date()))
    wanted = [tenant for tenant in tenants if tenant in active]
    found: list[tuple[str, str]] = []
    if context.settings.database_url is not None:
        with _asked("the directory"):
            found += readiness.unknown_to_directory(context.engine, wanted)
    if readiness.METADATA_URL in os.environ:
        with _asked("Airflow's database"):
            product = context.engine if context.settings.database_url is not None else None
            metadata, now = readiness.metadata_engine(), datetime.now(UTC)
            found += readiness.dags_switched_off(metadata, wanted, record_in=product, now=now)
    return [NotReady(tenant, problem) for tenant, problem in found]


@contextmanager
def _asked(place: str) -> Iterator[None]:
    """Say that a place could not be asked, with the type of the error only: its text may quote values."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, DatabaseFailed) as error:
        print(f"{place} was not asked: {type(error).__name__}", file=sys.stderr)

"""A tenant to import for, its SFTP folder on a real server, and a small but whole OneRoster set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover.config import RosterLimits, TenantConfig
from rollover.database.session import tenant_session
from rollover.roster import imports
from rollover.roster.applying.apply import apply
from rollover.roster.applying.undo import undo
from rollover.roster.columnar import in_one_duckdb
from rollover.roster.comparing.compare import compare
from rollover.roster.imports import Import
from rollover.roster.intake.fetch import fetch
from rollover.roster.reading.stage import stage
from rollover.roster.review.answers import Answer
from rollover.roster.review.decision import decide
from rollover.roster.validating.validate import validate
from rollover.sftp.drops import candidates, list_folder, record
from tests.support.roster.small_set import as_files
from tests.support.sftp_server import DISTRICT, Sftp, sftp, sftp_server

__all__ = ["sftp", "sftp_server"]

YEAR = "2025-26"
OTHER = "hero__shelbyville-il"


CONFIG = TenantConfig(first_school_year=YEAR, folder="/springfield-il/hero", roster_import="nightly")


@pytest.fixture(scope="module", autouse=True)
def one_duckdb() -> Iterator[None]:
    """As in a task. To start one for each stage of each import takes a third of these tests' time."""
    with in_one_duckdb():
        yield


@pytest.fixture(params=["hero"])
def tenant_id(request: pytest.FixtureRequest, owner: Engine) -> str:
    """A tenant in 2025-26 with two schools, beside another district's tenant."""
    product = request.param
    tenant = f"{product}__{DISTRICT}"
    with owner.begin() as connection:
        for district, org, its_tenant in (
            (DISTRICT, "springfield-district", tenant),
            ("shelbyville-il", "shelbyville-district", OTHER),
        ):
            connection.execute(
                text("INSERT INTO directory.districts VALUES (:district, 'A district', :org)"),
                {"district": district, "org": org},
            )
            connection.execute(
                text("INSERT INTO directory.tenants VALUES (:tenant, :district, :product, :year)"),
                {"tenant": its_tenant, "district": district, "product": its_tenant.split("__")[0], "year": YEAR},
            )
    return tenant


@dataclass
class District:
    """What a district does (upload), and what Rollover then does, up to a step of choice."""

    engine: Engine
    owner: Engine
    tenant_id: str
    storage: UPath
    sftp: Sftp
    folder: str
    uploads: int = 0
    config: TenantConfig = CONFIG
    needs_username: bool = True
    limits: RosterLimits = field(default_factory=RosterLimits)

    def upload(self, files: dict[str, bytes]) -> str:
        """Replace the folder's files, and record them as a drop; return the import's id."""
        local = self.sftp.root / self.folder
        local.mkdir(parents=True, exist_ok=True)
        for old in local.iterdir():
            if old.is_file():
                old.unlink()
        self.uploads += 1
        for name, content in files.items():
            (local / name).write_bytes(content)
            os.utime(local / name, (1_790_000_000 + self.uploads, 1_790_000_000 + self.uploads))
        (candidate,) = candidates(list_folder(self.sftp.client, f"/{self.folder}"))
        with tenant_session(self.engine, self.tenant_id) as connection:
            import_id = record(connection, self.tenant_id, f"/{self.folder}", candidate)
        assert import_id is not None
        return import_id

    def fetch(self, import_id: str) -> dict[str, Any]:
        given = (self.engine, self.tenant_id, import_id, self.sftp.client, self.sftp.login, self.storage)
        return fetch(*given).as_json()

    def steps(self) -> tuple[Callable[[str], dict[str, Any]], ...]:
        """Every step up to comparing, in order."""

        def staged(import_id: str) -> dict[str, Any]:
            given = (self.engine, self.tenant_id, import_id, self.storage, self.config)
            return stage(*given, needs_username=self.needs_username).as_json()

        def validated(import_id: str) -> dict[str, Any]:
            given = (self.engine, self.tenant_id, import_id, self.storage)
            return validate(*given, time_zone="America/Chicago").as_json()

        def compared(import_id: str) -> dict[str, Any]:
            return compare(self.engine, self.tenant_id, import_id, self.storage, self.limits).as_json()

        return (self.fetch, staged, validated, compared)

    def take(self, files: dict[str, bytes]) -> dict[str, Any]:
        """Upload and go on to comparing (or to where the set is rejected)."""
        return self.go_on(self.upload(files))

    def go_on(self, import_id: str) -> dict[str, Any]:
        """Every step up to comparing, from where an import is."""
        result: dict[str, Any] = {}
        for step in self.steps():
            result = step(import_id)
        return result

    def found(self, import_id: str) -> Import:
        return imports.current(self.engine, self.tenant_id, import_id)

    def decide(self, import_id: str, answer: Answer) -> None:
        comparison = self.found(import_id).comparison
        assert comparison is not None
        done = decide(self.engine, self.tenant_id, import_id, answer, "dana", digest=comparison["digest"])
        assert done.decided, done

    def take_rows(self, rows: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
        return self.take(as_files(rows))

    def apply(self, import_id: str, rollover_id: str | None = None) -> dict[str, Any]:
        given = (self.engine, self.tenant_id, import_id, self.storage, self.limits)
        return apply(*given, rollover_id=rollover_id).as_json()

    def undo(self, import_id: str | None = None) -> dict[str, Any]:
        return undo(self.engine, self.tenant_id, import_id, by="a person", reason="the wrong files").as_json()

    def rows(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What the database holds, seen past row-level security."""
        with self.owner.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    def run(self, statement: str, **parameters: Any) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(statement), parameters)

    def findings(self, import_id: str) -> set[tuple[str, str, str, int | None, str | None]]:
        query = 'SELECT code, severity, file, "row", "column" FROM ledger.findings WHERE import_id = :id'
        return {(c, s, f, r, k) for c, s, f, r, k in self.rows(query, id=import_id)}


@pytest.fixture
def district(engine: Engine, owner: Engine, tenant_id: str, storage: UPath, sftp: Sftp, database: str) -> District:
    return District(engine, owner, tenant_id, storage, sftp, f"{DISTRICT}/{database}")

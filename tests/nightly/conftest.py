"""A night with two hundred tenants on twenty servers, of which each has done something and few have anything due."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, text
from upath import UPath

from rollover.config import Catalog, District
from rollover.database.tables import directory, ledger
from rollover.ledger.artifacts import OUTBOX
from rollover.nightly.tonight import Night
from rollover.tenant import Tenant
from tests.support import small_district
from tests.support.outboxes import FolderOutbox

NOW = small_district.NOW
TENANTS = [Tenant("hero", f"d{n:03}") for n in range(200)]
IDS = {tenant.id for tenant in TENANTS}
SERVERS = 20
GRACE, EXPORTS_KEPT = 30, 60
"""Of the product file in these tests."""


def server_of(tenant: Tenant) -> str:
    return f"server_{int(tenant.district[1:]) % SERVERS:02}"


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


class DeadServer(ConnectionError):
    """What a server that does not answer raises."""


@dataclass
class Servers:
    """The servers, as one folder. Each opening and each request is counted by server; those in `dead` fail."""

    outbox: FolderOutbox
    dead: set[str] = field(default_factory=set)
    opened: Counter[str] = field(default_factory=Counter)
    requests: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def outbox_of(self, district: District) -> Iterator[Any]:
        yield _CountingOutbox(self, district.sftp_connection)


class _CountingOutbox:
    """Connects when it is first used, as the real one does."""

    def __init__(self, servers: Servers, name: str) -> None:
        self._servers, self._name, self._is_open = servers, name, False

    def _ask(self, path: str) -> FolderOutbox:
        if not self._is_open:
            self._servers.opened[self._name] += 1
        if self._name in self._servers.dead:
            raise DeadServer(path)
        self._is_open = True
        self._servers.requests.append((self._name, path))
        return self._servers.outbox

    def deliver(self, file: UPath, remote_path: str) -> None:
        self._ask(remote_path).deliver(file, remote_path)

    def remove(self, remote_path: str) -> None:
        self._ask(remote_path).remove(remote_path)

    def listing(self, remote_folder: str) -> list[str]:
        return self._ask(remote_folder).listing(remote_folder)


@dataclass
class Sessions:
    """The tenants whose sessions were opened, and the statements of sessions of all tenants."""

    tenants: set[str] = field(default_factory=set)
    of_all: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.tenants.clear()
        self.of_all.clear()


@dataclass
class World:
    """The night, what it opens, and the ledger, written past row-level security."""

    owner: Engine
    night: Night
    servers: Servers
    sessions: Sessions

    def on(self, days: int) -> Night:
        """The night some days later."""
        return replace(self.night, now=NOW + timedelta(days=days), day=self.night.day + timedelta(days=days))

    def run(self, statement: str, **given: Any) -> list[tuple[Any, ...]]:
        with self.owner.begin() as connection:
            done = connection.execute(text(statement), given)
            return [tuple(row) for row in done] if done.returns_rows else []

    def has_import(self, tenant: Tenant, state: str, changed_at: datetime, **values: Any) -> str:
        import_id = f"{tenant}__{abs(hash((state, changed_at))) % 10**12:012}"
        row = {"import_id": import_id, "state": state, "found_at": changed_at, "changed_at": changed_at, **values}
        with self.owner.begin() as connection:
            connection.execute(insert(ledger.imports).values(tenant_id=tenant.id, **row))
        return import_id

    def has_export(self, tenant: Tenant, certified_at: datetime) -> str:
        """An export of a certified rollover, in the outbox; returns its path there."""
        with self.owner.begin() as connection:
            return _add_exports(connection, [tenant], certified_at)[0]


@pytest.fixture
def world(owner: Engine, engine: Engine, storage: UPath, tmp_path: Path) -> Iterator[World]:
    """Each tenant has a finished import of which everything is removed, a young one whose rows are in their grace, a
    young report, and young exports in its outbox, which were compared with the ledger."""
    servers = Servers(FolderOutbox(tmp_path / "servers"))
    product = small_district.run_of(engine, storage).product
    product = product.model_copy(update={"grace_days": GRACE, "exports_kept_days": EXPORTS_KEPT})
    districts = {tenant.district: _district(tenant) for tenant in TENANTS}
    known = Catalog(districts, {"hero": product}, ())
    assert list(known.tenants) == TENANTS
    with owner.begin() as connection:
        _fill(connection)
    sessions = Sessions()
    night = Night(engine, known, storage, servers.outbox_of, NOW, NOW.date())
    with _watched(engine, sessions):
        yield World(owner, night, servers, sessions)


def _district(tenant: Tenant) -> District:
    district = small_district.district(tenant.district, sftp_connection=server_of(tenant))
    return district.model_copy(update={"products": {"hero": district.products["hero"]}})


def _fill(connection: Connection) -> None:
    reported = {"reported": {"folder": "/outbox/imports/x", "sha256": "0", "state": "applied"}}
    finished = {"state": "applied", "files_removed_at": ago(1)}
    old = {**finished, "rows_removed_at": ago(70), "found_at": ago(100), "changed_at": ago(100), "details": {}}
    young = {**finished, "rows_removed_at": None, "found_at": ago(10), "changed_at": ago(10), "details": reported}
    districts, tenants, found, checks = [], [], [], []
    for tenant in TENANTS:
        name, of_tenant = tenant.district, {"tenant_id": tenant.id}
        districts.append({"district_id": name, "name": name, "org_sourced_id": name})
        tenants.append({**of_tenant, "district_id": name, "product": "hero", "current_school_year": "2026-27"})
        found += [{**of_tenant, "import_id": f"{tenant}__{n}", **row} for n, row in enumerate((old, young))]
        checks.append({**of_tenant, "checked_at": ago(1), "differs": False})
    for table, rows in (
        (directory.districts, districts),
        (directory.tenants, tenants),
        (ledger.imports, found),
        (ledger.file_checks, checks),
    ):
        connection.execute(insert(table), rows)
    _add_exports(connection, TENANTS, ago(20))


def _add_exports(connection: Connection, tenants: Iterable[Tenant], certified_at: datetime) -> list[str]:
    """An export of a certified rollover of each tenant; returns the paths in their outboxes."""
    year = f"{certified_at.year - 1}-{certified_at.year % 100:02}"
    day = {"reset_date": certified_at.date(), "reset_at": certified_at, "started_at": certified_at}
    certified = {"school_year": year, "is_current": True, "state": "certified", "run_id": "r", **day}
    file = {"report": "tardies", "file": "tardies.csv", "rows": 1, "bytes": 1, "sha256": "0", "plan_no": 1}
    rollovers, exports, artifacts = [], [], []
    for tenant in tenants:
        key = {"tenant_id": tenant.id, "rollover_id": f"{tenant}__{year}"}
        remote = f"/{tenant.district}/hero/outbox/{year}/tardies.csv"
        rollovers.append({**key, **certified, "finished_at": certified_at})
        here = {"path": f"/nowhere/{tenant}/{year}.csv", "delivered_to": remote, "written_at": certified_at}
        exports.append({**key, **file, **here})
        artifacts.append({**key, "plan_no": 1, "place": OUTBOX, "path": remote, "intended_at": certified_at})
    for table, rows in ((ledger.rollovers, rollovers), (ledger.exports, exports), (ledger.artifacts, artifacts)):
        connection.execute(insert(table), rows)
    return [str(row["path"]) for row in artifacts]


@contextmanager
def _watched(engine: Engine, sessions: Sessions) -> Iterator[None]:
    """Note which tenants' sessions are opened, and what a session of all tenants asks."""
    watched_role = "SET LOCAL ROLE rollover_season"
    of_all: set[int] = set()

    def look(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        given = parameters.values() if isinstance(parameters, dict) else parameters or ()
        sessions.tenants.update({str(value) for value in given if str(value) in IDS and "set_config" in statement})
        if statement == watched_role:
            of_all.add(id(connection))
        elif statement.startswith("SET LOCAL ROLE"):
            of_all.discard(id(connection))
        elif id(connection) in of_all:
            sessions.of_all.append(statement)

    event.listen(engine, "before_cursor_execute", look)
    yield
    event.remove(engine, "before_cursor_execute", look)

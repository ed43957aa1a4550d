"""The ledger of two tenants, for what `rollover.season` reads from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.season.status import status_of
from tests.support import small_district

HERO, LAKESIDE = "hero__riverside-ca", "hero__lakeside-ca"
STARTED = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
FILES = (datetime(2026, 7, 30, 21, 5, tzinfo=UTC), datetime(2026, 7, 30, 22, 15, tzinfo=UTC))
FOUND = datetime(2026, 7, 31, 3, 0, tzinfo=UTC)


@dataclass
class Book:
    """The ledger of two tenants, written past row-level security."""

    owner: Engine
    engine: Engine
    drops: int = 0

    def drop(self, state: str, tenant_id: str = HERO, year: str | None = "2025-26", **values: Any) -> str:
        """A drop, each newer than the one before, and its result an hour later."""
        self.drops += 1
        import_id = f"{tenant_id}__{self.drops:012}"
        found = FOUND + timedelta(days=self.drops)
        files = [
            {"name": name, "size": 5, "modified": int((when + timedelta(days=self.drops)).timestamp())}
            for name, when in zip(("users.csv", "orgs.csv"), FILES, strict=True)
        ]
        drop = {"drop_id": import_id, "folder": "/f", "fingerprint": import_id, "files": files, "found_at": found}
        row = {"import_id": import_id, "state": state, "school_year": year, "found_at": found}
        row |= {"changed_at": found + timedelta(hours=1), **values}
        with self.owner.begin() as connection:
            connection.execute(insert(ledger.drops).values(tenant_id=tenant_id, **drop))
            connection.execute(insert(ledger.imports).values(tenant_id=tenant_id, **row))
        return import_id

    def status(self, tenant_id: str = HERO) -> list[str]:
        with tenant_session(self.engine, tenant_id) as connection:
            return str(status_of(connection)).split("; ")

    def pause(self, tenant_id: str = HERO, since: datetime = STARTED) -> None:
        with self.owner.begin() as connection:
            row = {"paused_by": f"{tenant_id}__2025-26", "reason": "rollover of 2025-26", "paused_at": since}
            connection.execute(insert(ledger.pauses).values(tenant_id=tenant_id, **row))


@pytest.fixture
def book(owner: Engine, engine: Engine) -> Book:
    with owner.begin() as connection:
        for name in ("riverside-ca", "lakeside-ca"):
            small_district.add_directory(connection, name, ["hero"])
    return Book(owner, engine)

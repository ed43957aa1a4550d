"""The ledger of two tenants, for what `rollover.season` reads from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from rollover.config import Catalog, District
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.lint import load_catalog
from rollover.season.detail import TenantDetail, detail_of
from rollover.tenant import Tenant
from tests.support import small_district

HERO, LAKESIDE = "hero__riverside-ca", "hero__lakeside-ca"
STARTED = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
FILES = (datetime(2026, 7, 30, 21, 5, tzinfo=UTC), datetime(2026, 7, 30, 22, 15, tzinfo=UTC))
NOW = datetime(2026, 7, 5, tzinfo=UTC)
FOUND = datetime(2026, 7, 31, 3, 0, tzinfo=UTC)


def catalog(**own: int) -> Catalog:
    """Riverside and Lakeside with Hero, which allows 30 days; Riverside perhaps another number."""
    products = load_catalog(Path("/nonexistent"), small_district.PRODUCTS).products
    districts: dict[str, District] = {}
    for name, more in (("riverside-ca", own), ("lakeside-ca", {})):
        district = small_district.district(name)
        hero = district.products["hero"].model_copy(update=more)
        districts[name] = district.model_copy(update={"products": {"hero": hero}})
    known = Catalog(districts, products, ())
    assert known.tenants == (Tenant.parse(LAKESIDE), Tenant.parse(HERO))
    return known


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

    def detail(self, tenant_id: str = HERO) -> TenantDetail:
        with tenant_session(self.engine, tenant_id) as connection:
            return detail_of(connection, catalog(), NOW)

    def sentences(self, tenant_id: str = HERO) -> list[str]:
        return self.detail(tenant_id).sentences

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

"""What `rollover status` says of a tenant, the view behind it, and the pauses that last too long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from rollover.config import Catalog, District
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import Refused
from rollover.ledger import pause
from rollover.lint import load_catalog
from rollover.season.status import status_of
from rollover.tenant import Tenant
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
            lease = {"paused_by": f"{tenant_id}__2025-26", "reason": "rollover of 2025-26", "paused_at": since}
            connection.execute(insert(ledger.pauses).values(tenant_id=tenant_id, **lease))


@pytest.fixture
def book(owner: Engine, engine: Engine) -> Book:
    with owner.begin() as connection:
        for name in ("riverside-ca", "lakeside-ca"):
            small_district.add_directory(connection, name, ["hero"])
    return Book(owner, engine)


def test_a_tenant_without_a_past(book: Book) -> None:
    expected = ["current school year 2025-26", "no rollover yet", "nightly sync: on", "last import: none"]
    assert book.status() == expected
    with tenant_session(book.engine, "hero__nowhere-tx") as connection:
        assert str(status_of(connection)).startswith("not in the directory")


def test_the_last_import_is_reported_with_the_dates_of_its_files(book: Book) -> None:
    details = {"rows": {"users.csv": 12_000, "orgs.csv": 3}, "errors": {"bad_date": 2, "id_length": 1}}
    book.drop("applied", details={"schema_version": 1, **details})
    book.drop("applied", LAKESIDE)
    said = book.status()
    assert (
        "last import: 2026-08-01 04:00 UTC, 2025-26, files of 2026-07-31 21:05 UTC to 2026-07-31 22:15 UTC, "
        "12,003 rows, 3 errors, 0 warnings" in said
    )
    assert not any(part.startswith("newest drop") for part in said)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("rejected", "refused for bad_date"), ("undone", "by dana"), ("superseded", "x is newer"), ("found", None)],
)
def test_a_newer_drop_that_did_not_go_live_is_reported_beside_it(book: Book, state: str, reason: str | None) -> None:
    book.drop("applied")
    book.drop(state, year=None, reason=reason)
    last, newest = (part for part in book.status() if "UTC" in part)
    assert last.startswith("last import: 2026-08-01 04:00 UTC, 2025-26, files of 2026-07-31 21:05")
    assert newest.startswith(f"newest drop: {state}, 2026-08-02 04:00 UTC, year unknown, files of 2026-08-01 21:05")
    assert newest.endswith(f"({reason})" if reason else "UTC")


def test_an_import_in_review_is_reported_with_how_to_decide(book: Book) -> None:
    book.drop("applied")
    first = book.drop("in_review", reason="over its limits: school_lost (1)")
    second = book.drop("in_review", year="2026-27", reason="over its limits: half_set (1), school_lost (2)")
    with tenant_session(book.engine, HERO) as connection:
        said = str(status_of(connection))
    how = "answer in Airflow (Browse, Required Actions) or by `rollover roster decide`"
    assert (
        f"import in review since 2026-08-02 04:00 UTC: {first}, over its limits: school_lost (1); {how}; roster" in said
    )
    assert (
        f"import in review since 2026-08-03 04:00 UTC: {second}, over its limits: half_set (1), school_lost (2); {how}"
        in said
    )


def test_the_live_import_is_the_one_of_the_latest_year_and_drop(book: Book) -> None:
    """As apply sees it: a set of a later year is live although an older year's drop was found after it."""
    book.drop("applied", year="2025-26")
    live = book.drop("applied", year="2026-27")
    newest = book.drop("applied", year="2025-26")
    with book.owner.connect() as connection:
        rows = connection.execute(text("SELECT import_id, is_newest, is_live FROM ledger.last_imports"))
        assert {tuple(row) for row in rows} == {(live, False, True), (newest, True, False)}


def test_one_query_tells_of_every_tenant_and_a_session_of_its_own_only(book: Book) -> None:
    here, there = book.drop("applied"), book.drop("rejected", LAKESIDE)
    query = text("SELECT import_id FROM ledger.last_imports ORDER BY found_at")
    with book.owner.connect() as connection:
        assert connection.scalars(query).all() == [here, there]
    for tenant_id, own in ((HERO, here), (LAKESIDE, there), ("hero__nowhere-tx", None)):
        with tenant_session(book.engine, tenant_id) as connection:
            assert connection.scalars(query).all() == ([own] if own else [])


def test_a_pause_is_reported_with_who_and_why(book: Book) -> None:
    book.pause()
    assert "sync paused since 2026-07-01 08:00 UTC by hero__riverside-ca__2025-26: rollover of 2025-26" in book.status()


# Pauses that last too long


def catalog(**own: int) -> Catalog:
    """Riverside and Lakeside with Hero, which allows 30 days; Riverside perhaps another number."""
    products = load_catalog(Path("/nonexistent"), small_district.PRODUCTS).products
    districts: dict[str, District] = {}
    for name, more in (("riverside-ca", own), ("lakeside-ca", {})):
        district = small_district.district(name)
        hero = district.products["hero"].model_copy(update=more)
        districts[name] = district.model_copy(update={"products": {"hero": hero}})
    known = Catalog(districts, products, ())
    assert known.tenants == [Tenant.parse(LAKESIDE), Tenant.parse(HERO)]
    return known


@pytest.mark.parametrize(
    ("own", "days", "is_reported"),
    [({}, 30, False), ({}, 31, True), ({"pause_max_days": 5}, 5, False), ({"pause_max_days": 5}, 6, True)],
)
def test_a_pause_that_lasts_too_long_is_reported_every_day(
    book: Book, own: dict[str, int], days: int, is_reported: bool
) -> None:
    book.pause()
    now = STARTED + timedelta(days=days)
    if not is_reported:
        pause.refuse_overdue(book.engine, catalog(**own), now)
        return
    for day in range(3):
        with pytest.raises(Refused) as refused:
            pause.refuse_overdue(book.engine, catalog(**own), now + timedelta(days=day))
        allowed = own.get("pause_max_days", 30)
        since = f"{HERO} since 2026-07-01 08:00 UTC by hero__riverside-ca__2025-26"
        assert f"{since} ({days + day} days; {allowed} are allowed)" in str(refused.value)
        assert "rollover resume" in refused.value.remedy


def test_every_overdue_tenant_is_named(book: Book) -> None:
    book.pause()
    book.pause(LAKESIDE, STARTED - timedelta(days=100))
    with pytest.raises(Refused, match=rf"{LAKESIDE} since 2026-03-23 .*; {HERO} since 2026-07-01"):
        pause.refuse_overdue(book.engine, catalog(), STARTED + timedelta(days=31))


def test_a_pause_that_has_ended_is_not_reported(book: Book) -> None:
    book.pause()
    with tenant_session(book.engine, HERO) as connection:
        pause.end_by_hand(connection, HERO, by="dana", reason="a test")
    pause.refuse_overdue(book.engine, catalog(), STARTED + timedelta(days=400))
    assert "nightly sync: on" in book.status()

"""The page about archived years: what there is, and how the years compare."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, delete, func, insert, select
from upath import UPath

from rollover.archive import trends
from rollover.archive.keys import Keys
from rollover.database.tables import directory, hero, ledger
from rollover.run import Run
from rollover.web.host import Host
from rollover.yearend import steps
from tests.archive.conftest import subscribe_all
from tests.support.small_district import YEAR, add_hero, hero_world, run_of
from tests.web.conftest import CLERK, READER, Browser
from tests.web.test_tenant import as_text
from tests.yearend.test_rollover_steps import certify, until_approved

ARCHIVE = "/tenants/hero__riverside-ca/archive"


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    """Riverside, with both schools subscribed."""
    hero_world(owner)
    subscribe_all(owner)
    return run_of(engine, storage)


def with_a_past_year(owner: Engine) -> None:
    """A year before, in which only the north school has data."""
    with owner.begin() as connection:
        add_hero(connection, "hero__riverside-ca", YEAR.previous)
        past = hero.tracking_events.c
        connection.execute(
            delete(hero.tracking_events).where(past.school_year == YEAR.previous.key, past.school_id == "south")
        )


def archived(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)


def certified(run: Run) -> None:
    archived(run)
    steps.verify_reset(run)
    certify(run)


def counts(owner: Engine) -> dict[tuple[str, str], int]:
    """Events by year and school, in the live tables."""
    row = hero.tracking_events.c
    query = select(row.school_year, row.school_id, func.count()).where(row.tenant_id == "hero__riverside-ca")
    with owner.connect() as connection:
        found = connection.execute(query.group_by(row.school_year, row.school_id))
        return {(year, school): rows for year, school, rows in found}


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_years_compare_as_their_live_rows_did(
    run: Run, owner: Engine, host: Host, browser: Browser, tmp_path: str, encrypted: bool
) -> None:
    if encrypted:
        keys = Keys(UPath(tmp_path) / "keys")  # type: ignore[arg-type]
        keys.make(run.tenant.id)
        run = replace(run, archive_keys=keys.folder)
        object.__setattr__(host, "keys", keys)
    with_a_past_year(owner)
    live = counts(owner)
    certified(replace(run, school_year=YEAR.previous))
    archived(run)
    page = as_text(browser(READER).get(ARCHIVE).text)
    assert "2024-25" in page and "2025-26" in page and ("key " in page) == encrypted
    answer = browser(READER).get(f"{ARCHIVE}/trends.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    found = {
        (row["school year"], row["school id"]): int(row["number"]) for row in rows if row["measure"] == "events tracked"
    }
    assert found == live
    assert {row["school"] for row in rows} == {"North School", "South School"}
    shown = browser(READER).get(f"{ARCHIVE}/trends")
    assert "Events tracked by school year" in shown.text and "Zebrowski" not in shown.text
    assert "North School 12 12" in as_text(shown.text) and "South School – 8" in as_text(shown.text)


def test_a_year_is_counted_once(run: Run, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    archived(run)
    first = browser(READER).get(f"{ARCHIVE}/trends")
    monkeypatch.setattr(trends, "archived", None)  # a second count would fail
    again = browser(READER).get(f"{ARCHIVE}/trends")
    assert (again.status_code, again.text) == (200, first.text)


def test_a_year_that_is_gone_is_left_out(run: Run, owner: Engine, browser: Browser) -> None:
    archived(run)
    with owner.begin() as connection:
        values = {"kind": "expire", "school_year": YEAR.key, "plan_hash": "x", "content": {}, "approved_by": "kim"}
        at = datetime.now(UTC)
        connection.execute(
            insert(ledger.archive_plans).values(tenant_id=run.tenant.id, approved_at=at, done_at=at, **values)
        )
    page = as_text(browser(READER).get(ARCHIVE).text)
    assert "expired" in page and "Compare the years" not in page
    assert "2025-26 has expired." in browser(READER).get(f"{ARCHIVE}/trends").text


def test_a_year_whose_key_is_missing_says_so(run: Run, host: Host, browser: Browser, tmp_path: str) -> None:
    keys = Keys(UPath(tmp_path) / "keys")  # type: ignore[arg-type]
    keys.make(run.tenant.id)
    archived(replace(run, archive_keys=keys.folder))
    answer = browser(READER).get(f"{ARCHIVE}/trends")
    assert answer.status_code == 200 and "which is not there" in answer.text


def test_the_archive_of_another_district_is_hidden(run: Run, owner: Engine, browser: Browser) -> None:
    archived(run)
    with owner.begin() as connection:
        names = {"district_id": "hillside-wa", "name": "Hillside", "org_sourced_id": "h"}
        connection.execute(insert(directory.districts).values(**names))
    for path in ("", "/trends", "/trends.csv"):
        assert browser(CLERK).get(f"/tenants/hero__hillside-wa/archive{path}").status_code == 404

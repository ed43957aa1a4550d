"""Downloads: who may, what is recorded before the first byte, and what is never sent."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import Engine, select, update
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import TenantBusy
from rollover.ledger import evidence
from rollover.run import Run
from rollover.web.data import downloads
from rollover.web.data.downloads import DOWNLOADED, safe_name
from rollover.web.forms import Forms
from tests.support.small_district import NORTH, hero_world, run_of, unguarded
from tests.web.conftest import ADMIN, CLERK, READER, Browser, Person
from tests.yearend.test_rollover_steps import until_reset

TENANT, HILLSIDE = "/tenants/hero__riverside-ca", "/tenants/hero__hillside-wa"
EXPORT = {"plan_no": "1", "file": "behavior_history.csv"}
TABLE = {"year": "2025-26", "table": "hero.tracking_events"}
REPORT = {"year": "2025-26", "report": "behavior_history"}
PERSONAL = {"/exports/2025-26": EXPORT, "/archive/table": TABLE, "/archive/report": REPORT}
"""Every download with personal data, but for the findings of a drop (see test_drop.py)."""


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    run = run_of(engine, storage)
    until_reset(run)
    return run


def send(browser: Browser, path: str, values: dict[str, str], login: str = ADMIN, token: str | None = None) -> Response:
    """Send the form of a download, with the token of the person's own pages."""
    own = Forms("a secret of the tests").token(Person(login))
    return browser(login).post(path, data={**values, "token": own if token is None else token})


def downloaded(run: Run) -> list[dict[str, Any]]:
    return downloaded_of(run.engine, run.tenant.id)


def downloaded_of(engine: Engine, tenant_id: str) -> list[dict[str, Any]]:
    """The evidence of downloads, oldest first; the chain holds."""
    with tenant_session(engine, tenant_id) as connection:
        assert evidence.check(connection).wrong == ()
        row = ledger.evidence.c
        query = select(row.facts).where(row.kind == DOWNLOADED).order_by(row.evidence_id)
        return list(connection.scalars(query))


def exported(run: Run, name: str) -> bytes:
    return (run.storage / "exports" / "hero" / "riverside-ca" / "2025-26" / name).read_bytes()


def lines_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_only_who_has_the_right_gets_personal_data(run: Run, browser: Browser) -> None:
    other = Forms("a secret of the tests").token(Person(CLERK))
    for path, values in PERSONAL.items():
        assert send(browser, TENANT + path, values, READER).status_code == 403
        assert send(browser, HILLSIDE + path, values, CLERK).status_code == 404
        assert send(browser, TENANT + path, values, "broken").status_code == 404
        assert browser(None).post(TENANT + path, data=values).status_code == 401
        assert send(browser, TENANT + path, values, token="forged").status_code == 403
        assert send(browser, TENANT + path, values, token=other).status_code == 403, "a token is one person's"
        assert browser(ADMIN).post(TENANT + path, data=values).status_code == 403
        assert browser(ADMIN).get(TENANT + path, params=values).status_code in (404, 405), "never by a link"
    assert downloaded(run) == []
    for path, values in PERSONAL.items():
        got = send(browser, TENANT + path, values, CLERK)
        assert got.status_code == 200 and (b"Zebrowski" in got.content or path == "/archive/table")
    facts = downloaded(run)
    assert [fact["by"] for fact in facts] == [CLERK] * len(PERSONAL)
    assert not re.search(r"Zebrowski|Quentin|\bn1\b", str(facts))


def test_an_export_is_the_file_that_the_district_got(run: Run, browser: Browser) -> None:
    got = send(browser, f"{TENANT}/exports/2025-26", EXPORT)
    assert got.content == exported(run, "behavior_history.csv")
    assert got.headers["content-disposition"] == (
        'attachment; filename="hero__riverside-ca_2025-26_behavior_history.csv"'
    )
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cache-control"] == "no-store"
    (fact,) = downloaded(run)
    assert (fact["what"], fact["report"], fact["plan_no"]) == ("export", "behavior_history", 1)
    printed = {"plan_no": "1", "file": f"schoolwide_points_printed/{NORTH}.pdf"}
    page = send(browser, f"{TENANT}/exports/2025-26", printed)
    assert page.headers["content-type"] == "application/pdf" and page.content.startswith(b"%PDF")
    assert page.headers["content-disposition"].endswith('schoolwide_points_printed_north.pdf"')


def test_the_download_is_recorded_before_the_first_byte(
    run: Run, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[int] = []
    whole = downloads.chunks

    def late(path: UPath) -> Iterator[bytes]:
        before.append(len(downloaded(run)))
        yield from whole(path)

    monkeypatch.setattr("rollover.web.downloads.chunks", late)
    assert send(browser, f"{TENANT}/exports/2025-26", EXPORT).status_code == 200
    assert before == [1]


def test_nothing_is_sent_if_it_cannot_be_recorded(run: Run, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "WAIT_SECONDS", 0.2)
    with tenant_session(run.engine, run.tenant.id, exclusive=True):
        for path, values in PERSONAL.items():
            busy = send(browser, TENANT + path, values)
            assert busy.status_code == 409 and "try again in a few minutes" in busy.text
            assert "Zebrowski" not in busy.text
        with (
            pytest.raises(TenantBusy),
            tenant_session(run.engine, run.tenant.id, exclusive=True, wait_seconds=0),
        ):
            pass
    assert downloaded(run) == []
    assert send(browser, f"{TENANT}/exports/2025-26", EXPORT).status_code == 200


def test_a_file_that_the_ledger_does_not_have_is_not_sent(run: Run, browser: Browser) -> None:
    for values in (
        {"plan_no": "2", "file": "behavior_history.csv"},
        {"plan_no": "1", "file": "../../../../imports/x"},
        {"plan_no": "1", "file": "/etc/passwd"},
        {"plan_no": "x", "file": "behavior_history.csv"},
        {"plan_no": "1"},
    ):
        assert send(browser, f"{TENANT}/exports/2025-26", values).status_code in (404, 422), values
    assert downloaded(run) == []


def test_a_file_outside_of_storage_is_not_sent(run: Run, owner: Engine, browser: Browser) -> None:
    for path in ("/etc/hostname", "file:///etc/hostname", f"{run.storage}/../outside.csv", f"{run.storage}x/y.csv"):
        with owner.begin() as connection:
            unguarded(connection, "exports")
            connection.execute(update(ledger.exports).values(path=path))
        assert send(browser, f"{TENANT}/exports/2025-26", EXPORT).status_code == 409, path
    assert downloaded(run) == []


def test_a_removed_export_is_gone(run: Run, owner: Engine, browser: Browser) -> None:
    with owner.begin() as connection:
        unguarded(connection, "exports")
        connection.execute(update(ledger.exports).values(removed_at=run.now))
    assert send(browser, f"{TENANT}/exports/2025-26", EXPORT).status_code == 410
    assert downloaded(run) == []


def test_a_table_of_an_archived_year(run: Run, browser: Browser) -> None:
    got = send(browser, f"{TENANT}/archive/table", TABLE)
    rows = lines_of(got.content)
    assert len(rows) == 12 and {row["school_id"] for row in rows} == {NORTH}
    assert {row["school_year"] for row in rows} == {"2025-26"}
    assert got.headers["content-disposition"].endswith('2025-26_hero.tracking_events.csv"')
    people = lines_of(send(browser, f"{TENANT}/archive/table", {**TABLE, "table": "roster.people"}).content)
    assert "'=Quentin" in {row["given_name"] for row in people}, "a spreadsheet runs no name"
    assert [fact["table"] for fact in downloaded(run)] == ["hero.tracking_events", "roster.people"]


def test_what_is_not_archived_is_not_read(run: Run, browser: Browser) -> None:
    for values in (
        {**TABLE, "table": "hero.point_balances"},
        {**TABLE, "table": "hero.tracking_events; SELECT 1"},
        {**TABLE, "table": "read_csv('/etc/passwd')"},
        {**TABLE, "year": "2024-25"},
        {**TABLE, "year": "../2025-26"},
    ):
        assert send(browser, f"{TENANT}/archive/table", values).status_code in (404, 409), values
    assert downloaded(run) == []


def test_a_report_of_an_archived_year_is_as_it_was(run: Run, browser: Browser) -> None:
    got = send(browser, f"{TENANT}/archive/report", REPORT)
    live = lines_of(exported(run, "behavior_history.csv"))
    assert lines_of(got.content) == [row for row in live if row["school"] == "North School"], "what was archived"
    several = send(browser, f"{TENANT}/archive/report", {**REPORT, "report": "schoolwide_points_printed"})
    assert several.headers["content-type"] == "application/zip"
    names = zipfile.ZipFile(io.BytesIO(several.content)).namelist()
    assert f"schoolwide_points_printed/{NORTH}.pdf" in names
    assert [fact["report"] for fact in downloaded(run)] == ["behavior_history", "schoolwide_points_printed"]
    assert send(browser, f"{TENANT}/archive/report", {**REPORT, "report": "x"}).status_code == 404
    missing = send(browser, f"{TENANT}/archive/report", {**REPORT, "year": "2024-25"})
    assert missing.status_code == 409 and "has no archive of 2024-25" in missing.text


def test_names_of_files_are_safe() -> None:
    assert safe_name("hero__x", "2025-26", "a/b.csv") == "hero__x_2025-26_a-b.csv"
    assert safe_name('a"; filename="x.exe', "é\r\n.csv") == "a-filename-x.exe_-.csv"
    assert safe_name("../..") == "file"
    assert len(safe_name("x" * 500, "y.csv")) <= 120

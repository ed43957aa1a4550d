"""The pages about a tenant: what they say of its rollover, and what they never show."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event, insert, select, text, update
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger
from rollover.errors import Refused
from rollover.ledger import failures, holds
from rollover.ledger.failures import Failed
from rollover.ledger.results import Step
from rollover.run import Run
from rollover.web.app import create_app
from rollover.web.host import Host
from rollover.yearend import steps
from tests.season.test_state_texts import AT, FAILURE, ROLLOVER
from tests.support import certified
from tests.support.made_season import put
from tests.support.small_district import NORTH, NOW, SOUTH, hero_world, run_of, unguarded
from tests.web.conftest import ADMIN, CLERK, READER, Browser
from tests.yearend.test_rollover_steps import RUN_ID, answer_to, certify, no_outbox, nobody, until_reset

TENANT = "/tenants/hero__riverside-ca"
TABS = ("", "/plan", "/drops", "/exports", "/proof", "/record", "/archive", "/archive/trends")
EVIL = '<img src=x onerror=alert(1)> & "Co"'


@pytest.fixture
def host(host: Host) -> Host:
    """The pages on the day on which the small district's subscriptions were read."""
    return replace(host, clock=lambda: NOW)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def seen(browser: Browser, path: str, login: str = READER) -> str:
    """What a page says, as text on one line."""
    answer = browser(login).get(TENANT + path)
    assert answer.status_code == 200, answer.text
    return as_text(answer.text)


def as_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition("<main")[2]).split())


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """The statements that are sent to the database meanwhile."""
    sent: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


# Rights


def test_only_who_may_read_the_tenant_sees_a_page(run: Run, browser: Browser) -> None:
    for tab in TABS:
        assert browser(READER).get(TENANT + tab).status_code == 200
        assert browser(CLERK).get(TENANT + tab).status_code == 200
        assert browser(None).get(TENANT + tab).status_code == 401
        assert browser("broken").get(TENANT + tab).status_code == 404
        hidden = browser(CLERK).get("/tenants/hero__hillside-wa" + tab)
        unknown = browser(CLERK).get("/tenants/hero__nowhere-xx" + tab)
        assert (hidden.status_code, unknown.status_code) == (404, 404)
        assert hidden.text == unknown.text, "nobody learns which tenants there are"


def test_a_tenant_that_the_directory_does_not_have_has_a_page(run: Run, browser: Browser) -> None:
    answer = browser(READER).get("/tenants/hero__hillside-wa")
    assert answer.status_code == 200 and "does not have this tenant yet" in answer.text


def test_a_year_that_there_is_not_has_no_page(run: Run, browser: Browser) -> None:
    for year in ("2019-20", "x", "2025-26' OR 1=1"):
        for tab in ("", "/plan", "/exports", "/proof", "/record"):
            assert browser(READER).get(TENANT + tab, params={"year": year}).status_code == 404


def test_the_tabs_work_behind_a_prefix(run: Run, host: Host) -> None:
    around = FastAPI(root_path="/airflow")
    around.mount("/rollover", create_app(host))
    browser = TestClient(around, headers={"x-login": READER})
    for tab, name in (("", "Overview"), ("/plan", "Plan"), ("/archive", "Archive")):
        page = browser.get(f"/airflow/rollover{TENANT}{tab}").text
        assert re.findall(r'<a href="([^"?]*)[^"]*" aria-current="page">(\w+)', page)[-1:] == [
            (f"/airflow/rollover{TENANT}{tab}", name)
        ]
        assert all(url.startswith("/airflow/") for url in re.findall(r'(?:href|src|action)="(/[^"]*)"', page))


# What is said


def test_before_the_reset_date_the_page_says_what_would_go_and_why(run: Run, browser: Browser) -> None:
    overview = seen(browser, "")
    assert "1 school without a subscription on Jul" in overview
    assert "its year would be erased, not archived" in overview
    plan = seen(browser, "/plan")
    assert "South School south not active ended, 2024-07-01 to 2025-12-31" in plan
    counted = seen(browser, "/plan?count=true")
    assert "Nothing is changed" in counted
    assert "18 rows to erase 27 rows to archive" in counted
    assert f"subscription not active on {run.reset_date}: ended 2024-07-01 to 2025-12-31" in counted
    assert steps.guard(run, RUN_ID, nobody).go
    assert browser(READER).get(f"{TENANT}/plan?count=true").status_code == 404, "it has begun"
    steps.pause_sync(run)
    assert steps.plan(run).rows == {"erase": 18, "archive": 27, "keep": 18, "reset": 9}
    assert "18 rows to erase 27 rows to archive 9 rows to reset 18 rows to keep" in seen(browser, "/plan")


def test_a_plan_that_could_not_be_frozen_says_why(run: Run, owner: Engine, browser: Browser) -> None:
    with owner.begin() as connection:
        found = directory.subscriptions.c
        connection.execute(update(directory.subscriptions).where(found.school_id == SOUTH).values(state="lapsed"))
    assert "1 school with an unclear subscription" in seen(browser, "")
    counted = seen(browser, "/plan?count=true")
    assert "No plan could be frozen now." in counted and "unknown state 'lapsed'" in counted.replace("&#39;", "'")


def test_the_way_of_a_rollover_with_who_and_what(run: Run, browser: Browser) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    assert "next: approve" in seen(browser, "")
    steps.approve(run, answer_to(plan))
    with tenant_session(run.engine, run.tenant.id) as connection:
        where = Failed(Step.ARCHIVE, RUN_ID, datetime.now(UTC), rollover_id=run.id)
        failures.record(connection, run.tenant.id, where, Refused("Storage is full.", "make room."))
    stopped = seen(browser, "")
    assert "stopped: archive" in stopped and "To go on: make room." in stopped
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    steps.verify_reset(run)
    page = seen(browser, "")
    for said in (
        "Refused at archive: Storage is full.",
        "27 rows archived in",
        "18 rows erased for good, 27 archived rows removed from the live database; what is kept is unchanged",
        "Verified: 0 rows left, reports blank",
        "done: erase",
        "next: import roster",
        "approved dana",
        "approve Plan 1 was approved dana",
    ):
        assert said in page, said


def test_what_began_since_a_refusal_is_said_beside_it(run: Run, owner: Engine, browser: Browser) -> None:
    refused = {**FAILURE, "remedy": "backfill 2024-25 first.", "failed_at": AT}
    put(owner, run.tenant.id, "2025-26", failure=refused)
    before = {**ROLLOVER, "is_current": False, "started_at": AT - timedelta(days=1)}
    put(owner, run.tenant.id, "2024-25", rollover=before)
    assert "To go on: backfill 2024-25 first." in seen(browser, "?year=2025-26")
    assert "Since then" not in seen(browser, "?year=2025-26")
    put(owner, run.tenant.id, "2024-25", rollover={**before, "started_at": AT + timedelta(hours=1)})
    assert "Since then 2024-25 has begun: Exporting" in seen(browser, "?year=2025-26")


def test_the_proof_that_the_data_is_gone(run: Run, browser: Browser) -> None:
    certified.until_resumed(run)
    issued = certify(run)
    proof = seen(browser, "/proof?year=2025-26")
    assert "18 rows erased for good and 27 archived rows removed" in proof
    assert "Rows left 0 by other queries" in proof
    assert "intact" in proof and "this and nothing else" in proof
    assert "exported reports" in proof and "archived rows" in proof
    ray = browser(READER)
    for form, digest in (("json", issued.sha256), ("pdf", issued.pdf_sha256)):
        file = ray.get(f"{TENANT}/certificates/2025-26/1.{form}")
        assert file.status_code == 200
        assert file.headers["content-disposition"].startswith("attachment; ")
        assert file.content == UPath(issued.path).with_suffix(f".{form}").read_bytes(), digest
    assert "The certificate of 2025-26" in seen(browser, "/proof?year=2026-27")
    for nothing in ("2025-26/2.json", "2024-25/1.json", "2025-26/1.exe"):
        assert ray.get(f"{TENANT}/certificates/{nothing}").status_code in (404, 422)
    assert browser(CLERK).get("/tenants/hero__hillside-wa/certificates/2025-26/1.json").status_code == 404


def test_files_of_no_plan_that_was_run_are_counted_beside_what_is_kept(
    run: Run, owner: Engine, browser: Browser
) -> None:
    certified.until_resumed(run)
    certify(run)
    with owner.begin() as connection:
        left = {"place": "storage", "path": f"{run.storage}/archive/left-behind.parquet", "plan_no": 2}
        connection.execute(
            insert(ledger.artifacts).values(tenant_id=run.tenant.id, rollover_id=run.id, intended_at=NOW, **left)
        )
    proof = seen(browser, "/proof?year=2025-26")
    assert "1 unexpected file of no plan that was run" in proof
    assert "this besides them is kept" in proof and "nothing else" not in proof


def test_a_broken_chain_is_seen(run: Run, owner: Engine, browser: Browser) -> None:
    until_reset(run)
    assert "intact" in seen(browser, "/proof")
    with owner.begin() as connection:
        unguarded(connection, "evidence")
        connection.execute(text("UPDATE ledger.evidence SET facts = facts || '{\"go\": false}' WHERE kind = 'guard'"))
    broken = seen(browser, "/proof")
    assert "The chain is broken." in broken and "is not what was recorded" in broken


def test_exports_are_listed_until_they_are_removed(run: Run, owner: Engine, browser: Browser) -> None:
    certified.until_resumed(run)
    certify(run)
    page = seen(browser, "/exports?year=2025-26")
    with owner.connect() as connection:
        finished = connection.scalar(select(ledger.rollovers.c.finished_at))
    until = finished + timedelta(days=run.product.exports_kept_days)
    assert f"They stay until {until:%b} {until.day}, {until.year}" in page
    assert "Behavior History" in page and "Its files" in page
    files = seen(browser, "/exports?year=2025-26&report=schoolwide_points_printed")
    assert "schoolwide_points_printed/index.csv" in files
    with owner.begin() as connection:
        unguarded(connection, "exports")
        connection.execute(update(ledger.exports).values(removed_at=datetime.now(UTC)))
    assert "removed" in seen(browser, "/exports?year=2025-26")
    assert "<button" not in browser(ADMIN).get(f"{TENANT}/exports?year=2025-26").text


def test_the_plan_as_csv_is_the_plan(run: Run, browser: Browser) -> None:
    assert browser(READER).get(f"{TENANT}/plan.csv?year=2025-26").status_code == 404
    until_reset(run)
    answer = browser(READER).get(f"{TENANT}/plan.csv?year=2025-26")
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    by_action = {name: sum(int(row["rows"]) for row in rows if row["action"] == name) for name in ("erase", "archive")}
    assert by_action == {"erase": 18, "archive": 27}
    assert {row["school id"] for row in rows if row["action"] == "erase"} == {SOUTH}
    assert {row["school id"] for row in rows if row["action"] == "archive"} == {NORTH}


def test_what_was_sent_and_the_pauses(run: Run, owner: Engine, browser: Browser) -> None:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    at = datetime.now(UTC)
    with owner.begin() as connection:
        about = {"kind": "reset_in_4_weeks", "school_year": "2025-26", "about": "2026-07-15", "channel": "mail"}
        sent = {"subject": "Riverside resets on July 15", "text_sha256": "ab" * 32, "recipients": 2, "sent_at": at}
        failed = {"attempts": 3, "error_class": "ConnectionRefusedError", "failed_at": at}
        withdrawn = {**failed, "withdrawn_at": at}
        for role, more in (("district_it", sent), ("data_engineer", failed), ("customer_success", withdrawn)):
            values = {"tenant_id": run.tenant.id, "role": role, "decided_at": at, **about, **more}
            connection.execute(insert(ledger.notices).values(**values))
    page = seen(browser, "/record")
    assert "district IT (2 addresses), mail Riverside resets on July 15" in page
    assert page.count("not sent 3 attempts, ConnectionRefusedError") == 1
    assert "withdrawn before it was sent customer success" in page
    assert "rollover of 2025-26 paused" in page


# What is never shown, and how names are shown


def test_no_page_shows_which_student_a_hold_is_about_or_why(run: Run, browser: Browser) -> None:
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        held = {"reason": "parents of Quentin", "by": "kim"}
        holds.place(connection, run.tenant.id, holds.INSPECTION, student_id="n1", **held)
        holds.place(connection, run.tenant.id, holds.LEGAL, school_id=SOUTH, **held)
    until_reset(run)
    for tab in TABS:
        page = browser(ADMIN).get(TENANT + tab).text
        assert not re.search(r"\bn1\b|Quentin|Zebrowski", page), tab
    assert "Open inspection request on one student" in seen(browser, "")
    assert "Legal hold on South School (south)" in seen(browser, "")


def test_names_with_markup_are_text(run: Run, owner: Engine, browser: Browser) -> None:
    with owner.begin() as connection:
        connection.execute(update(directory.schools).values(name=EVIL))
        connection.execute(update(directory.subscriptions).values(source=EVIL))
    until_reset(run)
    with tenant_session(run.engine, run.tenant.id) as connection:
        where = Failed(Step.VERIFY_RESET, RUN_ID, datetime.now(UTC), rollover_id=run.id)
        failures.record(connection, run.tenant.id, where, Refused(EVIL, EVIL))
    for tab in TABS:
        page = browser(ADMIN).get(TENANT + tab).text
        assert "<img" not in page and "onerror=alert(1)>" not in page, tab
        assert not re.search(r"<[^>]*\s(on\w+|style)=|<script(?! src=)", page), tab
    assert "&lt;img src=x onerror=alert(1)&gt;" in browser(ADMIN).get(f"{TENANT}/plan").text
    missed = browser(ADMIN).get(f"{TENANT}/plan", params={"find": EVIL + '">'})
    assert "<img" not in missed.text and "No school of that name." in missed.text


# What it costs


def test_a_page_is_one_transaction_of_few_statements(run: Run, engine: Engine, browser: Browser) -> None:
    certified.until_resumed(run)
    certify(run)
    for tab in TABS:
        path = f"{TENANT}{tab}" if tab.startswith(("/archive", "/drops")) else f"{TENANT}{tab}?year=2025-26"
        with statements(engine) as sent:
            assert browser(READER).get(path).status_code == 200
        assert sum("SET LOCAL ROLE" in each for each in sent) == 1, path
        assert len(sent) <= 25, (path, len(sent))


def test_a_past_year_has_no_steps_of_a_current_one(run: Run, owner: Engine, browser: Browser) -> None:
    past = replace(run, school_year=run.school_year.previous)
    steps.guard(past, RUN_ID, nobody)
    page = seen(browser, "?year=2024-25")
    assert "next: plan" in page and "pause sync" not in page and "resume sync" not in page

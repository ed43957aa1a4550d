"""The pages in a real browser, against a running demo: seen by each kind of person, and every decision made on them.

In order: while the plans wait; then both are approved, and Riverbend's new roster, which lacks a school, is discarded.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import DANA, HARPER, RAY, RIVERBEND, SPRINGFIELD, Opened, Stage, barriers, shoot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
SIZES = [(1400, "light"), (1400, "dark"), (800, "light"), (800, "dark")]
WHY = "The numbers are what we agreed with the district."
ANSWER = "SELECT answer, answered_by, reason FROM ledger.questions WHERE about = :about AND answered_at IS NOT NULL"
DECIDED = "SELECT facts FROM ledger.evidence WHERE tenant_id = :tenant AND kind = :kind"
DONE = "SELECT 1 FROM ledger.steps WHERE rollover_id = :id AND step = :step"
IMPORTS = "SELECT import_id FROM ledger.imports WHERE tenant_id = :tenant AND state = :state"


def paths(stage: Stage) -> dict[str, str]:
    """The pages that are there whatever happens, by a name for their screenshots."""
    found = {"season": "/season", "decisions": "/decisions"}
    for tenant, name in ((SPRINGFIELD, "springfield"), (RIVERBEND, "riverbend")):
        found[name] = f"/tenants/{tenant}"
    found |= {part: f"/tenants/{SPRINGFIELD}/{part}" for part in ("plan", "drops", "exports", "proof", "record")}
    found |= {"archive": f"/tenants/{SPRINGFIELD}/archive", "trends": f"/tenants/{SPRINGFIELD}/archive/trends"}
    found["dates"] = f"/tenants/{SPRINGFIELD}/dates/{stage.year}"
    return found


def look_at(opened: Opened, stage: Stage, path: str, name: str) -> None:
    """Open a page in every size and colour, take a picture of each, and find no barrier."""
    for width, scheme in SIZES:
        with opened(DANA, width=width, scheme=scheme) as page:
            answer = page.goto(f"{stage.url}{path}")
            assert answer.status == 200, path
            shoot(page, f"{name}-{width}-{scheme}")
            assert barriers(page) == [], (path, width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than {width}"


def decide(page: Page, stage: Stage, tenant: str, option: str) -> None:
    """Answer the question of a tenant on the page Decisions, with a reason, confirmed on the second page."""
    page.goto(f"{stage.url}/decisions")
    row = page.get_by_role("row").filter(has=page.locator(f'option[value^="{tenant}."]'))
    row.get_by_role("combobox").select_option(label=option)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Confirm")).to_be_visible()
    shoot(page, f"confirm-{option.lower()}")
    assert barriers(page) == []
    page.get_by_label("Reason").fill(WHY)
    page.get_by_role("button", name="Answer 1 question").click()
    expect(page.get_by_role("heading", name="Answered")).to_be_visible()
    assert "Not answered" not in page.content()


def test_nobody_sees_anything_without_a_login(stage: Stage) -> None:
    for path in [*paths(stage).values(), "/", "/static/rollover.css", f"/decisions/{SPRINGFIELD}/1"]:
        answer = httpx.get(f"{stage.url}{path}", timeout=30)
        assert answer.status_code == 401, path
        assert "Springfield" not in answer.text and "springfield" not in answer.text
    assert httpx.post(f"{stage.url}/decisions", data={"answer": "x"}, timeout=30).status_code == 401
    health = httpx.get(f"{stage.url}/health", timeout=30)
    assert (health.status_code, health.json()) == (200, {"status": "healthy"})


def test_every_page_while_the_plans_wait(stage: Stage, open_as: Opened) -> None:
    for name, path in paths(stage).items():
        look_at(open_as, stage, path, f"waiting-{name}")


def test_the_season_says_who_is_stuck_and_on_whom(stage: Stage, open_as: Opened) -> None:
    with open_as(DANA) as page:
        page.goto(f"{stage.url}/season")
        for name in ("Springfield Public Schools", "Riverbend R-II School District"):
            row = page.get_by_role("row").filter(has_text=name)
            expect(row).to_contain_text("Waiting for approval")
            expect(row).to_contain_text("data engineer")


def test_who_has_one_district_sees_that_one(stage: Stage, open_as: Opened) -> None:
    with open_as(HARPER) as page:
        page.goto(f"{stage.url}/season")
        assert "Springfield" in page.content() and "Riverbend" not in page.content()
        page.goto(f"{stage.url}/decisions")
        assert "Springfield" in page.content() and "Riverbend" not in page.content()
        for path in (
            f"/tenants/{RIVERBEND}",
            f"/tenants/{RIVERBEND}/dates/{stage.year}",
            f"/dags/rollover__{RIVERBEND}",
        ):
            assert page.goto(f"{stage.url}{path}").status == 404, path


def test_a_reader_reads_and_decides_nothing(stage: Stage, open_as: Opened) -> None:
    with open_as(RAY) as page:
        page.goto(f"{stage.url}/decisions")
        assert page.get_by_text("You may not answer it").count() == 2
        assert page.get_by_role("combobox").count() == 0 and page.get_by_role("button").count() == 0
        cookies = {"_token": stage.token(RAY)}
        sent = httpx.post(
            f"{stage.url}/decisions", data={"answer": f"{SPRINGFIELD}.1:Approve"}, cookies=cookies, timeout=30
        )
        assert sent.status_code == 403


def test_the_pages_are_in_airflow(stage: Stage, open_as: Opened) -> None:
    with open_as(DANA) as page:
        page.goto(f"{stage.services.airflow.url}/plugin/rollover")
        expect(page.frame_locator("iframe").get_by_role("heading", name=re.compile("^Season"))).to_be_visible(
            timeout=30_000
        )
        shoot(page, "airflow-season")
        page.goto(f"{stage.services.airflow.url}/dags/rollover__{SPRINGFIELD}/plugin/rollover-tenant")
        heading = page.frame_locator("iframe").get_by_role("heading", level=1)
        expect(heading).to_contain_text("Springfield Public Schools", timeout=30_000)
        shoot(page, "airflow-tenant")
        page.goto(stage.services.airflow.url)
        panel = page.get_by_role("region", name="Rollover")
        expect(panel).to_contain_text("2 decisions to make", timeout=30_000)
        shoot(page, "airflow-home")


def test_a_decision_is_made_with_a_reason(stage: Stage, open_as: Opened) -> None:
    with open_as(DANA) as page:
        decide(page, stage, SPRINGFIELD, "Approve")
        answered = stage.wait_for("the answer", lambda: stage.rows(ANSWER, about=f"{SPRINGFIELD}__{stage.year}"))
        assert [tuple(row) for row in answered] == [("Approve", DANA, WHY)]
        decide(page, stage, RIVERBEND, "Approve")
    assert stage.services.api.questions() == []
    for tenant in (SPRINGFIELD, RIVERBEND):
        approved = stage.wait_for("the approval", lambda of=tenant: stage.rows(DECIDED, tenant=of, kind="approve"))
        assert approved[0].facts["approved_by"] == DANA


def test_a_rejected_drop_says_what_was_wrong_with_it(stage: Stage, open_as: Opened) -> None:
    (found,) = stage.wait_for("a rejected drop", lambda: stage.rows(IMPORTS, tenant=SPRINGFIELD, state="rejected"))
    path = f"/tenants/{SPRINGFIELD}/drops/{found.import_id}"
    look_at(open_as, stage, path, "drop-rejected")
    with open_as(DANA) as page:
        page.goto(f"{stage.url}{path}")
        assert "file_missing" in page.content() or "is missing" in page.content()


def test_a_roster_in_review_is_decided_about(stage: Stage, open_as: Opened) -> None:
    (found,) = stage.wait_for("a roster in review", lambda: stage.rows(IMPORTS, tenant=RIVERBEND, state="in_review"))
    stage.wait_for("its question", lambda: stage.services.api.questions())
    look_at(open_as, stage, f"/tenants/{RIVERBEND}/drops/{found.import_id}", "drop-in-review")
    with open_as(DANA) as page:
        decide(page, stage, RIVERBEND, "Discard")
    decided = stage.wait_for("the decision", lambda: stage.rows(DECIDED, tenant=RIVERBEND, kind="roster_decision"))
    assert (decided[0].facts["answer"], decided[0].facts["by"]) == ("discard", DANA)


def test_what_is_certified_is_proved(stage: Stage, open_as: Opened) -> None:
    for tenant in (SPRINGFIELD, RIVERBEND):
        year = f"{tenant}__{stage.year}"
        stage.wait_for(f"the certificate of {tenant}", lambda of=year: stage.rows(DONE, id=of, step="certify"), 600)
    for name, path in paths(stage).items():
        look_at(open_as, stage, path, f"certified-{name}")
    with open_as(DANA) as page:
        page.goto(f"{stage.url}/tenants/{SPRINGFIELD}")
        text = page.inner_text("main")
        assert re.search(r"Certified on \d{4}-\d{2}-\d{2}", text)
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile("certificate", re.IGNORECASE)).first.click()
        assert download.value.suggested_filename


def test_a_download_of_personal_data_is_in_the_evidence(stage: Stage, open_as: Opened) -> None:
    exports = f"{stage.url}/tenants/{SPRINGFIELD}/exports?year={stage.year}"
    with open_as(RAY) as page:
        page.goto(exports)
        assert page.locator("form[method=post]").count() == 0, "Ray may only read"
    with open_as(DANA) as page:
        page.goto(exports)
        form = page.locator("form[method=post]").first
        action = urljoin(stage.url, form.get_attribute("action") or "")
        sent = form.evaluate("form => Object.fromEntries(new FormData(form))")
        refused = httpx.post(action, data=sent, cookies={"_token": stage.token(RAY)}, timeout=30)
        assert refused.status_code == 403
        with page.expect_download() as download:
            form.get_by_role("button").click()
        assert download.value.path().stat().st_size
    by = [row.facts["by"] for row in stage.rows(DECIDED, tenant=SPRINGFIELD, kind="downloaded")]
    assert by == [DANA]

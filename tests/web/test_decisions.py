"""Decisions: who may answer what, what the second page says, and what is sent to Airflow."""

from __future__ import annotations

import re
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import Engine, delete, insert

from rollover.database.tables import ledger
from rollover.ledger import questions
from rollover.season.facts import OpenQuestion
from rollover.web.forms import Forms
from rollover.web.host import Host
from tests.support.made_season import put, question_with
from tests.web.conftest import ADMIN, CLERK, READER, Airflow, Browser, Person

HERO, OTHER = "hero__riverside-ca", "hero__hillside-wa"
WHY = "The numbers are right."


def ask(owner: Engine, tenant_id: str, *asked: OpenQuestion) -> None:
    put(owner, tenant_id, "2025-26", questions=asked)


def answer(browser: TestClient, *answers: str, reason: str = WHY, also: tuple[str, ...] = ()) -> Response:
    """Send what the second page would send; its token comes from that page."""
    page = browser.get("/decisions/confirm", params={"answer": list(answers)})
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    data: dict[str, Any] = {"answer": list(answers), "also": list(also), "reason": reason}
    return browser.post("/decisions", data=data | {"token": token[1] if token else ""})


def test_the_largest_loss_comes_first(browser: Browser, owner: Engine) -> None:
    ask(owner, HERO, question_with(HERO, 1, rows_erased=5), question_with(HERO, 2, rows_erased=20_181, kind="roster"))
    ask(owner, OTHER, question_with(OTHER, 3, rows_erased=700))
    html = browser(ADMIN).get("/decisions").text
    assert re.findall(r">Question (\d)\?</a>", html) == ["2", "3", "1"]
    assert "20,181" in html and "3 questions." in html
    assert re.findall(r">Question (\d)\?</a>", browser(CLERK).get("/decisions").text) == ["2", "1"]


def test_a_question_of_several_years_is_one_question(browser: Browser, owner: Engine) -> None:
    for year in ("2024-25", "2025-26"):
        put(owner, HERO, year, questions=(question_with(HERO, 1),))
    assert "1 question." in browser(ADMIN).get("/decisions").text


def test_a_reader_can_read_a_question_and_not_answer_it(
    browser: Browser, owner: Engine, airflow: Airflow, host: Host
) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    reader = browser(READER)
    listed = reader.get("/decisions").text
    assert "You may not answer it" in listed and "<select" not in listed and "<button" not in listed
    page = reader.get(f"/decisions/{HERO}/1").text
    assert "You may read this question, and not answer it." in page and 'type="radio"' not in page
    assert reader.get(f"/decisions/confirm?answer={HERO}.1:Approve").status_code == 403
    data = {"answer": f"{HERO}.1:Approve", "reason": WHY, "token": Forms(host.secret()).token(Person(READER))}
    assert reader.post("/decisions", data=data).status_code == 403
    assert airflow.answers == []


def test_a_question_is_shown_with_its_numbers(browser: Browser, owner: Engine) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    html = browser(CLERK).get(f"/decisions/{HERO}/1").text
    assert "<strong>18 rows will be erased for good.</strong>" in html
    assert '<td class="number">18</td>' in html
    assert "North &lt;b&gt;" in html and "<b>" not in html.split("<article")[1]


def test_the_second_page_says_what_will_happen(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    page = browser(CLERK).get(f"/decisions/confirm?answer={HERO}.1:Approve").text
    assert "18 rows will be erased." in page and "<p>Exactly these rows go.</p>" in page
    assert 'required maxlength="2000"' in page
    page = browser(CLERK).get(f"/decisions/confirm?answer={HERO}.1:Reject").text
    assert "will be erased.</b>" not in page.split("<details")[0] and "<p>Nothing is erased.</p>" in page
    assert airflow.answers == []


def test_several_are_answered_at_once(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1), question_with(HERO, 2))
    ask(owner, OTHER, question_with(OTHER, 3))
    done = answer(browser(ADMIN), f"{HERO}.1:Approve", "", f"{OTHER}.3:Reject")
    assert done.status_code == 200
    assert airflow.answers == [(ADMIN, 1, ("Approve",), WHY), (ADMIN, 3, ("Reject",), WHY)]
    assert "<b>Approve</b>" in done.text and "<b>Reject</b>" in done.text


def test_nothing_is_answered_without_a_reason(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    for reason in ("", "  \n ", "x" * 2_001):
        refused = answer(browser(CLERK), f"{HERO}.1:Approve", reason=reason)
        assert refused.status_code == 422 and "Nothing was answered." in refused.text
        assert 'name="token"' in refused.text, "the form can be sent again"
    assert airflow.answers == []


def test_a_school_has_to_be_confirmed(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    school = "North: 18 rows <i>"
    ask(owner, HERO, question_with(HERO, 1, options=("Approve", "Reject", school)))
    clerk = browser(CLERK)
    page = clerk.get(f"/decisions/confirm?answer={HERO}.1:Approve").text
    assert "North: 18 rows &lt;i&gt;" in page
    assert "<details open>" in page, "what is to be confirmed is explained among the numbers"
    assert answer(clerk, f"{HERO}.1:Approve").status_code == 422
    assert answer(clerk, f"{HERO}.1:Approve", also=(f"{OTHER}.1:{school}",)).status_code == 422
    assert airflow.answers == []
    assert answer(clerk, f"{HERO}.1:Approve", also=(f"{HERO}.1:{school}",)).status_code == 200
    assert answer(clerk, f"{HERO}.1:Reject").status_code == 200
    assert [options for _, _, options, _ in airflow.answers] == [("Approve", school), ("Reject",)]


def test_only_what_is_offered_can_be_answered(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    clerk = browser(CLERK)
    for wrong in (f"{HERO}.1:Discard", f"{HERO}.1:", f"{HERO}:Approve", "nonsense", f"{HERO}.{'9' * 30}:Approve"):
        assert clerk.get("/decisions/confirm", params={"answer": wrong}).status_code == 422, wrong
        assert answer(clerk, f"{HERO}.1:Approve", wrong).status_code == 403, "the second page gave no token"
    assert clerk.get("/decisions/confirm", params={"answer": f"{HERO}.99:Approve"}).status_code == 404
    assert clerk.get(f"/decisions/{HERO}/99").status_code == 404
    assert airflow.answers == []
    assert "No answer was chosen." in clerk.get("/decisions/confirm").text


def test_one_of_another_district_stops_all(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    ask(owner, OTHER, question_with(OTHER, 3))
    token = re.search(r'value="([^"]+)"', browser(CLERK).get(f"/decisions/confirm?answer={HERO}.1:Approve").text)
    assert token is not None
    data = {"answer": [f"{HERO}.1:Approve", f"{OTHER}.3:Approve"], "reason": WHY, "token": token[1]}
    assert browser(CLERK).post("/decisions", data=data).status_code == 404
    assert airflow.answers == []


def test_airflows_refusal_is_said(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1), question_with(HERO, 2))
    airflow.refuses = "It was already answered by Kim <Lee>."
    done = answer(browser(CLERK), f"{HERO}.1:Approve", f"{HERO}.2:Approve")
    assert done.text.count("Not answered</b>: It was already answered by Kim &lt;Lee&gt;.") == 2


def test_a_closed_question_says_how_it_was_closed(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    closed = {5: ("Reject", "kim"), 6: ("Later", None), 7: (questions.WITHDRAWN, None), 8: (None, None)}
    with owner.begin() as connection:
        for number, (said, by) in closed.items():
            asked = question_with(HERO, number, subject="Erase?", digest=str(number)).model_dump()
            how = {"answer": said, "answered_by": by, "answered_at": said and asked["asked_at"]}
            connection.execute(insert(ledger.questions).values(tenant_id=HERO, **asked, **how))
        connection.execute(delete(ledger.season_changes))  # the state of the tenant stays as it is put
    ask(owner, HERO, question_with(HERO, 9))
    clerk = browser(CLERK)
    for number, sentence in {
        5: "Erase? It was closed by kim: Reject.",
        6: "Erase? Nobody answered in time: Later.",
        7: "Erase? It was withdrawn: nobody has to answer it any more.",
        8: "Erase? It is still open.",
    }.items():
        assert sentence in clerk.get(f"/decisions/{HERO}/{number}").text
    done = answer(clerk, f"{HERO}.5:Approve", f"{HERO}.9:Approve")
    assert "Erase? It was closed by kim: Reject." in done.text
    assert [number for _, number, _, _ in airflow.answers] == [9]


def test_a_question_just_answered_in_airflow_is_marked(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    airflow.answered = {1: "Kim"}
    assert "just answered by Kim" in browser(CLERK).get("/decisions").text
    assert 'type="radio"' not in browser(CLERK).get(f"/decisions/{HERO}/1").text


def test_a_question_that_airflow_lost_is_said_to_be(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1))
    airflow.text = None
    for path in (f"/decisions/{HERO}/1", f"/decisions/confirm?answer={HERO}.1:Approve"):
        assert "its run was removed or cleared" in browser(CLERK).get(path).text


def test_markup_in_a_question_is_text(browser: Browser, owner: Engine, airflow: Airflow) -> None:
    ask(owner, HERO, question_with(HERO, 1, subject="<script>alert(1)</script>"))
    airflow.text = "<img src=x onerror=alert(1)> [link](https://example.org) ![x](https://example.org/x.png)"
    clerk = browser(CLERK)
    for path in ("/decisions", f"/decisions/{HERO}/1", f"/decisions/confirm?answer={HERO}.1:Approve"):
        html = clerk.get(path).text
        assert "<script>" not in html and "<img" not in html and 'href="https://example.org' not in html
        assert "&lt;script&gt;alert(1)" in html

"""The application: nothing without login, no change without a token, and the same headers everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from rollover.web import page
from rollover.web.app import create_app
from rollover.web.forms import Forms
from rollover.web.headers import HEADERS
from rollover.web.host import Host
from tests.support.made_season import put, question_with
from tests.web.conftest import ADMIN, CLERK, READER, Browser, Person

HERO, OTHER = "hero__riverside-ca", "hero__hillside-wa"
PARTS = {
    "tenant_id": HERO,
    "question_id": "1",
    "year": "2025-26",
    "name": "rollover.css",
    "dag_id": f"rollover__{HERO}",
}


def routes(host: Host) -> list[tuple[str, str]]:
    """Every route of the application with a method, as a path that could exist."""
    found = [route for route in create_app(host).routes if isinstance(route, APIRoute)]
    assert len(found) >= 10
    filled = [
        (method, re.sub(r"{(\w+)}", lambda part: PARTS.get(part[1], "x"), route.path), route)
        for route in found
        for method in sorted(route.methods)
    ]
    return [(method, path) for method, path, _ in filled]


def test_only_the_health_check_needs_no_login(browser: Browser, host: Host) -> None:
    anonymous = browser(None)
    open_to_all = [path for method, path in routes(host) if anonymous.request(method, path).status_code != 401]
    assert open_to_all == ["/health"]
    assert anonymous.get("/health").json() == {"status": "healthy"}
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert browser(ADMIN).get(path).status_code == 404


def test_no_change_by_get(host: Host) -> None:
    methods = {method for method, _ in routes(host)}
    assert methods <= {"GET", "POST"}


def test_no_post_without_the_token_of_the_same_person(browser: Browser, host: Host) -> None:
    posts = [path for method, path in routes(host) if method == "POST"]
    assert posts
    secret = host.secret()
    tokens = [None, "", "forged", Forms("another secret").token(Person(READER)), Forms(secret).token(Person(ADMIN))]
    for path in posts:
        for token in tokens:
            data = {} if token is None else {"token": token}
            assert browser(READER).post(path, data=data).status_code == 403, (path, token)
        assert browser(READER).post(path, params={"token": Forms(secret).token(Person(READER))}).status_code == 403


def test_a_token_gets_old(browser: Browser, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    token = {"token": Forms(host.secret()).token(Person(ADMIN))}
    assert browser(ADMIN).post("/decisions", data=token).status_code != 403
    monkeypatch.setattr("rollover.web.forms.LASTS_SECONDS", -1)
    assert browser(ADMIN).post("/decisions", data=token).status_code == 403


def test_the_headers_are_on_every_response(browser: Browser, host: Host, owner: Engine) -> None:
    put(owner, HERO, "2025-26")
    for login in (None, ADMIN, READER):
        for path in (*(path for _, path in routes(host)), "/nothing", "/tenants/other/dates/2025-26"):
            headers = browser(login).get(path).headers
            for name, value in HEADERS.items():
                is_kept = path.startswith("/static/") and login and name == "Cache-Control"
                assert headers[name] == ("private, max-age=3600" if is_kept else value), (path, name)


def test_no_page_has_an_inline_style_or_script() -> None:
    for template in sorted((page.FOLDER / "templates").iterdir()):
        text = template.read_text()
        assert not re.search(r"\s(style|on\w+)=|<style|<script(?! src=)|javascript:", text), template.name
        assert "| safe" not in text and "autoescape" not in text, template.name


def test_what_cannot_be_authorized_is_denied(browser: Browser, owner: Engine, caplog: pytest.LogCaptureFixture) -> None:
    put(owner, HERO, "2025-26", questions=(question_with(HERO, 1),))
    broken = browser("broken")
    assert broken.get("/totals").json()["tenants"] == 0
    assert "Riverside" not in broken.get("/season").text + broken.get("/decisions").text
    assert broken.get(f"/decisions/{HERO}/1").status_code == 404
    assert "RuntimeError" in caplog.text and "broken" not in caplog.text


def test_another_districts_ids_look_like_unknown_ones(browser: Browser, owner: Engine) -> None:
    for tenant in (HERO, OTHER):
        put(owner, tenant, "2025-26", questions=(question_with(tenant, 1),))
    clerk = browser(CLERK)
    for path in ("/decisions/{}/1", "/tenants/{}/dates/2025-26", "/decisions/confirm?answer={}.1:Approve"):
        assert clerk.get(path.format(HERO)).status_code == 200
        other, unknown = clerk.get(path.format(OTHER)), clerk.get(path.format("hero__nowhere-or"))
        assert (other.status_code, other.text) == (404, unknown.text)


def test_the_pages_work_behind_a_prefix(host: Host, owner: Engine) -> None:
    put(owner, HERO, "2025-26", questions=(question_with(HERO, 1),))
    around = FastAPI(root_path="/airflow")
    around.mount("/rollover", create_app(host))
    browser = TestClient(around, headers={"x-login": ADMIN}, follow_redirects=False)
    assert browser.get("/airflow/rollover/").headers["location"] == "/airflow/rollover/season"
    for path in ("/airflow/rollover/season", f"/airflow/rollover/decisions/{HERO}/1"):
        answer = browser.get(path)
        assert answer.status_code == 200
        found = re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text)
        assert found and all(url.startswith("/airflow/") for url in found), found
    assert 'href="/airflow/required_actions"' in browser.get("/airflow/rollover/decisions").text
    assert browser.get("/airflow/rollover/static/rollover.js").status_code == 200


def test_an_impossible_value_is_not_shown_again(browser: Browser) -> None:
    answer = browser(ADMIN).get("/season?page=<b>&phase=<i>x")
    assert answer.status_code == 422
    assert "<b>" not in answer.text and "<i>" not in answer.text


def test_a_page_that_cannot_be_made_says_so(host: Host) -> None:
    def broken() -> None:
        raise TypeError("of somebody's row")

    client = TestClient(
        create_app(replace(host, clock=broken)), headers={"x-login": ADMIN}, raise_server_exceptions=False
    )
    answer = client.get("/season")
    assert answer.status_code == 500
    assert "The log of Airflow&#39;s API server says why." in answer.text and "somebody" not in answer.text
    assert 'href="/season"' in answer.text
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_no_other_file_is_served(browser: Browser) -> None:
    for name in ("../page.py", "..%2fpage.py", "%2e%2e/app.py", "nothing.css"):
        assert browser(ADMIN).get(f"/static/{name}").status_code == 404
    assert set(page.STATIC) == {path.name for path in (Path(page.__file__).parent / "static").iterdir()}

"""The application: nothing without login, no change without a token, and the same headers everywhere."""

from __future__ import annotations

from tests.web.conftest import ADMIN, Browser


def test_only_the_health_check_needs_no_login(browser: Browser) -> None:
    anonymous = browser(None)
    assert anonymous.get("/health").json() == {"status": "healthy"}
    for path in ("/", "/static/rollover.css", "/totals", "/docs", "/openapi.json"):
        assert anonymous.get(path).status_code in (401, 404), path
    assert browser(ADMIN).get("/totals").json()["tenants"] == 0

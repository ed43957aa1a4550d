"""Holds on the pages: who may set one, that a second person lifts it, and that it is evidence."""

from __future__ import annotations

import re

import pytest
from httpx import Response
from sqlalchemy import Engine

from rollover.database.session import tenant_session
from rollover.ledger import evidence
from rollover.ledger.holds import Hold, every
from rollover.web.forms import Forms
from tests.support.small_district import NORTH, hero_world
from tests.web.conftest import ADMIN, CLERK, READER, Browser, Person

HERO = "hero__riverside-ca"
HOLDS = f"/tenants/{HERO}/holds"
WHY = "A request of 3 June."


@pytest.fixture(autouse=True)
def world(owner: Engine) -> None:
    hero_world(owner)


def send(browser: Browser, path: str, login: str, **values: str) -> Response:
    token = Forms("a secret of the tests").token(Person(login))
    return browser(login).post(path, data={"token": token, "reason": WHY, **values})


def held(engine: Engine) -> list[Hold]:
    with tenant_session(engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()
        return every(connection)


@pytest.mark.parametrize(
    ("on", "of", "scope"),
    [("district", "", "the district"), ("school", NORTH, f"school {NORTH}"), ("student", "n1", "one student")],
)
def test_a_hold_is_set_and_a_second_person_lifts_it(
    browser: Browser, engine: Engine, on: str, of: str, scope: str
) -> None:
    answer = send(browser, HOLDS, ADMIN, kind="legal", on=on, of=of)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tenants/{HERO}/record")
    (hold,) = held(engine)
    assert (hold.set_by, hold.reason, hold.scope) == (ADMIN, WHY, scope)
    own, others = browser(ADMIN).get(f"/tenants/{HERO}/record").text, browser(CLERK).get(f"/tenants/{HERO}/record").text
    assert f"Lift hold {hold.hold_id}" not in own and f"Lift hold {hold.hold_id}" in others
    if on == "student":
        assert re.search(r"\bn1\b", own) is None

    alone = send(browser, f"{HOLDS}/{hold.hold_id}/lift", ADMIN)
    assert alone.status_code == 409 and "a second person lifts it" in alone.text
    assert send(browser, f"{HOLDS}/{hold.hold_id}/lift", CLERK).status_code == 303
    (hold,) = held(engine)
    assert (hold.lifted_by, hold.lift_reason) == (CLERK, WHY)


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"on": "student", "of": ""}, 409),
        ({"on": "student", "of": "nobody-we-know"}, 409),
        ({"on": "school", "of": "elsewhere"}, 409),
        ({"on": "district", "reason": ""}, 422),
        ({"on": "everyone"}, 422),
        ({"on": "district", "kind": "forever"}, 422),
        ({"on": "district", "token": "forged"}, 403),
    ],
)
def test_what_would_hold_nothing_is_refused(
    browser: Browser, engine: Engine, values: dict[str, str], status: int
) -> None:
    answer = send(browser, HOLDS, ADMIN, **{"kind": "legal", **values})
    assert answer.status_code == status
    assert "nobody-we-know" not in answer.text
    assert held(engine) == []


def test_only_who_has_the_right_holds(browser: Browser, engine: Engine) -> None:
    assert send(browser, HOLDS, READER, kind="legal", on="district").status_code == 403
    elsewhere = HOLDS.replace("riverside-ca", "hillside-wa")
    assert send(browser, elsewhere, CLERK, kind="legal", on="district").status_code == 404
    assert "Set a hold" not in browser(READER).get(f"/tenants/{HERO}/record").text
    assert held(engine) == []

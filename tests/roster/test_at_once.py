"""Two drops at once, the same one twice, a pause in the middle of an import, a drop in the middle of a rollover."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import tenant_session
from rollover.ledger import pause
from rollover.roster.applying.apply import apply
from rollover.roster.applying.undo import undo
from rollover.roster.comparing.compare import compare
from rollover.roster.imports.queue import pending
from rollover.roster.review.answers import Answer
from tests.support.roster.processes import Held, at_once
from tests.support.roster.school_years import Town
from tests.support.roster.stored_sets import Desk, expected

pytestmark = pytest.mark.slow

PRODUCTS = ("hero", "imagine_math")


@pytest.fixture(params=["hero"])
def desk(request: pytest.FixtureRequest, owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, request.param)


def applied(engine: Engine, tenant_id: str, import_id: str, storage: str) -> dict[str, Any]:
    return apply(engine, tenant_id, import_id, UPath(storage), RosterLimits(), rollover_id=None).as_json()


def compared(engine: Engine, tenant_id: str, import_id: str, storage: str) -> dict[str, Any]:
    return compare(engine, tenant_id, import_id, UPath(storage), RosterLimits()).as_json()


def undone(engine: Engine, tenant_id: str, import_id: str) -> dict[str, Any]:
    return undo(engine, tenant_id, import_id, by="dana", reason="the wrong files").as_json()


def of(desk: Desk, work: Any, import_id: str, *more: str) -> tuple[Any, ...]:
    """A piece of work for a process."""
    url = desk.engine.url.render_as_string(hide_password=False)
    return (work, url, desk.tenant_id, import_id, *more)


def without_some(town: Town, grade: str) -> Town:
    after = town.copy()
    after.leave(after.students("ash", grade)[:2])
    return after


def wait_for_lock(desk: Desk) -> None:
    """Until some session waits for a tenant's lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    for _ in range(600):
        if desk.query(waiting) == [(1,)]:
            return
        threading.Event().wait(0.1)
    raise AssertionError("nobody waits")


# Drops


@pytest.mark.parametrize("desk", PRODUCTS, indirect=True)
def test_of_two_drops_at_once_the_newer_one_is_live(desk: Desk) -> None:
    desk.take(desk.town)
    older, newer = (desk.drop(without_some(desk.town, grade)) for grade in ("01", "02"))
    storage = str(desk.storage)
    one, other = at_once(of(desk, applied, older, storage), of(desk, applied, newer, storage))
    assert (one["state"], one["applied"]) == ("superseded", False)
    assert (other["state"], other["applied"]) == ("applied", True)
    assert desk.live() == expected(without_some(desk.town, "02"))
    assert desk.version == 2
    assert pending(desk.engine, desk.tenant_id) == []


def test_a_drop_that_was_compared_while_another_went_live_is_compared_anew(desk: Desk) -> None:
    """The older one holds the lock; the newer was compared with what was live before."""
    desk.take(desk.town)
    older = desk.drop(without_some(desk.town, "01"))
    held = Held(*of(desk, applied, older, str(desk.storage)))
    newer = desk.drop_only(without_some(desk.town, "02"))
    results: list[Any] = []
    comparing = threading.Thread(target=lambda: results.append(desk.compare(newer)))
    comparing.start()
    wait_for_lock(desk)
    held.let_go()
    comparing.join()
    assert desk.found(older).state == "applied"
    assert results[0]["state"] == "ready"
    stale = desk.found(newer).comparison
    assert stale is not None and stale["roster_version"] == 1
    changes = desk.apply(newer)["details"]["changes"]
    assert (changes["people"]["returned"], changes["people"]["removed"]) == (4, 4)
    assert desk.live() == expected(without_some(desk.town, "02"))


@pytest.mark.parametrize("desk", PRODUCTS, indirect=True)
def test_the_same_import_twice_at_once_is_one(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.drop(without_some(desk.town, "01"))
    work = of(desk, applied, import_id, str(desk.storage))
    assert [done["applied"] for done in at_once(work, work)] == [True, True]
    assert desk.live() == expected(without_some(desk.town, "01"))
    assert desk.version == 2
    before = desk.query("SELECT count(*) FROM roster.history")
    assert desk.apply(import_id)["applied"] is True
    assert desk.query("SELECT count(*) FROM roster.history") == before


def test_an_undo_and_the_next_import_at_once_leave_one_of_their_ends(desk: Desk) -> None:
    desk.take(desk.town)
    first = desk.take(without_some(desk.town, "01"))
    second = desk.drop(without_some(desk.town, "02"))
    undoing, applying = at_once(of(desk, undone, first), of(desk, applied, second, str(desk.storage)))
    assert applying["applied"] is True
    assert desk.live() == expected(without_some(desk.town, "02"))
    if isinstance(undoing, str):
        assert f"Import {second} was applied after {first}" in undoing
        assert desk.found(first).state == "applied"
    else:
        assert desk.found(first).state == "undone"


# Pauses


def test_a_pause_waits_for_an_import_that_is_under_way(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.drop(without_some(desk.town, "01"))
    held = Held(*of(desk, applied, import_id, str(desk.storage)))
    paused = threading.Thread(target=lambda: pause_sync(desk))
    paused.start()
    wait_for_lock(desk)
    assert desk.query("SELECT count(*) FROM ledger.pauses") == [(0,)]
    held.let_go()
    paused.join()
    assert desk.found(import_id).state == "applied", "what was under way when the pause began is in"
    assert desk.query("SELECT count(*) FROM ledger.pauses") == [(1,)]
    kept = desk.drop(without_some(desk.town, "02"))
    assert desk.apply(kept)["reason"] == "paused by the rollover: reset day"
    assert desk.live() == expected(without_some(desk.town, "01"))


def pause_sync(desk: Desk) -> None:
    """As the rollover's step does."""
    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        pause.begin(connection, desk.tenant_id, by="the rollover", reason="reset day")


def test_an_import_waits_for_a_pause_that_is_under_way_and_is_kept(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.drop(without_some(desk.town, "01"))
    results: list[Any] = []
    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        importing = threading.Thread(target=lambda: results.append(desk.apply(import_id)))
        importing.start()
        wait_for_lock(desk)
        pause.begin(connection, desk.tenant_id, by="the rollover", reason="reset day")
    importing.join()
    assert (results[0]["applied"], results[0]["state"]) == (False, "ready")
    assert desk.live() == expected(desk.town)


def test_drops_during_a_rollover_follow_when_the_sync_goes_on(desk: Desk) -> None:
    """The rollover takes the one it waited for. Of what came meanwhile, the newest is applied afterwards."""
    desk.take(desk.town)
    pause_sync(desk)
    of_last_year = desk.drop(without_some(desk.town, "01"))
    desk.begin_year("2026-27")
    town = desk.town.next_year()
    awaited = desk.drop(town)
    later = [desk.drop(without_some(town, grade)) for grade in ("02", "03")]
    assert [desk.apply(each)["applied"] for each in (of_last_year, awaited, *later)] == [False] * 4
    assert desk.apply(awaited, rollover_id="r")["applied"] is True
    assert desk.live() == expected(town)
    assert [desk.apply(each)["applied"] for each in later] == [False] * 2

    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        pause.end_by_hand(connection, desk.tenant_id, by="r", reason="a test")
    assert desk.found(of_last_year).state == "superseded"
    for import_id in pending(desk.engine, desk.tenant_id):
        desk.apply(import_id)
    assert [desk.found(each).state for each in later] == ["superseded", "applied"]
    assert desk.live() == expected(without_some(town, "03"))


def test_an_import_in_review_waits_through_a_pause(desk: Desk) -> None:
    desk.take(desk.town)
    pause_sync(desk)
    half = desk.town.copy()
    half.leave(half.students("ash")[::2])
    held = desk.drop(half)
    desk.decide(held, Answer.APPROVE)
    assert desk.apply(held)["reason"] == "paused by the rollover: reset day"
    assert desk.found(held).state == "ready"
    with tenant_session(desk.engine, desk.tenant_id, exclusive=True) as connection:
        pause.end_by_hand(connection, desk.tenant_id, by="a person", reason="a test")
    assert desk.apply(held)["applied"] is True

"""An import killed at any statement leaves the roster as it was, or as it should be; run again, it ends right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import paramiko
import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import tenant_session
from rollover.roster import imports
from rollover.roster.applying.apply import apply
from rollover.roster.applying.tidy import tidy
from rollover.roster.applying.undo import undo
from rollover.roster.comparing.compare import compare
from rollover.roster.intake.fetch import fetch
from rollover.roster.reading.stage import stage
from rollover.roster.review.answers import Answer
from rollover.roster.validating.validate import validate
from rollover.sftp.drops import candidates, list_folder, record
from rollover.sftp.transfer import Server
from tests.roster.conftest import CONFIG
from tests.roster.test_tidy import GRACE, LATER
from tests.support.roster.processes import killed_at
from tests.support.roster.school_years import Town, as_oneroster
from tests.support.roster.stored_sets import Desk, expected
from tests.support.sampling import cases
from tests.support.sftp_server import Sftp, sftp, sftp_server

__all__ = ["sftp", "sftp_server"]


pytestmark = pytest.mark.slow


@pytest.fixture(params=["hero"])
def desk(request: pytest.FixtureRequest, owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, request.param)


def url_of(desk: Desk) -> str:
    return desk.engine.url.render_as_string(hide_password=False)


def other(town: Town) -> Town:
    """People come, change and go; and it is over the limits, since some have other ids."""
    after = town.copy()
    after.rekey(after.students("ash", "01"))
    after.leave(after.students("bay", "05")[:2])
    after.arrive("ash", "02", 2)
    after.change(after.of_role("teacher"), lambda person: replace(person, number=person.number + 500))
    return after


# What is killed


def fetched(engine: Engine, tenant_id: str, import_id: str, storage: str, server: Server) -> None:
    transport = paramiko.Transport((server.host, server.port))
    transport.connect(username=server.user, password=server.password)
    client = paramiko.SFTPClient.from_transport(transport)
    assert client is not None
    fetch(engine, tenant_id, import_id, client, server, UPath(storage))
    transport.close()


def staged(engine: Engine, tenant_id: str, import_id: str, storage: str) -> None:
    stage(engine, tenant_id, import_id, UPath(storage), CONFIG)


def validated(engine: Engine, tenant_id: str, import_id: str, storage: str) -> None:
    validate(engine, tenant_id, import_id, UPath(storage), time_zone="America/Chicago")


def compared(engine: Engine, tenant_id: str, import_id: str, storage: str) -> None:
    compare(engine, tenant_id, import_id, UPath(storage), RosterLimits())


def applied(engine: Engine, tenant_id: str, import_id: str, storage: str) -> None:
    apply(engine, tenant_id, import_id, UPath(storage), RosterLimits(), rollover_id=None)


def undone(engine: Engine, tenant_id: str, import_id: str) -> None:
    undo(engine, tenant_id, import_id, by="dana", reason="the wrong files")


def tidied(engine: Engine, tenant_id: str, storage: str) -> None:
    tidy(engine, tenant_id, UPath(storage), grace_days=GRACE, now=LATER)


def kill_until_done(
    desk: Desk, work: Any, *arguments: Any, step: int | None = None, notes_its_end: bool = False
) -> int:
    """Kill the work at each of its statements in turn, or at some, until it gets to its end; returns the last one that
    changed nothing.

    After each time, everything must be as it was before; or, if the work notes something in a later transaction
    (`notes_its_end`), as it is at the end.
    """
    step = step or cases(3, 1)
    before = desk.everything(), desk.version
    statement = 1
    changed: list[tuple[int, Any]] = []
    while killed_at(statement, work, url_of(desk), desk.tenant_id, *arguments):
        found = desk.everything(), desk.version
        if changed or found != before:
            assert notes_its_end, f"something is left of what was killed at {statement}"
            changed.append((statement, found))
        statement += step
    end = desk.everything(), desk.version
    for at, found in changed:
        assert found == end, f"a part is left of what was killed at {at}"
    return (changed[0][0] if changed else statement) - step


# The way of a set


def test_every_step_up_to_the_comparison_changes_no_roster_and_ends_right(
    desk: Desk, sftp: Sftp, database: str
) -> None:
    desk.take(desk.town)
    before = desk.everything()
    after = desk.town.copy()
    after.leave(after.students("bay", "05")[:2])
    after.arrive("ash", "02", 2)
    folder = sftp.root / database
    folder.mkdir()
    for name, content in as_oneroster(after).items():
        (folder / name).write_bytes(content)
    (candidate,) = candidates(list_folder(sftp.client, f"/{database}"))
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        import_id = record(connection, desk.tenant_id, f"/{database}", candidate)
    assert import_id is not None
    states = []
    for step, more in ((fetched, [sftp.login]), (staged, []), (validated, []), (compared, [])):
        assert kill_until_done(desk, step, import_id, str(desk.storage), *more) >= 3
        states.append(desk.found(import_id).state)
        assert desk.everything() == before
    assert states == ["fetched", "staged", "validated", "ready"]
    assert desk.apply(import_id)["applied"] is True
    assert desk.live() == expected(after)


@pytest.mark.parametrize("desk", ["hero", "imagine_math"], indirect=True)
def test_an_apply_and_an_undo_are_whole_or_not_there(desk: Desk) -> None:
    step = cases(4 if desk.product == "hero" else 8, 1)
    desk.take(desk.town)
    before = desk.everything()
    import_id = desk.drop(other(desk.town))
    desk.decide(import_id, Answer.APPROVE_WITH_ID_MAP)
    assert kill_until_done(desk, applied, import_id, str(desk.storage), step=step) > 60
    assert desk.found(import_id).state == "applied"
    assert desk.live() == expected(other(desk.town))

    assert kill_until_done(desk, undone, import_id, step=step) > 30
    assert desk.found(import_id).state == "undone"
    assert desk.everything() == before


def test_a_first_set_of_a_year_is_whole_or_not_there(desk: Desk) -> None:
    desk.take(desk.town)
    desk.begin_year("2026-27")
    import_id = desk.drop(desk.town.next_year())
    assert kill_until_done(desk, applied, import_id, str(desk.storage), step=cases(6, 1)) > 40
    assert desk.live() == expected(desk.town.next_year())
    assert desk.query("SELECT count(*) FROM roster.people WHERE last_year_grade = '05'") == [(12,)]


def test_rows_leave_for_good_together(desk: Desk) -> None:
    desk.take(desk.town)
    import_id = desk.drop(other(desk.town))
    desk.decide(import_id, Answer.APPROVE)
    desk.apply(import_id)
    assert kill_until_done(desk, tidied, str(desk.storage), notes_its_end=True) > 10
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(0,)]
    assert desk.live() == expected(other(desk.town))
    assert imports.current(desk.engine, desk.tenant_id, import_id).details.history_is_gone is True

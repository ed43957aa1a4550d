"""`rollover status`: a line in a pipe, a table on a terminal, JSON."""

from __future__ import annotations

from typing import Any

import pytest

from rollover import cli
from rollover.cli.command import drawn
from rollover.cli.status import Statuses, StatusRow
from rollover.database.session import tenant_session
from rollover.ledger import holds, pause
from rollover.run import Run
from rollover.season.status import status_of
from tests.cli.conftest import Shown
from tests.support.small_district import NORTH

HERO = "hero__riverside-ca"


@pytest.fixture
def paused(run: Run) -> Run:
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        pause.begin(connection, HERO, by=run.id, reason="rollover of 2025-26")
        holds.place(connection, HERO, holds.LEGAL, reason="case 7", by="rollover", student_id="n1")
    return run


def test_json(paused: Run, shown: Shown) -> None:
    content: dict[str, Any] = shown(Statuses, "status", "riverside-ca")
    (row,) = content["tenants"]
    assert (row["tenant"], row["problems"], content["problems"]) == (HERO, [], [])
    status = row["status"]
    assert (status["current_school_year"], status["rollover"], status["last_import"]) == ("2025-26", None, None)
    assert status["pause"]["by"] == paused.id and status["pause"]["since"].endswith("+00:00")
    (hold,) = status["holds"]
    assert "on one student" in hold and "n1" not in hold and NORTH not in hold


def test_a_pipe_gets_one_line_per_tenant(paused: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{HERO}: current school year 2025-26; no rollover yet; sync paused since ")


def test_a_terminal_gets_a_table(paused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with tenant_session(paused.engine, HERO) as connection:
        row = StatusRow(HERO, status_of(connection), ["the DAG is paused"])
    said = drawn(Statuses([row], []).sheet())
    for part in ("Needs attention", HERO, "2025-26", "none yet", "paused since", "one student", "the DAG is paused"):
        assert part in said

"""An error that nobody foresaw is reported by kind and place: without a traceback, and without a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from rollover import cli
from rollover.cli.context import Context
from rollover.database.session import connect
from rollover.ledger import identity
from rollover.run import Run

VALUE = "Mia Tran"


@pytest.mark.parametrize(
    ("error", "kind"), [(ValueError(VALUE), "ValueError"), (PermissionError(13, "Permission denied", VALUE), "denied")]
)
def test_an_unforeseen_error_shows_its_kind_and_place(
    districts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    kind: str,
) -> None:
    def fails(self: Context, name: str | None) -> None:
        raise error

    monkeypatch.setattr(Context, "tenants", fails)
    assert cli.main(["status"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and kind in said.err and "cli/status.py" in said.err
    assert VALUE not in said.err and "Traceback" not in said.err


def test_an_error_of_the_database_shows_no_value(
    run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(connection: object) -> None:
        with owner.begin() as session:
            session.execute(text("SELECT CAST(:value AS integer)"), {"value": VALUE})

    monkeypatch.setattr(identity, "persons", fails)
    assert cli.main(["person", "list"]) == 1
    said = capsys.readouterr().err
    assert "InvalidTextRepresentation, 22P02" in said and VALUE not in said and "Traceback" not in said


@pytest.mark.parametrize("line", [["status"], ["person", "list"], ["hold", "list"]], ids=" ".join)
def test_a_database_that_cannot_be_reached_is_said_without_a_traceback(
    districts: Path, capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    assert cli.main(line) == 1
    said = capsys.readouterr()
    assert said.out == "" and "OperationalError" in said.err and "Traceback" not in said.err
    assert "Check ROLLOVER_DATABASE_URL" in said.err


def test_without_a_url_the_variable_is_named(
    districts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ROLLOVER_DATABASE_URL")
    assert cli.main(["hold", "list"]) == 1
    assert "Set ROLLOVER_DATABASE_URL" in capsys.readouterr().err


def test_a_setting_that_is_invalid_is_named(
    districts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLOVER_BACKUP_DAYS", "forever")
    assert cli.main(["dates", "2026-27"]) == 1
    said = capsys.readouterr().err
    assert "ROLLOVER_BACKUP_DAYS: Input should be a valid integer" in said and "forever" not in said


def test_what_is_looked_up_is_looked_up_once(
    run: Run, login_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr("rollover.database.session.connect", lambda url: calls.append(url) or connect(url))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    assert cli.main(["hold", "set", "riverside-ca", "--kind", "legal", "--reason", "x"]) == 0
    assert len(calls) == 1


def test_ctrl_c_ends_a_command_in_silence(
    districts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: Context, name: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Context, "tenants", interrupted)
    assert cli.main(["status"]) == 130
    assert capsys.readouterr() == ("", "")

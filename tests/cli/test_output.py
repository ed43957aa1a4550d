"""A terminal gets a table as wide as it is; a pipe gets lines without colours, cut or wrapped nowhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from rollover import cli
from rollover.cli.command import Cell, Sheet, drawn

LONG = "hero__" + "a-very-long-name-of-a-district-" * 3


class Terminal(io.StringIO):
    """A terminal that keeps what it shows."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command shows on a terminal."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def screen(*arguments: str) -> str:
        with redirect_stdout(Terminal()) as shown:
            assert cli.main(arguments) == 0
        return shown.getvalue()

    return screen


def test_a_terminal_gets_a_table_with_colours(districts: Path, terminal: Callable[..., str]) -> None:
    said = terminal("dates", "2025-26")
    assert "Reset date" in said and "hero__riverside-ca" in said and "\x1b[" in said


def test_no_color_is_respected(districts: Path, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    said = terminal("dates", "2025-26")
    assert "Reset date" in said and "\x1b" not in said


def test_json_is_the_same_on_a_terminal(districts: Path, terminal: Callable[..., str]) -> None:
    said = terminal("dates", "2025-26", "--json")
    assert said.startswith("{") and "\x1b" not in said


@pytest.mark.parametrize("width", [40, 60, 200])
def test_a_table_is_as_wide_as_the_terminal_and_nothing_is_cut(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    said = drawn(Sheet(("Tenant", "Sync"), [(LONG, Cell("[red]paused[/]", "red"))], ["below"]))
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said and "below" in said and "[red]" in said, "text is not markup"
    left = "".join(line[: line.index("  ")] if "  " in line else line for line in said.splitlines()[3:-2])
    assert LONG[:30] in re.sub(r"\s", "", left)


def test_a_pipe_gets_a_line_for_each_tenant(districts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dates", "2025-26"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"hero__riverside-ca {33}2026-07-\d\d \w+day  default", line)


def test_a_real_terminal_and_a_real_pipe(districts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    call = [sys.executable, "-c", "import sys; from rollover.cli import main; sys.exit(main())", "dates", "2025-26"]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(call, stdout=theirs, check=True)
        os.close(theirs)
        said = screen.read(10_000).decode()
    assert "Reset date" in said and "\x1b[" in said
    piped = subprocess.run(call, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "Reset date" not in piped and "\x1b" not in piped and "─" not in piped

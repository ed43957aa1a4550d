"""What holds for every command: a wrong name is an error, and a reader that stops is none."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollover import cli
from rollover.season.readiness import METADATA_URL
from tests.archive.test_query import DISTRICT

HOME = Path(__file__).parents[1]
NAMES = {"tenant": "hero__riversid-ca", "district": "riversid-ca", "product": "heros"}
OTHERS = {"year": "2025-26", "import_id": "x", "hold": "1", "data_class": "x", "report": "x", "sql": "SELECT 1"}
OTHERS |= {"kind": "legal", "reason": "x", "seen": "x", "answer": "discard", "out": "out", "why": "x", "into": "x"}


def commands(parser: argparse.ArgumentParser, so_far: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command line that names a tenant, a district or a product that is misspelt, and what it misspells."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, each in group.choices.items():
            yield from commands(each, (*so_far, name))
    if groups:
        return
    named = [action for action in parser._actions if action.dest in NAMES]
    for wrong in named:
        line = list(so_far)
        required = {id(g._group_actions[0]) for g in parser._mutually_exclusive_groups if g.required}
        for action in parser._actions:
            value = NAMES.get(action.dest) if action is wrong else OTHERS.get(action.dest)
            if action is not wrong and not (action.required or id(action) in required):
                continue
            if action.option_strings:
                line += [action.option_strings[0], value or "x"]
            else:
                line.append(value or "x")
        yield tuple(line), NAMES[wrong.dest]


LINES = list(commands(cli._parser()))


@pytest.fixture
def districts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "districts"
    folder.mkdir()
    (folder / "riverside-ca.yaml").write_text(DISTRICT)
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    monkeypatch.setenv("ROLLOVER_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", "postgresql+psycopg://nobody@/nothing?host=/nowhere")
    return folder


def test_the_commands_that_name_a_tenant_are_found() -> None:
    found = {" ".join(line[:2]) for line, _ in LINES}
    assert len(LINES) >= 15
    assert {"hold list", "roster held", "archive list", "archive query", "evidence verify"} <= found
    assert {line[0] for line, _ in LINES} >= {"status", "plan", "resume", "switch-on", "export", "residue"}


@pytest.mark.parametrize(("line", "name"), LINES, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_an_unknown_name_is_an_error_with_a_suggestion(
    districts: Path, capsys: pytest.CaptureFixture[str], line: tuple[str, ...], name: str
) -> None:
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert said.out == "" and f"'{name}'" in said.err and "did you mean '" in said.err


def test_a_name_that_is_near_none_lists_those_there_are(districts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "zzz"]) == 2
    assert "hero__riverside-ca, riverside-ca" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["dates", "2026-27"], ["lint"]])
def test_a_reader_that_stops_is_no_error(
    districts: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    monkeypatch.delenv("ROLLOVER_DATABASE_URL")
    monkeypatch.delenv(METADATA_URL, raising=False)  # tests of DAGs set it
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from rollover.cli import main; sys.exit(main())", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            cwd=HOME,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")

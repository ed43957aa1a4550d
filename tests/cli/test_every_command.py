"""What holds for every command: a wrong name is an error, a reader that stops is not, and the help teaches."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperOption

from rollover import cli
from rollover.settings import HOME
from tests.support.cli_commands import Command, commands, root
from tests.support.language import avoided

NAMES = {"tenant": "hero__riversid-ca", "district": "riversid-ca", "product": "heros"}
OTHERS = {"year": "2025-26", "import_id": "x", "hold": "1", "data_class": "x", "report": "x", "sql": "SELECT 1"}
OTHERS |= {"kind": "legal", "reason": "x", "seen": "x", "answer": "discard", "out": "out"}
ONE_OF = {"archive restore": ("--into", "x"), "archive destroy-key": ("--why", "x")}
"""Of some options one has to be given."""
WITH_JSON = {
    *("status", "season", "dates", "plan", "export", "lint", "residue", "hold list", "roster in-review"),
    *("roster list", "roster show", "roster decide", "archive list", "archive query", "archive report"),
    *("evidence verify", "certificate list", "certificate show", "certificate verify", "person list"),
    "notices",
}
AVOIDED_IN_HELP = r"\b(reported|fingerprints?)\b"
"""Besides those that are avoided everywhere."""
COMMANDS = commands()


def misspelt(command: Command) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each call of a command that misspells a tenant, a district or a product, and what it misspells."""
    for wrong in (param for param in command.command.params if param.name in NAMES):
        line = [*command.path, *ONE_OF.get(str(command), ())]
        for param in command.command.params:
            if param is not wrong and not param.required:
                continue
            value = NAMES[str(param.name)] if param is wrong else OTHERS[str(param.name)]
            line += [param.opts[0], value] if isinstance(param, TyperOption) else [value]
        yield tuple(line), NAMES[str(wrong.name)]


LINES = [line for command in COMMANDS for line in misspelt(command)]


def test_the_commands_that_name_a_tenant_are_found() -> None:
    found = {" ".join(line[:2]) for line, _ in LINES}
    assert len(LINES) >= 15
    assert {"hold list", "roster in-review", "archive list", "archive query", "evidence verify"} <= found
    assert {"roster list", "certificate list", "certificate show"} <= found
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


@pytest.mark.parametrize(
    "line",
    [
        *(["dates", "2026"], ["dates"], ["dates", "2026-27", "--nothing"], ["nothing"]),
        ["hold", "set", "riverside-ca", "--kind", "other", "--reason", "x"],
        ["hold", "set", "riverside-ca", "--kind", "legal", "--reason", "x", "--school", "1", "--student", "2"],
        ["archive", "restore", "hero__riverside-ca", "2025-26", "--reason", "x"],
        ["archive", "restore", "hero__riverside-ca", "2025-26", "--reason", "x", "--into", "x", "--live"],
        ["archive", "destroy-key", "hero__riverside-ca"],
        ["archive", "destroy-key", "hero__riverside-ca", "--why", "x", "--approve", "x"],
        ["archive", "query", "SELECT 1", "--csv", "--json"],
    ],
    ids=" ".join,
)
def test_a_call_that_is_wrong_is_said_so(districts: Path, capsys: pytest.CaptureFixture[str], line: list[str]) -> None:
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err and "Traceback" not in said.err


@pytest.mark.parametrize("arguments", [["dates", "2026-27"], ["lint"], ["dates", "2026-27", "--json"], ["--help"]])
def test_a_reader_that_stops_is_no_error(
    districts: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    reading, writing = os.pipe()
    monkeypatch.delenv("ROLLOVER_DATABASE_URL")
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


def test_each_command_that_shows_something_has_json() -> None:
    assert {str(command) for command in COMMANDS if command.document} == WITH_JSON
    for command in COMMANDS:
        assert ("--json" in {option.opts[0] for option in command.options}) == (str(command) in WITH_JSON)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_each_command_has_a_help_and_an_example_of_its_own(command: Command) -> None:
    assert command.panel and command.command.help
    assert tuple(command.example[: len(command.path)]) == command.path
    rest = command.example[len(command.path) :]
    context = command.command.make_context(str(command), rest)  # it can be parsed
    assert all(context.params[str(param.name)] is not None for param in command.command.params if param.required)
    for param in (*command.arguments, *command.options):
        assert param.help and param.help[0].isupper() and param.help.endswith(".")


def test_the_help_has_no_avoided_word_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [(), *{command.path[:1] for command in COMMANDS}, *(command.path for command in COMMANDS)]
    for path in paths:
        assert cli.main([*path, "--help"]) == 0
        said = capsys.readouterr().out
        assert not avoided(said) and not re.search(AVOIDED_IN_HELP, said), path
        if not path:
            assert all(re.search(rf"^│ {name} ", said, re.MULTILINE) for name in root().commands)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "Look" in capsys.readouterr().out


def test_one_command_reads_no_other_commands_module() -> None:
    """Nor what is slow to import, for the help."""
    heavy = {"sqlalchemy", "pyarrow", "duckdb", "airflow", "polars", "pandas", "pydantic_settings", "upath"}
    code = "import sys; from rollover.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    for arguments in (["--help"], ["dates", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        modules = set(done.stdout.splitlines()[-1].split())
        assert "rollover.cli.dates" in modules and not heavy & modules
        assert ("rollover.cli.hold" in modules) == (arguments == ["--help"])


def test_the_docs_name_only_commands_that_exist() -> None:
    """Of `rollover word word` in README.md, docs/, DAGs and the library's messages: the words are commands."""
    known = {command.path for command in COMMANDS} | {command.path[:1] for command in COMMANDS}
    pages = [HOME / "README.md", *(HOME / "docs").glob("*.md"), HOME / "CHANGELOG.md", HOME / "CONTRIBUTING.md"]
    pages += [*(HOME / "dags").glob("*.py"), *(HOME / "include" / "rollover").rglob("*.py")]
    groups, found = {command.path[0] for command in COMMANDS if len(command.path) > 1}, set()
    for page in pages:
        for name, rest in re.findall(r"(?:`|^)rollover ([a-z][a-z-]*)((?: [a-z][a-z-]+)?)", page.read_text(), re.M):
            path = (name, rest.strip()) if name in groups and rest else (name,)
            assert path in known, f"{page}: rollover {name}{rest}"
            found.add(path)
    assert len(found) >= 20

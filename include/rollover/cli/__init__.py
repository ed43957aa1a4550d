"""The command line ``rollover``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rollover.cli import commands, exports, roster
from rollover.cli.arguments import BadArgument
from rollover.errors import RolloverError
from rollover.settings import Settings

Subparsers = Any
"""What argparse's add_subparsers gives; its own name for the type is private."""
Command = Callable[[argparse.Namespace, Settings], int]
TENANT = "e.g. hero__springfield-il"
YEAR = "a school year like 2025-26"
REASON = "why; goes to the evidence"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 well, 1 something is wrong, 2 the call is."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, Settings())
        return code
    except RolloverError as error:
        print(error, file=sys.stderr)
        return 1
    except BadArgument as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollover", description="Starts the new school year clean.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command) -> argparse.ArgumentParser:
        return _added(subparsers, name, run)

    add("lint", commands.lint)
    add("migrate", commands.migrate)
    add("dates", commands.dates).add_argument("year", help=YEAR)
    add("status", commands.status).add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command = add("resume", commands.resume)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("--reason", required=True, help=REASON)
    command = add("switch-on", commands.switch_on)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("data_class", help="notification_switch or portal_schedules")
    command.add_argument("--reason", required=True, help=REASON)
    command = add("plan", commands.plan)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("--year", required=True, help=YEAR)
    command = add("export", exports.export)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    command.add_argument("--report", action="append", help="a report by name, once for each; without it, all")
    command.add_argument("--out", required=True, type=Path, help="the folder to write to; older files are replaced")
    about = "Held imports, and taking back what was applied."
    group = subparsers.add_parser("roster", help=about, description=about)
    _add_roster(group.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _add_roster(subparsers: Subparsers) -> None:
    _added(subparsers, "held", roster.held).add_argument("tenant", nargs="?", help="a tenant or a district")
    command = _added(subparsers, "decide", roster.decide)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("import_id", metavar="import", help="as `rollover roster held` names it")
    command.add_argument("answer", help="approve, approve-with-id-map, additions-only or discard")
    command.add_argument(
        "--seen", required=True, help="the number of the comparison, as `rollover roster held` shows it"
    )
    command.add_argument("--reason", required=True, help=REASON)
    command = _added(subparsers, "undo", roster.undo)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("--import", dest="import_id", help="the import, if you want to be sure that it is the last")
    command.add_argument("--reason", required=True, help=REASON)


def _added(subparsers: Subparsers, name: str, run: Command) -> argparse.ArgumentParser:
    """A command, described by its function's docstring."""
    says = (run.__doc__ or "").strip()
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=says.splitlines()[0], description=says)
    parser.set_defaults(run=run)
    return parser

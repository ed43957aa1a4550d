"""The command line ``rollover``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rollover.cli import archive, commands, exports, hold, proof, roster
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
    command.add_argument("tenant", help="a tenant, or a district for all its products")
    command.add_argument("--year", required=True, help=YEAR)
    command = add("export", exports.export)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    command.add_argument("--report", action="append", help="a report by name, once for each; without it, all")
    command.add_argument("--out", required=True, type=Path, help="the folder to write to; older files are replaced")
    about = "Legal holds and open inspection requests: what is neither erased nor reset."
    group = subparsers.add_parser("hold", help=about, description=about)
    _add_hold(group.add_subparsers(required=True, metavar="COMMAND"))
    about = "Held imports, and taking back what was applied."
    group = subparsers.add_parser("roster", help=about, description=about)
    _add_roster(group.add_subparsers(required=True, metavar="COMMAND"))
    about = "The chain of evidence."
    group = subparsers.add_parser("evidence", help=about, description=about)
    command = _added(group.add_subparsers(required=True, metavar="COMMAND"), "verify", proof.verify_evidence)
    command.add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command.add_argument("--certificate", type=Path, metavar="FILE", help="a certificate that the chain must hold")
    about = "Certificates of disposition, and the keys that sign them."
    group = subparsers.add_parser("certificate", help=about, description=about)
    _add_certificate(group.add_subparsers(required=True, metavar="COMMAND"))
    about = "Archived years: what there is, SQL over them, their reports, and putting one back."
    group = subparsers.add_parser("archive", help=about, description=about)
    _add_archive(group.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _add_hold(subparsers: Subparsers) -> None:
    command = _added(subparsers, "set", hold.place)
    command.add_argument("tenant", help="a tenant, or a district for all its products")
    command.add_argument(
        "--kind", required=True, choices=["inspection", "legal"], help="legal, or an open request to inspect"
    )
    of = command.add_mutually_exclusive_group()
    of.add_argument("--school", help="only this school, by its id in the roster")
    of.add_argument("--student", help="only this student, by the id in the roster")
    command.add_argument("--reason", required=True, help="why, without a name")
    command = _added(subparsers, "lift", hold.lift)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("hold", type=int, help="its number, as `rollover hold list` shows it")
    command.add_argument("--reason", required=True, help="why, without a name")
    command = _added(subparsers, "list", hold.show)
    command.add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command.add_argument("--all", action="store_true", help="also those that were lifted")


def _add_certificate(subparsers: Subparsers) -> None:
    command = _added(subparsers, "keygen", proof.keygen)
    command.add_argument("file", type=Path, metavar="FILE", help="where the private key goes")
    command = _added(subparsers, "verify", proof.verify_certificate)
    command.add_argument("file", type=Path, metavar="FILE", help="a certificate, JSON or PDF")
    command.add_argument("--public-key", type=Path, metavar="PEM", help="the issuer's public key")


def _add_archive(subparsers: Subparsers) -> None:
    _added(subparsers, "list", archive.list_years).add_argument("district", nargs="?", help="without it, all")
    command = _added(subparsers, "query", archive.query)
    command.add_argument("sql", help='one SELECT, e.g. "SELECT school_year, count(*) FROM tracking_events GROUP BY 1"')
    command.add_argument("--district")
    command.add_argument("--product", help="hero, imagine_math or imagine_math_facts")
    command.add_argument("--year", help=YEAR)
    command.add_argument("--csv", action="store_true", help="all rows, as CSV")
    command = _added(subparsers, "report", archive.report)
    command.add_argument("report", help="e.g. behavior_history")
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    command.add_argument("--out", help="a folder; without it, one beside the exports of the year")
    command = _added(subparsers, "restore", archive.restore)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--into", metavar="SCHEMA", help="a new schema; needs the owner's URL in ROLLOVER_DATABASE_URL")
    where.add_argument("--live", action="store_true", help="the live tables, where they have no row of that year")
    command.add_argument("--reason", required=True, help=REASON)


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

"""The command line ``rollover``. A module holds the commands of one subject, and the arguments that they take."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rollover.cli import archive, commands, exports, hold, person, proof, residue, roster
from rollover.cli.arguments import BadArgument
from rollover.errors import RolloverError
from rollover.settings import Settings


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
    for subject in (commands, exports, hold, roster, proof, residue, archive, person):
        subject.add_to(subparsers)
    return parser

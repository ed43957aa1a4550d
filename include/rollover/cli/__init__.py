"""The command line ``rollover``. A module holds the commands of one subject, and the arguments that they take."""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Sequence

from rollover.cli import archive, commands, exports, hold, person, proof, residue, roster
from rollover.cli.arguments import BadArgument
from rollover.errors import RolloverError
from rollover.settings import Settings

READER_LEFT = 128 + 13
"""What a shell shows for a command that SIGPIPE ends, as ``cat large | head`` does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 something is wrong, 2 the call is, 141 nobody reads on."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_left():
            raise  # another pipe, e.g. a server's
        return READER_LEFT


def _run(arguments: Sequence[str] | None) -> int:
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


def _reader_left() -> bool:
    """Whether whoever read our output (``| head``) has stopped, which is no error. What is still buffered then goes
    nowhere, or Python would fail once more when it exits."""
    output, poll = sys.stdout.fileno(), select.poll()
    poll.register(output, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
    return left


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollover", description="Starts the new school year clean.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for subject in (commands, exports, hold, roster, proof, residue, archive, person):
        subject.add_to(subparsers)
    return parser

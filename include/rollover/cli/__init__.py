"""The command line ``rollover``: one module per noun, each with a typer app.

Slow imports (SQLAlchemy, Arrow, DuckDB, Airflow, rich, the checked district files) are inside the commands, and only
the module of the called noun is imported: help and completion must answer at once, and no command pays for another one.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module

import typer
from typer.main import get_command

from rollover.cli.context import Context

NAME = "rollover"
COMPLETION = "_ROLLOVER_COMPLETE"
"""Set by the shell that asks for completion."""
READER_LEFT = 128 + 13
"""What a shell shows for a command that SIGPIPE ends, as ``cat large | head`` does."""
INTERRUPTED = 128 + 2
NOUNS = (
    *("status", "season", "dates", "notices", "plan", "export"),
    *("hold", "roster", "resume", "switch-on"),
    "archive",
    *("evidence", "certificate", "residue"),
    *("lint", "person", "migrate"),
)
"""The commands and groups of commands, each in the module of its name, in the order of the help."""


def app_of(nouns: Sequence[str]) -> typer.Typer:
    """The app with the commands of `nouns`."""
    app = typer.Typer(
        help="Starts the new school year clean, district by district, and proves it.",
        epilog="Each command shows an example: rollover COMMAND --help. README.md describes the daily work, "
        "docs/cli.md every command and its JSON, docs/rules.md what happens to which data.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in nouns:
        noun: typer.Typer = import_module(f"rollover.cli.{name.replace('-', '_')}").app
        app.add_typer(noun, rich_help_panel=noun.rich_help_panel)  # typer passes on everything but the panel
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: done. 1: something is wrong. 2: the call is wrong. 130: interrupted. 141: the reader of the output has stopped.
    """
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        return READER_LEFT if _reader_left() else _failed(error)  # of another pipe, e.g. a server's
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    code: object
    try:
        code = _call(arguments)
    except (typer.Exit, SystemExit) as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's way to end when it prints
            return READER_LEFT
        code = end.exit_code if isinstance(end, typer.Exit) else end.code
    except BrokenPipeError:
        raise
    except Exception as error:
        return _failed(error)
    return code if isinstance(code, int) else 0


def _call(arguments: list[str]) -> object:
    """Run a command and return its exit code. Typer's own ``main`` is used for completion only: it hides broken
    pipes."""
    nouns = [noun for noun in NOUNS if noun in arguments[:1]]
    command = get_command(app_of(nouns or NOUNS))
    if COMPLETION in os.environ:
        return command.main(arguments, prog_name=NAME, obj=Context())
    with command.make_context(NAME, arguments, obj=Context()) as context:
        return command.invoke(context)


def _failed(error: Exception) -> int:
    from rollover.cli.failures import failure

    code, message = failure(error)
    if message:
        print(message, file=sys.stderr)
    return code


def _reader_left() -> bool:
    """Whether the reader of our output (``| head``) has stopped, which is no error. If so, buffered output is dropped,
    because Python would fail again when it exits."""
    output, poll = sys.stdout.fileno(), select.poll()
    poll.register(output, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output)
        os.close(nowhere)
    return left

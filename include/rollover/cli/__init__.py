"""The command line ``rollover``: one module per noun, each with a typer app.

What is heavy (SQLAlchemy, Arrow, DuckDB, Airflow, rich, the checked district files) is imported inside the commands,
and of the nouns only the one that is called: help and completion must answer at once, and no command pays for what
another one needs.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer
from typer.main import get_command

from rollover.cli.context import BadArgument, Context
from rollover.errors import DatabaseFailed, DatabaseUnavailable, RolloverError

NAME = "rollover"
COMPLETION = "_ROLLOVER_COMPLETE"
"""Set by the shell that asks for completion."""
READER_LEFT = 128 + 13
"""What a shell shows for a command that SIGPIPE ends, as ``cat large | head`` does."""
INTERRUPTED = 128 + 2
NOUNS = (
    *("status", "dates", "plan", "export"),
    *("hold", "roster", "resume", "switch-on"),
    "archive",
    *("evidence", "certificate", "residue"),
    *("lint", "person", "migrate"),
)
"""The commands and groups of commands, each in the module of its name, in the order of the help."""


def app_of(nouns: Sequence[str]) -> typer.Typer:
    """The app with some of the commands."""
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

    0 done, 1 something is wrong, 2 the call is, 130 interrupted, 141 nobody reads on.
    """
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else list(arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError as error:
        return READER_LEFT if _reader_left() else _failed(_unexpected(error), 1)  # another pipe, e.g. a server's
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    try:
        code = _call(arguments)
        return code if isinstance(code, int) else 0
    except (typer.Exit, SystemExit) as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's way to end when it prints
            return READER_LEFT
        code = end.exit_code if isinstance(end, typer.Exit) else end.code
        return code if isinstance(code, int) else 0
    except typer.Abort:
        return _failed("Stopped.", 1)
    except typer.TyperException as error:
        return _failed(_usage(error), error.exit_code)
    except BadArgument as error:
        return _failed(str(error), 2)
    except DatabaseUnavailable as error:
        return _failed(f"The database cannot be reached ({error}). Check ROLLOVER_DATABASE_URL, then try again.", 1)
    except DatabaseFailed as error:
        return _failed(f"The database refused this ({error}).", 1)
    except RolloverError as error:
        return _failed(str(error), 1)
    except BrokenPipeError:
        raise
    except Exception as error:
        return _failed(_unexpected(error), 1)


def _call(arguments: list[str]) -> object:
    """What a command returns. Typer's own ``main`` is used for completion only: it hides broken pipes."""
    nouns = [noun for noun in NOUNS if noun in arguments[:1]]
    command = get_command(app_of(nouns or NOUNS))
    if COMPLETION in os.environ:
        return command.main(arguments, prog_name=NAME, obj=Context())
    with command.make_context(NAME, arguments, obj=Context()) as context:
        return command.invoke(context)


def _failed(message: str, code: int) -> int:
    if message:
        print(message, file=sys.stderr)
    return code


def _usage(error: typer.TyperException) -> str:
    """What is wrong with a call, and how it goes; typer has printed the help already if there is no message."""
    context = getattr(error, "ctx", None)
    if context is None or not error.format_message():
        return error.format_message()
    return f"{context.get_usage()}\n{error.format_message()}\nSee {context.command_path} --help."


def _unexpected(error: BaseException) -> str:
    """What failed and where, by kind only: the text of an error that nobody foresaw may quote a row."""
    import traceback

    cause = getattr(error, "orig", None) or error
    home = Path(__file__).parents[1]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(home)]
    place = f" at {Path(frames[-1].filename).relative_to(home)}:{frames[-1].lineno}" if frames else ""
    kind = ", ".join(filter(None, [type(cause).__name__, getattr(cause, "sqlstate", None), _why(cause)]))
    return f"Unexpected: {kind}{place}. Its text is not shown, since it may quote personal values."


def _why(cause: object) -> str | None:
    """The system's words for what it refused; they quote nothing."""
    return cause.strerror if isinstance(cause, OSError) else None


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

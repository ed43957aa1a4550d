"""Makes the message and the exit code of an error: no traceback, and no personal value."""

from __future__ import annotations

import traceback
from pathlib import Path

import typer

from rollover.cli.context import BadArgument
from rollover.errors import DatabaseFailed, DatabaseUnavailable, RolloverError

HOME = Path(__file__).parents[1]


def failure(error: Exception) -> tuple[int, str]:
    """The exit code, and the message for stderr; it is empty if typer has printed the help."""
    match error:
        case typer.TyperException():
            return error.exit_code, _usage(error)
        case typer.Abort():
            return 1, "Stopped."
        case BadArgument():
            return 2, str(error)
        case DatabaseUnavailable():
            return 1, _unavailable(str(error))
        case DatabaseFailed():
            return 1, f"The database refused this ({error})."
        case RolloverError():
            return 1, str(error)
        case _:
            return 1, _unexpected(error)


def _usage(error: typer.TyperException) -> str:
    """The error of a wrong call, with its correct usage."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if context is None or not message:
        return message
    return f"{context.get_usage()}\n{message}\nSee {context.command_path} --help."


def _unavailable(kind: str) -> str:
    return (
        f"The database did not answer, or another transaction was in the way ({kind}). Check ROLLOVER_DATABASE_URL, "
        "then try again."
    )


def _unexpected(error: Exception) -> str:
    """The type and place of an unexpected error. Its text is left out, because it may quote a row."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's errors have the driver's
    kind = type(cause).__name__
    if kind == "OperationalError":
        return _unavailable(kind)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(HOME)]
    place = f" at {Path(frames[-1].filename).relative_to(HOME)}:{frames[-1].lineno}" if frames else ""
    details = [kind, getattr(cause, "sqlstate", None), cause.strerror if isinstance(cause, OSError) else None]
    return (
        f"Unexpected: {', '.join(filter(None, details))}{place}. Its text is not shown: it may quote personal values."
    )

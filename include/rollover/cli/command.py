"""Turns a function into a command: it yields lines, and returns the document that ``--json`` prints in their place.

Lines are printed as they come, so that a long command shows its progress, and a pipe gets one line per thing. On a
terminal, a :class:`Tabular` document is drawn as a table.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import PurePath
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_args

import typer

from rollover.cli.context import Context

LOOK = "Look: nothing is changed"
DECIDE = "Decide: what only a person may do"
PROVE = "Prove what was done"
ARCHIVE = "Use what was archived"
SET_UP = "Set up"
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else; docs/cli.md lists its keys.")
]


class Document:
    """The output of a command. Its subclasses are dataclasses: their fields are the keys of the JSON document."""

    @property
    def exit_code(self) -> int:
        return 0


@dataclass(frozen=True)
class Cell:
    """Text of a table, with a colour of rich's."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table for a terminal, and the lines below it."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell | str, ...]]
    below: list[str] = field(default_factory=list)


class Tabular(Document):
    """A document that a terminal shows as a table."""

    def sheet(self) -> Sheet:
        raise NotImplementedError


Shown = TypeVar("Shown", bound=Document | None)
Lines = Generator[str, None, Shown]
P = ParamSpec("P")


def command(run: Callable[Concatenate[Context, P], Lines[Shown]]) -> Callable[..., int]:
    """Make a command for typer of `run`; it returns the exit code. One that returns a document has ``--json``."""
    signature = inspect.signature(run, eval_str=True)
    shown = document_of(run)

    @wraps(run)
    def wrapper(typer_context: typer.Context, as_json: bool = False, **arguments: Any) -> int:
        is_table = shown is not None and issubclass(shown, Tabular) and sys.stdout.isatty()
        if "as_json" in signature.parameters:
            arguments["as_json"] = as_json
        lines: Lines[Document | None] = run(typer_context.obj, **arguments)  # type: ignore[call-arg]
        document = _printed(lines, quiet=as_json or is_table)
        if document is None:
            return 0
        if as_json:
            print(as_text(document))
        elif is_table and isinstance(document, Tabular):
            print(drawn(document.sheet()), end="")
        return document.exit_code

    own = [inspect.Parameter("typer_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    own += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(signature.parameters.values())[1:]]
    if shown is not None and "as_json" not in signature.parameters:
        own.append(inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption))
    wrapper.__signature__ = inspect.Signature(own, return_annotation=int)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in own}
    return wrapper


def document_of(run: Callable[..., Any]) -> type[Document] | None:
    """The type of the document that a command returns, by its annotation; None if it shows nothing."""
    annotation = inspect.signature(inspect.unwrap(run), eval_str=True).return_annotation
    *_, shown = get_args(annotation)
    kinds = [kind for kind in (shown, *get_args(shown)) if isinstance(kind, type) and issubclass(kind, Document)]
    return kinds[0] if kinds else None


def _printed(lines: Lines[Shown], *, quiet: bool) -> Shown:
    """Print lines as they come, unless `quiet`; returns what the generator returns."""
    while True:
        try:
            line = next(lines)
        except StopIteration as end:
            document: Shown = end.value
            return document
        if not quiet:
            print(line)


def as_text(document: Document) -> str:
    """A document as JSON: dates and times (UTC) in ISO 8601."""
    return json.dumps(asdict(document), default=_as_json, ensure_ascii=False, indent=2)  # type: ignore[call-overload]


def _as_json(value: object) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case PurePath():
            return str(value)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in JSON")


def drawn(sheet: Sheet) -> str:
    """A table as wide as the terminal, nothing cut off; without colours if NO_COLOR is set."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in sheet.columns:
        table.add_column(name, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(cell.text, cell.style) if isinstance(cell, Cell) else Text(cell) for cell in row))
    console = Console(color_system=None if os.environ.get("NO_COLOR") else "auto")
    with console.capture() as captured:
        console.print(table)
        if sheet.below:
            console.print(Text("\n".join(sheet.below)))
    return captured.get()

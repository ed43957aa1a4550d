"""Writes docs/cli.md from the commands: ``python -m tests.support.cli_reference``. A test compares the two."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rollover.settings import HOME
from tests.support.cli_commands import EXAMPLE, Command, commands, root

PAGE = HOME / "docs" / "cli.md"
INTRODUCTION = """# The command line

For whoever runs Rollover. `rollover --help` and `rollover COMMAND --help` say the same in the terminal.
`python -m tests.support.cli_reference` writes this page from the commands, and a test compares it with them.

- **Where it looks**: `ROLLOVER_DATABASE_URL` names the product database; the other settings are in
  [deploy.md](deploy.md).
- **Who you are**: your database login. What only a person may decide needs a personal one (`rollover person add`).
- **Output**: on a terminal, `status`, `season`, `dates` and what lists things draw a table as wide as the terminal; set
  `NO_COLOR` for one without colours. In a pipe or a file there is one line per thing, nothing cut off, no colours.
- **`--json`**: one JSON document on stdout and nothing else there. Dates and times (UTC) are in ISO 8601; the keys are
  below. A key is added when there is more to say, and never changes its meaning.
- **Errors** go to stderr: what happened, where, and what to do; never a personal value, and nothing on stdout.
- **Exit codes**: 0 done; 1 something is wrong, or was refused; 2 the call is wrong; 130 interrupted; 141 the reader of
  the output stopped (`| head`).
- **Completion** of commands, tenants, districts and school years: `rollover --install-completion`, or
  `--show-completion` to look at it first.
"""
TYPES = {
    "str": "text",
    "int": "integer",
    "bool": "true or false",
    "Path": "text",
    "datetime": "time",
    "NoneType": "null",
}


def reference() -> str:
    """The whole page."""
    page = "\n".join([INTRODUCTION, *_sections()])
    return re.sub(r"\n{3,}", "\n\n", page)


def _sections() -> Iterator[str]:
    panel = group = ""
    for each in commands():
        if each.panel != panel:
            panel = each.panel
            yield f"## {panel}\n"
        if len(each.path) > 1 and each.path[0] != group:
            group = each.path[0]
            yield f"`rollover {group}`: {root().commands[group].help}\n"
        yield from _section(each)


def _section(each: Command) -> Iterator[str]:
    arguments = [f"[{name.metavar}]" if not name.required else str(name.metavar) for name in each.arguments]
    yield f"### rollover {' '.join([str(each), *arguments])}\n"
    yield f"{inspect.cleandoc(each.command.help or '')}\n"
    for argument in each.arguments:
        yield f"- `{argument.metavar}`: {argument.help}"
    for option in each.options:
        value = (
            "" if option.is_flag else f" {option.metavar or '|'.join(map(str, option.type_descriptor.choices or ()))}"
        )
        required = " Required." if option.required else ""
        yield f"- `{option.opts[0]}{value}`: {option.help}{required}"
    yield ""
    yield f"```\nrollover {(each.command.epilog or '').removeprefix(EXAMPLE)}\n```\n"
    if each.document is not None:
        yield f"`--json`: {_about(each.document)}\n"
        yield from _keys(each.document, "")
        yield ""


def _keys(kind: type[Any], indent: str) -> Iterator[str]:
    hints = get_type_hints(kind)
    for name in (field.name for field in fields(kind)):
        inner = _inside(hints[name])
        about = f". {_about(inner)}" if inner else ""
        yield f"{indent}- `{name}`: {_type(hints[name])}{about}"
        if inner:
            yield from _keys(inner, f"{indent}  ")


def _about(kind: type[Any]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split()).replace("None", "null")


def _type(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) is list:
        (of,) = get_args(hint)
        return "list" if _inside(of) else f"list of {_type(of)}"
    if get_origin(hint) in (Union, UnionType):
        if len(get_args(hint)) > 2:
            return "any value"
        return " or ".join(map(_type, get_args(hint)))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{each}`" for each in get_args(hint))
    name = getattr(hint, "__name__", str(hint))
    return "object" if is_dataclass(hint) else TYPES.get(name, name)


def _inside(hint: Any) -> type[Any] | None:
    """The dataclass that a key holds, or that a list of it holds."""
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and is_dataclass(each):
            return each
    return None


if __name__ == "__main__":
    Path(PAGE).write_text(reference(), encoding="utf-8")

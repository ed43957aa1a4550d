"""The filters of the templates: numbers, sizes, times and names as people read them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

WIDTH = 78
"""Characters in a line of plain text."""


def commas(number: int) -> str:
    """A number with commas: 12,345."""
    return f"{number:,}"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 row, 12,345 rows."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """A number of bytes: 340 bytes, 12 kB, 3.4 MB."""
    if number < 1_000:
        return count(number, "byte")
    return f"{number / 1_000:,.0f} kB" if number < 1_000_000 else f"{number / 1_000_000:,.1f} MB"


def percent(share: float) -> str:
    """A share as a percentage of three digits at most: 12.5%."""
    return f"{share * 100:.3g}%"


def moment(when: datetime, zone: str) -> str:
    """A time as the clocks of a time zone show it: Mon, Aug 3, 2026, 4:10 AM CDT."""
    local = when.astimezone(ZoneInfo(zone))
    return f"{local:%a}, {local:%b} {local.day}, {local.year}, {local.hour % 12 or 12}:{local:%M %p %Z}"


def day(when: date) -> str:
    """A day as people write it: Tuesday, July 28, 2026."""
    return f"{when:%A, %B} {when.day}, {when.year}"


def clean(name: str, width: int = WIDTH) -> str:
    """A name from outside on one line, without characters that would break a line or a terminal."""
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    return textwrap.shorten(" ".join(shown.split()), width, placeholder="…") or "?"


def one_line(text: str) -> str:
    """A text on one line, with single spaces: a paragraph of Markdown."""
    return " ".join(text.split())


def wrap(text: str, first: str = "", rest: str = "") -> str:
    """A paragraph in lines of at most `WIDTH`, unless a name is longer; `first` and `rest` start its lines."""
    lines = textwrap.wrap(
        one_line(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines) + "\n"


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text: the first column is aligned left, the others right."""
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    lines = []
    for row in (header, *rows):
        others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    return "\n".join(lines) + "\n"

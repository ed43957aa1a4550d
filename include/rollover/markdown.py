"""Escapes names and texts from outside for Markdown, and back."""

from __future__ import annotations

import re

SIGNS = re.compile(r"([|*_`\[\]<>\\~&#])")
ESCAPED = re.compile(r"\\([|*_`\[\]<>\\~&#/@.])")
LINKS = re.compile(r"(://|\bwww\.|@)", re.IGNORECASE)


def escaped(text: str) -> str:
    """A text as one cell of a table: on one line, and without anything that Markdown or HTML would read as its own.

    A name could otherwise add rows to a table that a person approves, or a link to it.
    """
    one_line = " ".join(text.split())
    printable = "".join(sign for sign in one_line if sign.isprintable())
    return LINKS.sub(lambda found: found[1][:-1] + "\\" + found[1][-1], SIGNS.sub(r"\\\1", printable))


def unescaped(text: str) -> str:
    """The original text of :func:`escaped`, for a plain file or a terminal."""
    return ESCAPED.sub(r"\1", text)

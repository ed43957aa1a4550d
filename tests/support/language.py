"""The words that Rollover avoids, because readers stumble over them, and the texts in which they are searched for."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

AVOIDED = re.compile(
    r"\b(told|anew|mend(s|ed|ing)?|whom|needless(ly)?|carr(y|ies|ied|ying)( it| them)? out|riddles?"
    r"|is well(?![\w-])|sweeps?|what came of|kept out"
    r"|(none|null|empty|nothing) where|raises \w+(, [^,.;:]+,)? where)\b",
    re.IGNORECASE,
)
"""Say instead: shown or found, again, fix, who, unnecessary, run, the nightly sync, the result, rejected; if."""


def avoided(text: str) -> list[str]:
    """The avoided words in a text, whatever its line breaks."""
    return [match[0] for match in AVOIDED.finditer(" ".join(text.split()))]


def texts_of(path: Path) -> Iterator[str]:
    """The docstrings and comments of a Python file, strings below a constant among them; of other files, everything."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield source
        return
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text
    comments = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments.append(token.string.lstrip("# "))
        elif token.type != tokenize.NL:
            yield " ".join(comments)
            comments = []

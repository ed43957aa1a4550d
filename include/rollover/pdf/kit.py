"""The one way that Rollover makes a PDF: a Typst template and data in, a tagged PDF out.

PDF/UA-1: structure, language, title, alternative texts, table headers. Typst refuses to write a file that lacks one of
them. Its compiler is in a wheel and the fonts are in packages: nothing comes from the network or the system.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rollover.errors import RolloverError

ROOT = Path(__file__).parent.parent
"""Templates lie below this folder."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character that no font has."""
PLAIN = re.compile(r"[ -~\u00a0-\u017e]*")
"""Characters that Source Sans has."""
COMPILER = Path(__file__).with_name("compiler.py")
ENDED = "The compiler of PDFs ended before it had answered. Clear this task; if it happens again, report it."


class CannotCompile(Exception):
    """What Typst says of a template or its data. It may quote a name."""


class _Compiler:
    """A compiler process, which makes the PDFs of the process that started it. Its messages may quote a name, so they
    go nowhere but into CannotCompile."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", str(COMPILER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def compile(self, request: dict[str, Any]) -> bytes:
        """The PDF of a request. Raises CannotCompile; RolloverError if the process ends before it has answered."""
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None and received is not None
        try:
            sent.write(json.dumps(request).encode() + b"\n")
            sent.flush()
            word, size = received.readline().split()
            answer = received.read(int(size))
        except (BrokenPipeError, ValueError):
            raise RolloverError(ENDED) from None
        if len(answer) != int(size):
            raise RolloverError(ENDED)
        if word != b"pdf":
            raise CannotCompile(answer.decode())
        return answer

    def close(self) -> None:
        self._process.communicate()


@cache
def _compiler_of(pid: int) -> _Compiler:
    """Return the compiler of this process (`pid`), which ends with it. A forked process gets one of its own."""
    compiler = _Compiler()
    atexit.register(lambda: compiler.close() if os.getpid() == pid else None)
    return compiler


def make_pdf(template: Path, data: dict[str, Any], at: datetime, attachment: str = "") -> bytes:
    """Compile a template below ROOT with `data`, as JSON, into a tagged PDF that is dated `at`.

    Text in `data` is never markup. A character that no font has is shown as UNKNOWN, since PDF/UA forbids one without a
    shape. The same arguments make the same bytes. `attachment` is given to the template as it is. Raises RolloverError
    for a template that fails.
    """
    try:
        pdf = _compile(template, data, at, attachment)
    except CannotCompile:
        readable = _shown(json.loads(_json(data)))
        try:
            pdf = _compile(template, readable, at, attachment)
        except CannotCompile as error:  # its message may quote a name
            at_line = re.search(r"┌─ \S*?([^/\s]+:\d+)", str(error))
            where = f" at {at_line[1]}" if at_line else ""
            raise RolloverError(f"The PDF template {template.name} does not compile{where}.") from None
    return pdf


def _compile(template: Path, data: Any, at: datetime, attachment: str = "") -> bytes:
    inputs = {"data": _json(data), "attachment": attachment}
    return _compiler_of(os.getpid()).compile(
        {"template": str(template), "inputs": inputs, "timestamp": int(at.timestamp())}
    )


def _json(data: Any) -> str:
    return json.dumps(data, default=lambda value: float(value) if isinstance(value, Decimal) else value.isoformat())


def _shown(value: Any) -> Any:
    """Data in which every text can be shown."""
    if isinstance(value, dict):
        return {name: _shown(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shown(part) for part in value]
    return shown(value) if isinstance(value, str) else value


def shown(text: str) -> str:
    """A text with UNKNOWN for each character that no font has."""
    if _can_be_shown(text):
        return text
    text = "".join(letter if _can_be_shown(letter) else UNKNOWN for letter in text)
    if _can_be_shown(text):
        return text
    return "".join(letter if PLAIN.fullmatch(letter) else UNKNOWN for letter in text)


@lru_cache(maxsize=4096)
def _can_be_shown(text: str) -> bool:
    if PLAIN.fullmatch(text):
        return True
    try:
        _compile(ROOT / "pdf" / "probe.typ", text, datetime.fromtimestamp(0, UTC))
    except CannotCompile:
        return False
    return True

"""The one way that Rollover makes a PDF: a Typst template and data in, a tagged PDF out.

PDF/UA-1: structure, language, title, alternative texts, table headers. Typst refuses to write a file that lacks one of
them. Its compiler is in a wheel and the fonts are in packages: nothing comes from the network or the system.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import typst

from rollover.errors import RolloverError

ROOT = Path(__file__).parent.parent
"""Templates import each other by paths from here, e.g. ``/pdf/style.typ``."""
FONTS = {"font_source_sans_pro": "files", "manimgx_fonts": ".", "manimgx_fonts_cjk": "."}
"""Packages with fonts, and the folder in each: Source Sans, and Noto for other scripts."""
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character that no font has."""
PLAIN = re.compile(r"[ -~\u00a0-\u017e]*")
"""Characters that Source Sans has."""
REMEMBERED = 2_000_000
"""Typst keeps what it computed for its last documents, 60 bytes for each of a PDF. After so many bytes it is made to
forget, so that memory stays flat however many files a report has."""
DOCUMENTS = 11
"""What none of so many documents in a row used is forgotten."""

_since_forgotten = 0


def make_pdf(template: Path, data: dict[str, Any], at: datetime, attachment: str = "") -> bytes:
    """Compile a template below ROOT with `data`, as JSON, into a tagged PDF that is dated `at`.

    Text in `data` is never markup. A character that no font has is shown as UNKNOWN, since PDF/UA forbids one without a
    shape. The same arguments make the same bytes. `attachment` is given to the template as it is. Raises RolloverError
    for a template that fails.
    """
    try:
        pdf = _compile(template, data, at, attachment)
    except typst.TypstError:
        readable = _shown(json.loads(_json(data)))
        try:
            pdf = _compile(template, readable, at, attachment)
        except typst.TypstError as error:  # its message may quote a name
            at_line = re.search(r"┌─ \S*?([^/\s]+:\d+)", error.diagnostic)
            where = f" at {at_line[1]}" if at_line else ""
            raise RolloverError(f"The PDF template {template.name} does not compile{where}.") from None
    _forget(len(pdf))
    return pdf


def _compile(template: Path, data: Any, at: datetime, attachment: str = "") -> bytes:
    compiler = typst.Compiler(template, root=ROOT, font_paths=_fonts(), ignore_system_fonts=True)
    inputs = {"data": _json(data), "attachment": attachment}
    made = compiler.compile(sys_inputs=inputs, pdf_standards="ua-1", timestamp=int(at.timestamp()))
    assert isinstance(made, bytes)
    return made


@cache
def _fonts() -> typst.Fonts:
    folders = [Path(str(files(package))) / folder for package, folder in FONTS.items()]
    return typst.Fonts(include_system_fonts=False, font_paths=folders)


def _json(data: Any) -> str:
    return json.dumps(data, default=lambda value: float(value) if isinstance(value, Decimal) else value.isoformat())


def _forget(size: int) -> None:
    global _since_forgotten
    _since_forgotten += size
    if _since_forgotten > REMEMBERED:
        _since_forgotten = 0
        for _ in range(DOCUMENTS):
            typst.compile(b"", font_paths=_fonts(), ignore_system_fonts=True)


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
    except typst.TypstError:
        return False
    return True

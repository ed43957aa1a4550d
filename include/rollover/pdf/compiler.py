"""Compiles Typst templates in a process of its own, one request after another, until its input ends.

A process of its own since Typst keeps threads, which a forked process does not have: it would wait for them for ever.
A request is a line of JSON, ``{"template": path, "inputs": {…}, "timestamp": seconds}``. The answer is a line,
``pdf <bytes>`` or ``failed <bytes>``, followed by the PDF or by Typst's message.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path

import typst

ROOT = Path(__file__).parent.parent
"""Templates import each other by paths from here, e.g. ``/pdf/style.typ``."""
FONTS = {"font_source_sans_pro": "files", "manimgx_fonts": ".", "manimgx_fonts_cjk": "."}
"""Packages with fonts, and the folder in each: Source Sans, and Noto for other scripts."""
REMEMBERED = 2_000_000
"""Typst keeps what it computed for its last documents, 60 bytes for each of a PDF. After so many bytes it is made to
forget, so that memory stays flat however many files a report has."""
DOCUMENTS = 11
"""What none of so many documents in a row used is forgotten."""


@cache
def fonts() -> typst.Fonts:
    folders = [Path(str(files(package))) / folder for package, folder in FONTS.items()]
    return typst.Fonts(include_system_fonts=False, font_paths=folders)


def compile_request(request: bytes) -> bytes:
    """The PDF of a request. Raises TypstError for a template or data that PDF/UA-1 does not allow."""
    asked = json.loads(request)
    compiler = typst.Compiler(Path(asked["template"]), root=ROOT, font_paths=fonts(), ignore_system_fonts=True)
    made = compiler.compile(sys_inputs=asked["inputs"], pdf_standards="ua-1", timestamp=asked["timestamp"])
    assert isinstance(made, bytes)
    return made


def main() -> None:
    since_forgotten = 0
    for request in sys.stdin.buffer:
        try:
            word, answer = "pdf", compile_request(request)
        except typst.TypstError as error:
            word, answer = "failed", error.diagnostic.encode()
        sys.stdout.buffer.write(f"{word} {len(answer)}\n".encode() + answer)
        sys.stdout.buffer.flush()
        since_forgotten += len(answer)
        if since_forgotten > REMEMBERED:
            since_forgotten = 0
            for _ in range(DOCUMENTS):
                typst.compile(b"", font_paths=fonts(), ignore_system_fonts=True)


if __name__ == "__main__":
    main()

"""What a file is written in, and the same file as UTF-8 that a CSV reader gets through.

A district's system writes UTF-8 with or without a byte order mark, UTF-16, or Windows-1252; and it breaks off in the
middle of a character, or leaves a quote open. Bytes that are no character become :data:`BROKEN`, so that the row can
be identified and kept out. A line whose quote is never closed is cut before the quote, and its row is named.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from rollover.storage import TEMPORARY

BROKEN = "\ufdd0"
"""Stands for bytes that are no character; Unicode promises that no text holds it."""
BLOCK_BYTES = 4 * 2**20
RECORD_LINES = 100
"""The most lines that one record is believed to have. A quote that stays open for longer was never closed."""
RECORD_BYTES = 2**20
"""Of a roster's row, at most. A longer line is damage."""
WIDTH_LINES = 100
"""How many lines are looked at to tell how many fields a record of the file has."""
UTF8_BOM = codecs.BOM_UTF8
_CHARACTERS = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_BEGUN_CHARACTER = re.compile(rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})\Z")
# Text up to the first quote that does not stand right before or behind a whole field of one line.
_PLAIN = re.compile(rb'(?:[^"]++|(?<![^,\r\n])"(?:[^"\r\n]|"")*+"(?![^,\r\n]))*+')
_FIELDS_BEFORE = re.compile(r'(?:(?:"(?:[^"]|"")*+"|[^",\r\n][^,\r\n]*+|),)*+')


def _replace(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return BROKEN, error.end


codecs.register_error("rollover.broken", _replace)


@dataclass
class Text:
    """A file as UTF-8 on the local disk, and what was found on the way."""

    path: Path
    skip_bytes: int = 0
    """The length of a byte order mark that is still there."""
    encoding: str = "utf-8"
    empty: bool = False
    broken_characters: bool = False
    nul: bool = False
    cr_only: bool = False
    last_line_ends: bool = True
    is_cut_off: bool = False
    """The file ends inside a row. Its reader finds that."""
    odd_quotes: bool = False
    """Some quote is not that of a whole field in one line: a line break within a value, or a mistake."""
    long_lines: bool = False
    line_breaks: bool = False
    """Some record goes over several lines."""
    unclosed: array[int] = field(default_factory=lambda: array("i"))
    """The rows (the file's first line is 1) whose quote is never closed; they end before it."""
    too_long: array[int] = field(default_factory=lambda: array("i"))
    """The rows that were emptied, since they are longer than any row of a roster."""
    unnamed: array[int] = field(default_factory=lambda: array("i"))
    """The rows that are kept out, and of which nobody can tell who they are about; not those that were emptied."""

    def open(self) -> IO[bytes]:
        stream = self.path.open("rb")
        stream.seek(self.skip_bytes)
        return stream


@contextmanager
def as_text(path: Path) -> Iterator[Text]:
    """The file at `path` as :class:`Text`; what has to be written again for that goes with the block."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}text-") as folder:
        text = Text(path, encoding=_encoding(path))
        if text.encoding == "utf-8":
            _scan(text)
            text.encoding = _told_apart(path) if text.broken_characters else "utf-8"
        if text.encoding != "utf-8" or text.broken_characters:
            text = _transcoded(text, Path(folder) / "utf-8.csv")
        if text.odd_quotes or text.long_lines:
            _write_closed(text, Path(folder) / "closed.csv")
        yield text


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(4096)
    if start.startswith(UTF8_BOM):
        return "utf-8"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # A text in Latin letters has a zero in every other byte.
    if len(start) >= 4 and start[1::2].count(0) > len(start) * 0.4:
        return "utf-16-le"
    if len(start) >= 4 and start[0::2].count(0) > len(start) * 0.4:
        return "utf-16-be"
    return "utf-8"


def _scan(text: Text) -> None:
    """Look at every byte once."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    text.empty = True
    line_feeds = carriage_returns = False
    begun = last = b""
    with text.path.open("rb") as stream:
        if stream.read(len(UTF8_BOM)) == UTF8_BOM:
            text.skip_bytes = len(UTF8_BOM)
        stream.seek(text.skip_bytes)
        while block := stream.read(BLOCK_BYTES):
            last = block[-1:]
            text.empty = text.empty and not block.strip()
            line_feeds = line_feeds or b"\n" in block
            carriage_returns = carriage_returns or b"\r" in block
            text.nul = text.nul or b"\0" in block
            text.broken_characters = text.broken_characters or not _decodes(decoder, block)
            begun = _scan_lines(text, begun, block)
    text.broken_characters = text.broken_characters or not _decodes(decoder, b"", final=True)
    text.odd_quotes = text.odd_quotes or not _is_plain(begun)
    text.cr_only = carriage_returns and not line_feeds
    text.last_line_ends = last in (b"", b"\r", b"\n")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def _scan_lines(text: Text, begun: bytes, block: bytes) -> bytes:
    """Look for odd quotes and long lines; returns the line that begins at the end of the block."""
    lines = begun + block if begun else block
    end = max(lines.rfind(b"\n"), lines.rfind(b"\r")) + 1
    if len(lines) - end > RECORD_BYTES or not _has_line_ends(lines[:end]):
        text.long_lines = True
        return b""
    text.odd_quotes = text.odd_quotes or not _is_plain(lines[:end])
    return lines[end:]


def _has_line_ends(lines: bytes) -> bool:
    """Whether no line is longer than a record may be."""
    start = 0
    while len(lines) - start > RECORD_BYTES:
        end = max(lines.rfind(b"\n", start, start + RECORD_BYTES), lines.rfind(b"\r", start, start + RECORD_BYTES))
        if end < start:
            return False
        start = end + 1
    return True


def _is_plain(lines: bytes) -> bool:
    if b'"' not in lines:
        return True
    plain = _PLAIN.match(lines)
    return plain is not None and plain.end() == len(lines)


def _told_apart(path: Path) -> str:
    """UTF-8 with mistakes, or Windows-1252: whichever explains more of the bytes beyond ASCII."""
    fitting = not_fitting = 0
    begun = b""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            block = begun + block
            cut = _BEGUN_CHARACTER.search(block, max(0, len(block) - 3))
            begun = cut.group() if cut else b""
            block = block.removesuffix(begun)
            characters = _CHARACTERS.findall(block)
            fitting += len(characters)
            not_fitting += len(_HIGH.findall(block)) - sum(map(len, characters))
    # A character that the end of the file cuts off tells nothing.
    return "utf-8" if fitting >= not_fitting else "cp1252"


def _transcoded(text: Text, target: Path) -> Text:
    with (
        text.open() as source,
        io.TextIOWrapper(source, encoding=text.encoding, errors="rollover.broken", newline="") as decoded,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        while block := decoded.read(BLOCK_BYTES):
            out.write(block.replace("\ufeff", ""))
    written = Text(target)
    _scan(written)
    written.encoding = text.encoding
    written.broken_characters = _holds(target, BROKEN)
    return written


def _holds(path: Path, character: str) -> bool:
    wanted, carried = character.encode(), b""
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            if wanted in carried + block:
                return True
            carried = block[-len(wanted) :]
    return False


class _Line(NamedTuple):
    text: str
    is_whole: bool = True
    """False for the beginning of one that is longer than a record may be."""

    @property
    def ending(self) -> str:
        return self.text[len(self.text.rstrip("\r\n")) :] or "\n"


class _Lines:
    """Lines of a text, of which some can be given back."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self._back: list[_Line] = []

    def next(self) -> _Line:
        """The next line; at the end one without text."""
        if self._back:
            return self._back.pop()
        line = self._source.readline(RECORD_BYTES)
        if len(line) < RECORD_BYTES or line.endswith(("\r", "\n")):
            return _Line(line)
        while (rest := self._source.readline(RECORD_BYTES)) and not rest.endswith(("\r", "\n")):
            pass
        return _Line(line, is_whole=False)

    def give_back(self, lines: list[_Line]) -> None:
        self._back.extend(reversed(lines))


def _write_closed(text: Text, target: Path) -> None:
    """Write the file again without what stands behind a quote that is never closed, and without lines that never end.

    `text` is then the file at `target`.
    """
    widths = _usual_widths(text)
    row = 0
    with (
        io.TextIOWrapper(text.open(), encoding="utf-8", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as out,
    ):
        lines = _Lines(source)
        while (line := lines.next()).text:
            row += 1
            if not line.is_whole:
                text.too_long.append(row)
                out.write("\n")
            elif '"' not in line.text or _fields(line.text) is not None:
                out.write(line.text)
            elif (record := _record(line, lines, widths)) is not None:
                text.line_breaks = True
                out.write(record)
            else:
                text.unclosed.append(row)
                out.write(_before_quote(line.text) + line.ending)
    text.path, text.skip_bytes = target, 0


def _usual_widths(text: Text) -> frozenset[int]:
    """How many fields records have: as many as the header, or as most of the lines that begin the file."""
    counts: list[int] = []
    is_open = False
    with io.TextIOWrapper(text.open(), encoding="utf-8", newline="") as source:
        lines = _Lines(source)
        while len(counts) < WIDTH_LINES and (line := lines.next()).text:
            if is_open:
                is_open = line.text.count('"') % 2 == 0
                continue
            fields = _fields(line.text)
            is_open = fields is None and line.is_whole
            if fields:
                counts.append(fields)
    most = Counter(counts).most_common(1)
    return frozenset({*counts[:1], *(width for width, _ in most)})


def _record(line: _Line, lines: _Lines, widths: frozenset[int]) -> str | None:
    """The record that begins with `line`, whose quote is open, and goes on in the following ones.

    None, with these given back, where the quote is never closed; and where it would be by a line that is a record of
    its own.
    """
    taken: list[_Line] = []
    record = line.text
    while len(taken) < RECORD_LINES and len(record) < RECORD_BYTES and (following := lines.next()).text:
        taken.append(following)
        if not following.is_whole or _fields(following.text) in widths:
            break
        record += following.text
        if following.text.count('"') % 2 == 0:
            continue
        try:
            fields = _fields(record, strict=True)
        except csv.Error:
            break
        if fields is not None and widths and fields not in widths:
            break
        if fields is not None:
            return record
    lines.give_back(taken)
    return None


def _before_quote(line: str) -> str:
    """The fields before the one whose quote is open."""
    fields = _FIELDS_BEFORE.match(line)
    return fields.group() if fields else ""


def _fields(record: str, *, strict: bool = False) -> int | None:
    """How many fields a record has; None while a quote in it is open.

    `strict` raises csv.Error for a quote that stands in the middle of a quoted value.
    """
    reader = csv.reader(iter((record, "")), strict=strict)
    try:
        fields = next(reader, [])
    except csv.Error as error:
        if strict and "unexpected end" not in str(error):
            raise
        return None
    return len(fields) if reader.line_num == 1 else None

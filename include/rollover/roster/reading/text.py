"""Looks at every byte of a fetched file once, and makes it UTF-8 that Arrow can read, if it is not.

A district's system writes UTF-8 with or without a byte order mark, UTF-16, or Windows-1252; and it breaks off in the
middle of a character, or leaves a quote open. Bytes that are no character become :data:`BROKEN`, so that the row can
be identified and rejected. A line whose quote is never closed is cut before the quote, and its row is named. What a
record is, :mod:`rollover.roster.reading.lexer` says. A file that needs nothing of that is read as it is stored; another
one is written again to the local disk.
"""

from __future__ import annotations

import codecs
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rollover.roster.reading.lexer import LINE, LINE_END, RECORD_CHARACTERS, Lexer, Record, Records, encoding_of
from rollover.storage import TEMPORARY

BROKEN = "\ufdd0"
"""Stands for bytes that are no character; Unicode promises that no text holds it."""
BLOCK_BYTES = 4 * 2**20
HEAD_BYTES = 2**16
"""What is looked at to tell how many fields a record of the file has."""
COMMAS = Lexer(",")
codecs.register_error("rollover.broken", lambda error: (BROKEN, error.end))  # type: ignore[attr-defined]


@dataclass
class Text:
    """A file as UTF-8 on the local disk, and what was found on the way."""

    path: Path
    skip_bytes: int = 0
    """The length of a byte order mark that is still there."""
    encoding: str = "utf-8"
    """What the file that was sent is written in."""
    broken_characters: bool = False
    nul: bool = False
    cr_only: bool = False
    last_line_ends: bool = True
    is_cut_off: bool = False
    """The file ends inside a row. Its reader finds that."""
    line_breaks: bool = False
    """Some record goes over several lines."""
    unclosed: array[int] = field(default_factory=lambda: array("i"))
    """The rows (the file's first line is 1) whose quote is never closed; they end before it."""
    too_long: array[int] = field(default_factory=lambda: array("i"))
    """The rows that were emptied, since they are longer than any row of a roster."""
    unnamed: array[int] = field(default_factory=lambda: array("i"))
    """The rejected rows that cannot be identified; not those that were emptied."""

    def open(self) -> IO[bytes]:
        stream = self.path.open("rb")
        stream.seek(self.skip_bytes)
        return stream


@contextmanager
def as_text(path: Path) -> Iterator[Text]:
    """The file at `path` as :class:`Text`; what has to be written again for that goes with the block."""
    with path.open("rb") as stream:
        encoding, mark = encoding_of(stream.read(HEAD_BYTES))
    if encoding == "utf-32":  # refused when it was fetched
        encoding, mark = "utf-8", 0
    given = Text(path, mark, encoding)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}text-") as folder:
        yield _as_it_is(given) or _written(given, Path(folder) / "utf-8.csv")


def _as_it_is(given: Text) -> Text | None:
    """Look at every byte of a file; None if it has to be written again."""
    if given.encoding != "utf-8":
        return None
    seen = Text(given.path, given.skip_bytes)
    try:
        closed = _Closed(seen, _widths(given), is_written=False)
        for piece, final in _pieces(given, "strict"):
            closed.take(piece, final=final)
    except UnicodeDecodeError:
        given.encoding, given.broken_characters = _encoding_with_mistakes(given), True
        return None
    return None if seen.unclosed or seen.too_long else seen


def _written(given: Text, target: Path) -> Text:
    """The file written again as UTF-8, without what stands behind a quote that is never closed, and without lines that
    never end."""
    written = Text(target, encoding=given.encoding)
    is_transcoded = given.encoding != "utf-8" or given.broken_characters
    closed = _Closed(written, _widths(given))
    with target.open("w", encoding="utf-8", newline="") as out:
        for piece, final in _pieces(given, "rollover.broken"):
            if is_transcoded:
                written.broken_characters = written.broken_characters or BROKEN in piece
                piece = piece.replace("\ufeff", "")
            out.write(closed.take(piece, final=final))
    return written


def _pieces(given: Text, errors: str) -> Iterator[tuple[str, bool]]:
    """A file's characters, and whether they are the last."""
    decoder = codecs.getincrementaldecoder(given.encoding)(errors)
    with given.open() as stream:
        while block := stream.read(BLOCK_BYTES):
            yield decoder.decode(block), False
    yield decoder.decode(b"", final=True), True


def _encoding_with_mistakes(given: Text) -> str:
    """UTF-8 with mistakes, or Windows-1252: whichever explains more of the characters beyond ASCII.

    A character that the end of the file cuts off tells nothing.
    """
    fitting = mistakes = 0
    for piece, final in _pieces(given, "rollover.broken"):
        if not (final or piece.isascii()):
            broken = piece.count(BROKEN)
            mistakes += broken
            fitting += len(piece) - len(piece.encode("ascii", "ignore")) - broken
    return "utf-8" if fitting >= mistakes else "cp1252"


def _widths(given: Text) -> frozenset[int]:
    """How many fields records have: as many as the header, or as most of the first rows."""
    with given.open() as stream:
        head = codecs.getincrementaldecoder(given.encoding)("replace").decode(stream.read(HEAD_BYTES))
    counts = COMMAS.widths(head)
    return frozenset({*counts[:1], *(width for width, _ in Counter(counts).most_common(1))})


class _Closed(Records):
    """The records of a file as Arrow gets through them; what is found on the way is noted in `text`."""

    def __init__(self, text: Text, widths: frozenset[int], *, is_written: bool = True) -> None:
        super().__init__(COMMAS)
        self._text = text
        self._is_written = is_written
        self._widths = widths
        self._fewest = min(widths, default=1) - 1
        """So many commas a line has at least that is a record of its own."""
        self._line_feeds = self._carriage_returns = False
        self._is_in_endless = False

    def take(self, piece: str, *, final: bool) -> str:
        text = self._text
        self._line_feeds = self._line_feeds or "\n" in piece
        self._carriage_returns = self._carriage_returns or "\r" in piece
        text.cr_only = self._carriage_returns and not self._line_feeds
        text.nul = text.nul or "\0" in piece
        text.last_line_ends = piece.endswith(("\r", "\n")) if piece else text.last_line_ends
        return super().take(piece, final=final)

    def take_usual(self, text: str, start: int, ready: int, out: list[str]) -> int:
        """Take the lines up to the first that is too long, or that has a quote which may not be closed in it."""
        if self._is_in_endless:
            return self._pass_over(text, start, ready)
        if not self._is_written and (self._text.unclosed or self._text.too_long):
            return ready  # It has to be written again.
        end = self.lexer.plain_until(text, start, ready)
        end = _up_to_long_line(text, start, max(text.rfind("\n", start, end), text.rfind("\r", start, end)) + 1)
        if end > start and self._is_written:
            out.append(text[start:end])
            self.row += text.count("\n", start, end) + text.count("\r", start, end) - text.count("\r\n", start, end)
        return max(end, start)

    def take_record(self, text: str, record: Record) -> str:
        if not record.is_open:
            self._text.line_breaks = self._text.line_breaks or record.stop > record.line_stop
            return text[record.start : record.end]
        self._text.unclosed.append(self.row + 1)
        before = "".join(f"{value}," for value in record.values[: record.sound])
        return before + (text[record.stop : record.end] or "\n")

    def is_one(self, text: str, record: Record) -> bool:
        """Whether it has as many fields as others, and none of its lines is a record of its own."""
        if not super().is_one(text, record) or (self._widths and len(record.values) not in self._widths):
            return False
        if text.count(",", record.line_stop, record.stop) < self._fewest:
            return True
        lines = LINE.findall(text, record.line_stop, record.stop)
        others = (self.lexer.record(line, 0, len(line)) for line in lines if line.count(",") >= self._fewest)
        return not any(len(other.values) in self._widths and not other.is_open for other in others)

    def take_endless(self, text: str, start: int, ready: int, out: list[str]) -> int:
        self.row += 1
        self._text.too_long.append(self.row)
        out.append("\n")
        self._is_in_endless = True
        return self._pass_over(text, start, ready)

    def _pass_over(self, text: str, start: int, ready: int) -> int:
        """Pass over the rest of a line that is too long."""
        line_end = LINE_END.search(text, start, ready)
        self._is_in_endless = line_end is None
        return line_end.end() if line_end else ready


def _up_to_long_line(text: str, start: int, end: int) -> int:
    """Where the first line that is longer than a record may be begins; `end` if there is none."""
    while end - start > RECORD_CHARACTERS:
        behind = start + RECORD_CHARACTERS
        line_end = max(text.rfind("\n", start, behind), text.rfind("\r", start, behind))
        if line_end < start:
            return start
        start = line_end + 1
    return end

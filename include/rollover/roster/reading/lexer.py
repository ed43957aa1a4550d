"""Takes a CSV file apart: what its encoding, line ends, fields, quotes and records are.

The one definition, used twice: by the filter that empties password columns while a file is fetched
(:mod:`rollover.roster.reading.passwords`), and by the reader of the file in storage
(:mod:`rollover.roster.reading.text`). Records are those of RFC 4180, with the leniency of Python's csv module: a quote
opens a value at its beginning only, and behind the quote that closes it further characters are plain ones. Arrow reads
what is well-formed; here is what it cannot do: separate the records of a text that comes in pieces, name the row whose
quote is never closed, and go on with the next line.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

SAMPLE_BYTES = 4096
RECORD_CHARACTERS = 2**18
"""Of a roster's row, at most. In a longer record a quote was never closed; a longer line is damage."""
RECORD_LINES = 100
"""How many lines a record may go on for. A quote that stays open for longer was never closed."""
ROWS_LOOKED_AT = 100
"""How many rows tell how many fields a row of the file has."""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
QUOTED = '"[^"]*+(?:""[^"]*+)*+'
"""A pattern for a quoted value up to the quote that closes it."""
LINE_END = re.compile(r"\r\n|\r|\n")
LINE = re.compile(r"[^\r\n]+")


def encoding_of(start: bytes) -> tuple[str, int]:
    """Guess a file's encoding from its first bytes; returns it with the length of the byte order mark.

    ``utf-8`` stands for every encoding in which separators, quotes and line ends are single bytes: Windows-1252 too.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return encoding, len(mark)
    sample = start[:SAMPLE_BYTES]
    if len(sample) > 7 and sum(sample[n::4].count(0) > len(sample) * 0.2 for n in range(4)) == 3:
        return "utf-32", 0
    # A text in Latin letters has a zero in every other byte.
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) >= 4 and sample[first::2].count(0) > len(sample) * 0.4:
            return encoding, 0
    return "utf-8", 0


def well_formed_value(separator: str) -> str:
    """A pattern for a value that is quoted as RFC 4180 has it, or holds a quote in its middle at most."""
    end = rf"{re.escape(separator)}\r\n"
    return rf'(?>[^"{end}][^{end}]*+|{QUOTED}"(?![^{end}])|)'


class EndlessLine(Exception):
    """A line that is longer than any record. `row` counts records; the file's first one is 1."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class Record(NamedTuple):
    """One record of a text. ``text[start:stop]`` is the record, ``text[stop:end]`` its line end."""

    start: int
    values: list[str]
    """The fields as they are written, quotes included."""
    line_stop: int
    """Where the first line of the record ends: at `stop`, unless a value has line breaks."""
    stop: int
    end: int
    sound: int
    """How many fields come before the first one whose quote is never closed or stands in the middle."""
    is_open: bool
    """The text ends within a quoted value."""

    @property
    def ended(self) -> bool:
        return self.end > self.stop

    @property
    def is_sound(self) -> bool:
        return self.sound == len(self.values)


class Lexer:
    """Takes texts with one kind of separator apart."""

    def __init__(self, separator: str = ",") -> None:
        self.separator = separator
        mark = re.escape(separator)
        edge = rf"[^{mark}\r\n]"
        sound = well_formed_value(separator)
        self._sound_value = re.compile(sound)
        self._sound_record = re.compile(rf"{sound}(?:{mark}{sound})*+(?!{edge}|{mark})")
        value = rf'(?>{QUOTED}(?:"{edge}*+)?|{edge}*+)'
        self._values = re.compile(rf"(?:\A|{mark})({value})")
        # Its group takes part if the last value's quote is not closed.
        self._any_record = re.compile(rf"(?:{value}{mark})*+(?:{QUOTED}(\Z)|{value})")
        self._plain = re.compile(rf'(?:[^"]++|(?<!{edge})"[^"\r\n]*+(?:""[^"\r\n]*+)*+"(?!{edge})|(?<={edge})")*+')

    def record(self, text: str, start: int, end: int) -> Record:
        """The record at `start`, as far as it goes before `end`."""
        line = line_end(text, start, end)
        return self.sound_record(text, start, line, end) or self.broken_record(text, start, line, end)

    def sound_record(self, text: str, start: int, line: tuple[int, int], end: int) -> Record | None:
        """The record at `start` if all its quotes are sound, else None. `line` is :func:`line_end` of `start`."""
        stop, behind = line
        if text.find('"', start, stop) < 0:
            values = text[start:stop].split(self.separator)
            return Record(start, values, stop, stop, behind, len(values), False)
        found = self._sound_record.match(text, start, end)
        if found is None:
            return None
        if found.end() > stop:
            stop, behind = line_end(text, found.end(), end)
        values = self._values.findall(found[0])
        return Record(start, values, line[0], stop, behind, len(values), False)

    def broken_record(self, text: str, start: int, line: tuple[int, int], end: int) -> Record:
        """The record at `start`, of which some quote is not sound."""
        found = self._any_record.match(text, start, end)
        assert found is not None
        stop, behind = line_end(text, found.end(), end) if found.end() > line[0] else line
        values = self._values.findall(found[0])
        sound = 0
        while self._sound_value.fullmatch(values[sound]):
            sound += 1
        return Record(start, values, line[0], stop, behind, sound, found[1] is not None)

    def goes_on(self, text: str, start: int, end: int) -> bool:
        """Whether the record at `start` does not end before `end`."""
        found = self._any_record.match(text, start, end)
        return found is not None and found.end() == end

    def widths(self, text: str, start: int = 0) -> list[int]:
        """How many fields each of the next rows has; blank and broken ones are passed over."""
        counts: list[int] = []
        while start < len(text) and len(counts) < ROWS_LOOKED_AT:
            record = self.record(text, start, len(text))
            line = LINE_END.search(text, start)
            if line is None or (record.is_sound and not record.ended):
                break
            if record.is_sound and record.stop > start:
                counts.append(len(record.values))
            start = record.end if record.is_sound else line.end()
        return counts

    def plain_until(self, text: str, start: int, end: int) -> int:
        """How far every quote is that of a whole field in one line, or in the middle of an unquoted one."""
        if text.find('"', start, end) < 0:
            return end
        found = self._plain.match(text, start, end)
        assert found is not None
        return found.end()


class Records:
    """Takes a text that comes in pieces record by record. The result is the same whatever the pieces are.

    A record whose quote is never closed ends with its line, and the next line is a record of its own. Memory holds a
    piece and a record. A subclass says what becomes of each record.
    """

    def __init__(self, lexer: Lexer) -> None:
        self.lexer = lexer
        self.row = 0
        """How many records were taken."""
        self._rest = ""

    def take(self, piece: str, *, final: bool) -> str:
        """Take the next piece; returns the text that can be passed on by now. The last piece is `final`."""
        text = self._rest + piece
        # A line feed may follow.
        ready = len(text) - 1 if text.endswith("\r") and not final else len(text)
        out: list[str] = []
        place = 0
        while place < ready:
            end: int | None = self.take_usual(text, place, ready, out)
            if end == place:
                end = self._take_next(text, place, ready, out, final=final)
            if end is None:
                break
            place = end
        self._rest = text[place:]
        return "".join(out)

    def take_usual(self, text: str, start: int, ready: int, out: list[str]) -> int:
        """Take the records that are like most; returns where the next one begins."""
        raise NotImplementedError

    def take_record(self, text: str, record: Record) -> str:
        """What becomes of any other record."""
        raise NotImplementedError

    def take_endless(self, text: str, start: int, ready: int, out: list[str]) -> int:
        """Take a line that is longer than any record; returns where the next one begins."""
        raise EndlessLine(self.row + 1)

    def is_one(self, text: str, record: Record) -> bool:
        """Whether sound quotes over several lines make one record."""
        return len(LINE_END.findall(text, record.line_stop, record.stop)) <= RECORD_LINES

    def _take_next(self, text: str, start: int, ready: int, out: list[str], *, final: bool) -> int | None:
        """Take one record; returns where the next one begins, None if more must come."""
        most = min(ready, start + RECORD_CHARACTERS)
        is_full, is_last = most - start == RECORD_CHARACTERS, final and most == len(text)
        most += text.startswith("\r\n", most - 1)
        line = line_end(text, start, most)
        if line[0] == most and not is_last:
            return self.take_endless(text, start, ready, out) if is_full else None
        record = self.lexer.sound_record(text, start, line, most)
        if record and not (record.ended or is_last):
            record = None
        if record is None and not (is_full or is_last) and self.lexer.goes_on(text, start, most):
            return None
        if record is None or (record.stop > line[0] and not self.is_one(text, record)):
            record = self.lexer.broken_record(text, start, line, line[0])
        out.append(self.take_record(text, record))
        self.row += 1
        return record.end


def line_end(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the line at `start` ends, without and with its line end."""
    found = LINE_END.search(text, start, end)
    return found.span() if found else (end, end)

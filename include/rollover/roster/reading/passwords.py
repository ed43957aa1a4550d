"""Empties the password columns of a CSV file on its way to storage, before any of it is written there.

Districts send passwords in plain text. All else stays byte for byte, and a file without such a column goes through
untouched: what is in storage is the file as it was sent, and its encoding, line ends, quoting and ragged rows are
judged when it is read. Memory is bounded whatever the file holds.

Where a row is so broken that its fields cannot be identified (too many or too few of them, a quote that is not
closed or stands in the middle), every field that may be the password is starred out: its characters become ``*``,
while quotes, separators and line ends stay, so that the row is as broken as it was sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from rollover.roster.findings import Unusable
from rollover.roster.reading import lexer
from rollover.roster.reading.lexer import LINE, LINE_END, EndlessLine, Lexer, Record, Records, encoding_of

HEADER_BYTES = 2**16
"""What is looked at to find the header. The widest known header has 2,000 bytes."""
HEADER_WITHIN = 10
"""Records: a title or blank lines may stand above the header."""
MOST_FIELDS = 500
"""Up to here one pattern takes a whole row; a wider row is taken field by field."""
SEPARATORS = ",;\t|"
NAMES = frozenset({"pass", "pin", "loginpin", "studentpin"})
"""Column names, of which only letters count; and every name that contains or ends with one of these."""
CONTAINED = ("password", "passwd", "passcode", "passphrase")
ENDS = ("pwd", "pw")
BESIDE = frozenset(
    {"id", "username", "email", "sourcedid", "userid", "studentid", "teacherid", "staffid", "firstname", "givenname"}
)
"""Column names, one of which stands beside a password column in every file that has one."""


def is_password(column: str) -> bool:
    """Whether a column of this name holds passwords."""
    letters = _letters(column)
    return letters in NAMES or letters.endswith(ENDS) or any(word in letters for word in CONTAINED)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


class WithoutPasswords:
    """Passes a file on to `target`, block by block, with the values of its password columns emptied.

    :meth:`finish` must be called after the last block. Both raise Unusable for a file that is so broken that its
    passwords cannot be distinguished from the rest; what has reached the target until then holds none.
    """

    def __init__(self, name: str, target: IO[bytes]) -> None:
        self._name = name
        self._target = target
        self._head: bytearray | None = bytearray()
        self._rows: _Rows | None = None
        self._codec = _Codec("utf-8")

    def write(self, block: bytes) -> None:
        self._take(block, final=False)

    def finish(self) -> None:
        self._take(b"", final=True)

    def _take(self, block: bytes, *, final: bool) -> None:
        mark = b""
        try:
            if self._head is not None:
                self._head += block
                if len(self._head) < HEADER_BYTES and not final:
                    return
                mark, block = self._begin(bytes(self._head), final=final)
                self._head = None
            if self._rows is not None:
                text = self._rows.take(self._codec.decode(block), final=final)
                block = self._codec.encode(text) + (b"*" if final and self._codec.odd_byte else b"")
        except EndlessLine as problem:
            message = "A line of the file does not end. It is no CSV file, or was damaged on the way. Export it again."
            raise Unusable("not_csv", message, file=self._name, row=problem.row) from None
        self._target.write(mark + block)

    def _begin(self, head: bytes, *, final: bool) -> tuple[bytes, bytes]:
        """Judge the header; returns the byte order mark and what is behind it."""
        encoding, mark = encoding_of(head)
        if encoding == "utf-32":
            raise Unusable("encoding_unknown", "The file is written in UTF-32. Save it as UTF-8.", file=self._name)
        layout = find_layout(_Codec(encoding).decode(head[mark:HEADER_BYTES]), final=final)
        if layout is not None:
            self._rows, self._codec = _Rows(layout), _Codec(encoding)
        return head[:mark], head[mark:]


class _Codec:
    """Decodes bytes and encodes them back to the same bytes, whatever they are. An odd last byte of UTF-16 waits for
    the next."""

    def __init__(self, encoding: str) -> None:
        self._width = 2 if encoding.startswith("utf-16") else 1
        self._how = (encoding, "surrogatepass") if self._width == 2 else ("latin-1", "strict")
        self.odd_byte = b""

    def decode(self, block: bytes) -> str:
        block = self.odd_byte + block
        whole = len(block) - len(block) % self._width
        self.odd_byte = block[whole:]
        return block[:whole].decode(*self._how)

    def encode(self, text: str) -> bytes:
        return text.encode(*self._how)


@dataclass(frozen=True)
class Layout:
    """How the rows of a file with passwords are made."""

    separator: str
    places: tuple[int, ...]
    """Of the password columns."""
    named: int
    """How many fields the header has up to its last name."""
    width: int
    """How many fields the header has."""
    usual: int
    """How many fields most rows have: more than the header if blank ones follow."""
    header_rows: int
    """Records up to the header, itself included: they hold no password."""

    def fits(self, values: Sequence[str]) -> bool:
        """Whether each value is in the column of its name for sure."""
        if len(values) != self.usual and not self.named <= len(values) <= self.width:
            return False
        return all(value in ("", '""') for value in values[self.width :])

    def doubtful(self, values: Sequence[str]) -> set[int]:
        """The places where a password may be in a row that does not fit. Some may lie outside of the row."""
        first, last = min(0, len(values) - self.width), max(0, len(values) - self.named)
        return {column + moved for column in self.places for moved in range(first, last + 1)}


def find_layout(text: str, *, final: bool) -> Layout | None:
    """The layout of a file that begins with `text`; None for a file without passwords.

    `final` says that there is no more than `text`. Raises EndlessLine if the first line does not end in it.
    """
    place, above = 0, False
    for number in range(1, HEADER_WITHIN + 1):
        if place >= len(text):
            break
        found = LINE_END.search(text, place)
        stop, end = found.span() if found else (len(text), len(text))
        if found is None and not final:
            if not above:
                raise EndlessLine(number)
            break
        cut, cells = _cells(text, place, stop)
        places = tuple(n for n, name in enumerate(cells) if is_password(name))
        if places and (not above or _is_header(cells)):
            named = max(n + 1 for n, name in enumerate(cells) if name)
            ((usual, _),) = Counter(cut.widths(text, end)).most_common(1) or [(0, 0)]
            return Layout(cut.separator, places, named, len(cells), max(usual, len(cells)), number)
        above = above or any(cells)
        place = end
    return None


def _cells(text: str, start: int, stop: int) -> tuple[Lexer, list[str]]:
    """The values of a line above the rows, and the lexer for its separator.

    No header has a line break or a quote in a value: if one seems to, a quote is missing.
    """
    cut = Lexer(max(SEPARATORS, key=text[start:stop].count))
    record = cut.record(text, start, stop)
    values = record.values if record.is_sound else text[start:stop].split(cut.separator)
    return cut, [value.strip(' "') for value in values]


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a record below the first one is a header: it names a password column and what is beside one."""
    letters = {_letters(cell) for cell in cells}
    return bool(letters & (NAMES | {"password"})) and bool(letters & BESIDE)


class _Rows(Records):
    """The records of a file with passwords: emptied of them."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(Lexer(layout.separator))
        self._layout = layout
        self._usual = _usual_row(layout)
        self._value = re.compile(rf'[^"\r\n{re.escape(layout.separator)}]+')

    def take_usual(self, text: str, start: int, ready: int, out: list[str]) -> int:
        place, longest = start, lexer.RECORD_CHARACTERS
        while self.row < self._layout.header_rows:
            line = LINE_END.search(text, place, min(ready, place + longest))
            if line is None:
                return place
            out.append(text[place : line.end()])
            place = line.end()
            self.row += 1
        if self._usual is not None:
            while (found := self._usual.match(text, place, ready)) and found.end() - place <= longest:
                out += found.groups()
                place = found.end()
                self.row += 1
        return place

    def take_record(self, text: str, record: Record) -> str:
        if self.row < self._layout.header_rows or record.start == record.stop:
            return text[record.start : record.end]
        values, is_sound = record.values, record.is_sound
        if is_sound and self._layout.fits(values):
            for place in self._layout.places:
                if place < len(values):
                    values[place] = ""
            # A line that held nothing but a password must not become one that holds nothing: readers pass it over.
            return (self.lexer.separator.join(values) or '""') + text[record.stop : record.end]
        places = self._layout.doubtful(values) if is_sound else ()
        row = self._starred(values, places)
        if '"' in row:
            row = LINE.sub(lambda line: self._starred_line(line[0]), row)
        return row + text[record.stop : record.end]

    def _starred_line(self, line: str) -> str:
        """A line in which everything is starred out that may be a password if the line is a record of its own."""
        record = self.lexer.record(line, 0, len(line))
        if not record.is_open and self._layout.fits(record.values):
            return self._starred(record.values, self._layout.places)
        values = self._starred(record.values, self._layout.doubtful(record.values)).split(self.lexer.separator)
        return self._starred(values, self._layout.doubtful(values))

    def _starred(self, values: list[str], places: Iterable[int]) -> str:
        """A record with the values at `places` starred out. It can be taken apart as before."""
        for place in places:
            if 0 <= place < len(values):
                values[place] = self._value.sub("*", values[place])
        return self.lexer.separator.join(values)


def _usual_row(layout: Layout) -> re.Pattern[str] | None:
    """A pattern for a typical row: well quoted, of the usual width. Its groups are the text that is kept."""
    if not 1 < layout.usual <= MOST_FIELDS:
        return None
    separator, value = re.escape(layout.separator), lexer.well_formed_value(layout.separator)
    pattern = "("
    for place in range(layout.usual):
        pattern += separator if place else ""
        if place in layout.places:
            pattern += f"){value}("
        else:
            pattern += value if place < layout.width else '(?:"")?'
    return re.compile(pattern + r"(?:\r\n|\r|\n))")

"""Takes the passwords out of a CSV file as it goes by, before any of it reaches storage.

Districts send them in plain text. The encoding, line ends, quoting and ragged rows of a file are judged later, so all
else stays byte for byte, and a file without such a column goes through untouched. Memory is bounded whatever the file
holds.

Where a row is so broken that its fields cannot be distinguished for sure (too many or too few of them, a quote that is
not closed or stands in the middle), every field that may be the password is starred out: its characters become ``*``,
while quotes, separators and line ends stay, so that the row is as broken as it was sent.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from rollover.roster.intake.unpack import Unusable

HEADER_BYTES = 2**16
"""What is looked at to find the header. The widest known header has 2,000 bytes."""
HEADER_WITHIN = 10
"""Records: a title or blank lines may stand above the header."""
ROWS_LOOKED_AT = 100
"""How many rows tell whether rows go on behind the header."""
RECORD_CHARACTERS = 2**18
"""A record that is longer has a quote that was never closed; a line that is longer is of no roster."""
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

Pattern = re.Pattern[str]
Spans = tuple[tuple[int, int], ...]
_LINE_END = re.compile(r"\r\n|\r|\n")


def is_password(column: str) -> bool:
    """Whether a column of this name holds passwords."""
    letters = _letters(column)
    return letters in NAMES or letters.endswith(ENDS) or any(word in letters for word in CONTAINED)


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
        self._codec = _Codec("latin-1")

    def write(self, block: bytes) -> None:
        if self._head is None:
            self._pass_on(block)
            return
        self._head += block
        if len(self._head) >= HEADER_BYTES:
            self._begin(final=False)

    def finish(self) -> None:
        if self._head is not None:
            self._begin(final=True)
        if self._rows is not None:
            text = self._guarded(lambda rows: rows.take("", final=True))
            self._target.write(self._codec.encode(text) + self._codec.odd_byte)

    def _begin(self, *, final: bool) -> None:
        """Judge the header, and pass on what has gathered."""
        assert self._head is not None
        head, self._head = bytes(self._head), None
        encoding, mark = _encoding(head, self._name)
        start = _Codec(encoding).decode(head[mark:HEADER_BYTES])
        try:
            layout = find_layout(start, final=final)
        except _TooLong as problem:
            raise self._unusable(problem.row) from None
        if layout is None:
            self._target.write(head)
            return
        self._rows, self._codec = _Rows(layout), _Codec(encoding)
        self._target.write(head[:mark])
        self._pass_on(head[mark:])

    def _pass_on(self, block: bytes) -> None:
        if self._rows is None:
            self._target.write(block)
            return
        taken = self._codec.decode(block)
        self._target.write(self._codec.encode(self._guarded(lambda rows: rows.take(taken, final=False))))

    def _guarded(self, act: Callable[[_Rows], str]) -> str:
        assert self._rows is not None
        try:
            return act(self._rows)
        except _TooLong as problem:
            raise self._unusable(problem.row) from None

    def _unusable(self, row: int) -> Unusable:
        message = "A line of the file does not end. It is no CSV file, or was damaged on the way. Export it again."
        return Unusable("not_csv", message, file=self._name, row=row)


class _TooLong(Exception):
    """A line that does not end. `row` counts records, the header is 1."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class _Codec:
    """Bytes as characters and back, the same bytes whatever they are. An odd last byte of UTF-16 waits."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._errors = "surrogatepass" if encoding.startswith("utf-16") else "strict"
        self._width = 2 if encoding.startswith("utf-16") else 1
        self.odd_byte = b""

    def decode(self, block: bytes) -> str:
        block = self.odd_byte + block
        whole = len(block) - len(block) % self._width
        self.odd_byte = block[whole:]
        return block[:whole].decode(self._encoding, self._errors)

    def encode(self, text: str) -> bytes:
        return text.encode(self._encoding, self._errors)


def _encoding(head: bytes, name: str) -> tuple[str, int]:
    """The encoding as far as it matters here, and the length of the byte order mark.

    Latin-1 stands for every encoding in which commas, quotes and line ends are single bytes: UTF-8, Windows-1252.
    """
    sample = head[:4096]
    zeros = [sample[n::4].count(0) for n in range(4)]
    most = len(sample) * 0.2  # of a quarter
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) or (
        len(sample) > 7 and sum(n > most for n in zeros) == 3
    ):
        raise Unusable("encoding_unknown", "The file is written in UTF-32. Save it as UTF-8.", file=name)
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le", 2
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be", 2
    if head.startswith(codecs.BOM_UTF8):
        return "latin-1", 3
    # A text in Latin letters has a zero in every other byte.
    if len(sample) >= 4 and sample[1::2].count(0) > len(sample) * 0.4:
        return "utf-16-le", 0
    if len(sample) >= 4 and sample[0::2].count(0) > len(sample) * 0.4:
        return "utf-16-be", 0
    return "latin-1", 0


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
    """How many fields most rows have: more than the header where blank ones follow."""
    header_rows: int
    """Records up to the header, itself included: they hold no password."""


class _Record(NamedTuple):
    """A record as RFC 4180 has it, with the leniency of Python's csv module."""

    fields: Spans
    line_end: int
    """Where its line end begins."""
    end: int
    """Behind its line end."""
    clean: bool
    """Every quote is closed, and none stands in the middle of a quoted value."""
    is_open: bool
    """The text ends within a quoted value."""

    @property
    def ended(self) -> bool:
        return self.end > self.line_end


@dataclass
class _Parser:
    """Takes a text apart into records and fields."""

    separator: str
    _field: Pattern = field(init=False)

    def __post_init__(self) -> None:
        rest = rf"[^{re.escape(self.separator)}\r\n]*+"
        self._field = re.compile(rf'"(?:[^"]|"")*+("?)({rest})|{rest}')

    def record(self, text: str, start: int, end: int) -> _Record:
        """The record at `start`, as far as it goes before `end`."""
        fields: list[tuple[int, int]] = []
        place, clean = start, True
        while True:
            found = self._field.match(text, place, end)
            assert found is not None  # it matches nothing, too
            fields.append(found.span())
            place = found.end()
            if found[1] == "":
                return _Record(tuple(fields), place, place, clean=False, is_open=True)
            clean = clean and not found[2]
            if place == end or text[place] != self.separator:
                break
            place += 1
        line_end = _LINE_END.match(text, place, end)
        return _Record(tuple(fields), place, line_end.end() if line_end else place, clean=clean, is_open=False)

    def split(self, text: str, start: int, end: int) -> Spans:
        """The fields of a line if its quotes meant nothing."""
        fields = []
        for piece in text[start:end].split(self.separator):
            fields.append((start, start + len(piece)))
            start += len(piece) + 1
        return tuple(fields)


def find_layout(text: str, *, final: bool) -> Layout | None:
    """The layout of a file that begins with `text`; None for a file without passwords.

    `final` says that there is no more than `text`. Raises _TooLong where the first line does not end in it.
    """
    place, above = 0, False
    for number in range(1, HEADER_WITHIN + 1):
        if place >= len(text):
            break
        parser, cells, place, ended = _record_above(text, place)
        if not ended and not final:
            if not above:
                raise _TooLong(number)
            break
        places = tuple(n for n, name in enumerate(cells) if is_password(name))
        if places and (not above or _is_header(cells)):
            named = max(n + 1 for n, name in enumerate(cells) if name)
            usual = _usual_width(parser, text, place)
            return Layout(parser.separator, places, named, len(cells), max(usual, len(cells)), number)
        above = above or any(cells)
    return None


def _record_above(text: str, place: int) -> tuple[_Parser, list[str], int, bool]:
    """A record above the rows: its parser and values, where the next one begins, and whether it ended.

    No header has a line break or a quote in a value: where it seems so, a quote is missing.
    """
    found = _LINE_END.search(text, place)
    stop, end = found.span() if found else (len(text), len(text))
    parser = _Parser(max(SEPARATORS, key=text[place:stop].count))
    record = parser.record(text, place, stop)
    fields = record.fields if record.clean else parser.split(text, place, stop)
    return parser, [text[a:b].strip(' "') for a, b in fields], end, found is not None


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a record below the first one is a header: it names a password column and what is beside one."""
    letters = {_letters(cell) for cell in cells}
    return bool(letters & (NAMES | {"password"})) and bool(letters & BESIDE)


def _usual_width(parser: _Parser, text: str, place: int) -> int:
    """How many fields most of the first rows have; 0 without rows."""
    counts: Counter[int] = Counter()
    while place < len(text) and counts.total() < ROWS_LOOKED_AT:
        record = parser.record(text, place, len(text))
        if not record.ended:
            break
        if record.line_end > place:
            counts[len(record.fields)] += 1
        place = record.end
    return counts.most_common(1)[0][0] if counts else 0


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


class _Rows:
    """Empties the password columns of a text that comes in pieces. Gives the same whatever the pieces are."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._parser = _Parser(layout.separator)
        self._usual = _usual_row(layout)
        self._value = re.compile(rf'[^"\r\n{re.escape(layout.separator)}]+')
        self._row = 0
        self._rest = ""

    def take(self, piece: str, *, final: bool) -> str:
        """What can be passed on after this piece."""
        text = self._rest + piece
        # A line feed may follow.
        ready = len(text) - 1 if text.endswith("\r") and not final else len(text)
        out: list[str] = []
        place = 0
        while place < ready:
            found = self._usual.match(text, place, ready) if self._usual and not self._is_above else None
            if found and found.end() - place <= RECORD_CHARACTERS:
                out += found.groups()
                end: int | None = found.end()
            else:
                end = self._take_other(text, place, ready, out, final=final)
            if end is None:
                break
            place = end
            self._row += 1
        self._rest = text[place:]
        return "".join(out)

    @property
    def _is_above(self) -> bool:
        return self._row < self._layout.header_rows

    def _take_other(self, text: str, start: int, ready: int, out: list[str], *, final: bool) -> int | None:
        """Take one record that is not like most; return where the next one begins, None where more must come."""
        most = min(ready, start + RECORD_CHARACTERS)
        is_full, is_last = most - start == RECORD_CHARACTERS, final and most == len(text)
        found = _LINE_END.search(text, start, most)
        if found is None and not is_last:
            if is_full:
                raise _TooLong(self._row + 1)
            return None
        stop, end = found.span() if found else (most, most)
        if self._is_above or start == stop:
            out.append(text[start:end])
            return end
        line = text[start:stop]
        if '"' not in line:
            out.append(self._plain(line) + text[stop:end])
            return end
        record = self._parser.record(text, start, most)
        if not record.ended and not is_last and not is_full:
            return None
        if not (record.ended or is_last) or not record.clean:
            out.append(self._starred(text, start, stop, self._spans_in_line(text, start, stop)) + text[stop:end])
            return end
        if self._fits([text[a:b] for a, b in record.fields]):
            out.append(self._emptied(text, start, record))
        else:
            spans = self._doubtful_spans(record.fields)
            for a, b in _lines(text, start, record.line_end):
                spans |= self._spans_in_line(text, a, b)
            out.append(self._starred(text, start, record.line_end, spans) + text[record.line_end : record.end])
        return record.end

    def _fits(self, values: Sequence[str]) -> bool:
        """Whether each value is in the column of its name for sure."""
        layout, count = self._layout, len(values)
        if count != layout.usual and not layout.named <= count <= layout.width:
            return False
        return all(value in ("", '""') for value in values[layout.width :])

    def _doubtful(self, count: int) -> Iterator[range]:
        """The places where a password may be in a row of so many values, that does not fit."""
        missing, surplus = max(0, self._layout.width - count), max(0, count - self._layout.named)
        for column in self._layout.places:
            yield range(max(0, column - missing), min(count, column + surplus + 1))

    def _plain(self, line: str) -> str:
        """A line without quotes."""
        values = line.split(self._layout.separator)
        if self._fits(values):
            for column in self._layout.places:
                if column < len(values):
                    values[column] = ""
            return self._layout.separator.join(values) or '""'
        for places in self._doubtful(len(values)):
            for place in places:
                values[place] = "*" if values[place] else ""
        return self._layout.separator.join(values)

    def _emptied(self, text: str, start: int, record: _Record) -> str:
        pieces = []
        place = start
        for column in self._layout.places:
            if column < len(record.fields):
                a, b = record.fields[column]
                pieces.append(text[place:a])
                place = b
        pieces.append(text[place : record.line_end])
        # A line that held nothing but a password must not become one that holds nothing: readers pass it over.
        return ("".join(pieces) or '""') + text[record.line_end : record.end]

    def _spans_in_line(self, text: str, start: int, stop: int) -> set[tuple[int, int]]:
        """Where a password may be in a line, if that is a record of its own."""
        record = self._parser.record(text, start, stop)
        fields = record.fields
        if not record.is_open and self._fits([text[a:b] for a, b in fields]):
            return {fields[column] for column in self._layout.places if column < len(fields)}
        return self._doubtful_spans(fields) | self._doubtful_spans(self._parser.split(text, start, stop))

    def _doubtful_spans(self, fields: Spans) -> set[tuple[int, int]]:
        return {fields[place] for places in self._doubtful(len(fields)) for place in places}

    def _starred(self, text: str, start: int, stop: int, spans: set[tuple[int, int]]) -> str:
        """A text with everything in `spans` starred out."""
        pieces = []
        place = start
        for a, b in sorted(spans):
            pieces.append(text[place : max(a, place)])
            pieces.append(self._value.sub("*", text[max(a, place) : max(b, place)]))
            place = max(b, place)
        return "".join(pieces) + text[place:stop]


def _lines(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where each line of a part of a text begins and ends."""
    for found in _LINE_END.finditer(text, start, stop):
        yield start, found.start()
        start = found.end()
    yield start, stop


def _usual_row(layout: Layout) -> Pattern | None:
    """A pattern for a row like most: well quoted, of the usual width. Its groups are what stays of it."""
    if not 1 < layout.usual <= MOST_FIELDS:
        return None
    separator = re.escape(layout.separator)
    value = rf'(?>[^"{separator}\r\n][^{separator}\r\n]*+|"[^"]*+(?:""[^"]*+)*+"(?=[{separator}\r\n])|)'
    pattern = "("
    for place in range(layout.usual):
        pattern += separator if place else ""
        if place in layout.places:
            pattern += f"){value}("
        else:
            pattern += value if place < layout.width else '(?:"")?'
    return re.compile(pattern + r"(?:\r\n|\r|\n))")

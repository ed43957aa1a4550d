"""The one definition of records and fields: as Python's csv module has it, whatever the pieces a text comes in."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollover.roster.reading import lexer
from rollover.roster.reading.lexer import EndlessLine, Lexer, Record, Records, encoding_of
from tests.support.sampling import cases

MANY = settings(deadline=None, max_examples=cases(500, 5000))
ANY_TEXT = st.text(st.sampled_from('",;\r\n ab\té日'), max_size=60)


def records_of(cut: Lexer, text: str) -> list[list[str]]:
    """Every record of a text, with its values unquoted."""
    found, place = [], 0
    while place < len(text):
        record = cut.record(text, place, len(text))
        found.append([unquoted(value) for value in record.values] if record.stop > place else [])
        place = record.end
    return found


def unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    closing = value[1:].replace('""', "\0\0").find('"')
    if closing < 0:
        return value[1:].replace('""', '"')
    return value[1 : closing + 1].replace('""', '"') + value[closing + 2 :]


@MANY
@given(ANY_TEXT, st.sampled_from(",;"))
@example('"a"b"c,d', ",")
@example('a"b,"c""d"\r\n"\r\n",\r', ",")
def test_records_are_those_of_pythons_csv_module(text: str, separator: str) -> None:
    expected = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    assert records_of(Lexer(separator), text) == expected


@MANY
@given(ANY_TEXT)
def test_a_record_is_sound_where_a_strict_reader_takes_it(text: str) -> None:
    record = Lexer().record(text, 0, len(text))
    try:
        next(csv.reader(io.StringIO(text[: record.end], newline=""), strict=True), [])
        is_strict = True
    except csv.Error:
        is_strict = False
    assert record.is_sound == is_strict
    assert record.sound <= len(record.values)
    assert not (record.is_open and record.is_sound)


@MANY
@given(ANY_TEXT)
def test_plain_text_has_its_quotes_within_lines(text: str) -> None:
    cut = Lexer()
    end = cut.plain_until(text, 0, len(text))
    assert end == len(text) or text[end] == '"'
    lines = text[:end].splitlines() if end == len(text) else text[:end].splitlines()[:-1]
    for line in lines:
        record = cut.record(line, 0, len(line))
        assert record.is_sound and record.stop == len(line)


class Listed(Records):
    """Names the rows that it is given."""

    def __init__(self) -> None:
        super().__init__(Lexer())
        self.seen: list[tuple[int, str, bool]] = []

    def take_usual(self, text: str, start: int, ready: int, out: list[str]) -> int:
        return start

    def take_record(self, text: str, record: Record) -> str:
        taken = text[record.start : record.end]
        self.seen.append((self.row, taken, record.is_open))
        return taken


@MANY
@given(ANY_TEXT, st.integers(1, 9))
def test_pieces_make_no_difference_and_nothing_is_lost(text: str, size: int) -> None:
    whole, pieces = Listed(), Listed()
    assert whole.take(text, final=True) == text
    given = "".join(pieces.take(text[n : n + size], final=False) for n in range(0, len(text), size))
    assert given + pieces.take("", final=True) == text
    assert pieces.seen == whole.seen
    assert [row for row, *_ in whole.seen] == list(range(whole.row))
    # A quote that is never closed costs its line only.
    assert all(len(taken.splitlines()) == 1 for _, taken, is_open in whole.seen if is_open)


def test_a_record_has_so_many_lines_at_most() -> None:
    def rows(breaks: int) -> int:
        listed = Listed()
        listed.take('a,"' + "b\n" * breaks + 'c"\nd,e\n', final=True)
        return listed.row

    assert rows(lexer.RECORD_LINES) == 2
    assert rows(lexer.RECORD_LINES + 1) == lexer.RECORD_LINES + 3


@pytest.mark.parametrize("length", range(lexer.RECORD_CHARACTERS - 2, lexer.RECORD_CHARACTERS))
def test_the_longest_line_is_one_row_however_it_ends(length: int) -> None:
    for ending in ("\n", "\r", "\r\n"):
        listed = Listed()
        listed.take("a" * length + ending + "b" + ending, final=True)
        assert listed.row == 2


def test_a_line_that_does_not_end_is_named() -> None:
    listed = Listed()
    with pytest.raises(EndlessLine) as problem:
        listed.take("a\n" + "b" * (lexer.RECORD_CHARACTERS + 1), final=True)
    assert problem.value.row == 2


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        (b"", ("utf-8", 0)),
        (b"id", ("utf-8", 0)),
        (b"\xef\xbb\xbfid", ("utf-8", 3)),
        ("id,ä\r\n".encode("cp1252"), ("utf-8", 0)),
        ("id,name\r\n".encode("utf-16-le"), ("utf-16-le", 0)),
        ("id,name\r\n".encode("utf-16-be"), ("utf-16-be", 0)),
        ("id".encode("utf-16"), ("utf-16-le", 2)),
        (b"\xfe\xff" + "id".encode("utf-16-be"), ("utf-16-be", 2)),
        ("id,name".encode("utf-32"), ("utf-32", 4)),
        ("id,name".encode("utf-32-be"), ("utf-32", 0)),
        ("id,name".encode("utf-32-le"), ("utf-32", 0)),
    ],
)
def test_encodings(start: bytes, encoding: tuple[str, int]) -> None:
    assert encoding_of(start) == encoding

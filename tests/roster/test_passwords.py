"""Passwords never reach storage, and nothing else of a file is touched: whatever the encoding, quoting and mistakes."""

from __future__ import annotations

import csv
import io
import random
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rollover.roster.findings import Unusable
from rollover.roster.reading import lexer, passwords
from rollover.roster.reading.passwords import WithoutPasswords, is_password

SECRET = "Xy7"


def passed(source: bytes, *, block: int = 2**20) -> bytes:
    target = io.BytesIO()
    file = WithoutPasswords("users.csv", target)
    for start in range(0, len(source), block):
        file.write(source[start : start + block])
    file.finish()
    return target.getvalue()


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "PASS_WORD",
        "Student Password",
        "ext.password",
        "metadata.passWord2",
        "pwd",
        "P.W.D",
        "passwd",
        " pass ",
        "pw",
        "Student_PW",
        "PIN",
        "Passcode",
    ],
)
def test_columns_that_hold_passwords(name: str) -> None:
    assert is_password(name)


@pytest.mark.parametrize(
    "name", ["username", "bus pass", "passport", "passed", "sourcedId", "", "pinned", "opinion", "upward"]
)
def test_columns_that_do_not(name: str) -> None:
    assert not is_password(name)


ENCODINGS = {
    "utf-8": b"",
    "utf-8 with BOM": b"\xef\xbb\xbf",
    "cp1252": b"",
    "utf-16-le": b"",
    "utf-16-be": b"",
    "utf-16-le with BOM": b"\xff\xfe",
    "utf-16-be with BOM": b"\xfe\xff",
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_and_line_end(encoding: str, line_end: str) -> None:
    mark, codec = ENCODINGS[encoding], encoding.removesuffix(" with BOM")
    lines = [
        'Student_id,Username,Student Password,"Note"',
        'S-1,zoë,Xy7é,"one, two"',
        'S-2,,"Xy7, ""8""",',
        "",
        'S-3,b,"Xy7\r\nXy7",x',
        "S-4,c,,",
        "S-5,d,Xy7,",
    ]
    expected = [
        lines[0],
        'S-1,zoë,,"one, two"',
        "S-2,,,",
        "",
        "S-3,b,,x",
        "S-4,c,,",
        "S-5,d,,",
    ]
    source = mark + line_end.join(lines).encode(codec)
    assert passed(source) == mark + line_end.join(expected).encode(codec)
    assert passed(source + line_end.encode(codec)) == mark + (line_end.join(expected) + line_end).encode(codec)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\0",
        b"sourcedId",
        b'\xef\xbb\xbfsourcedId,username\n1,"a"\r2,b\n\n"open',
        b"sourcedId,username\n1," + b"x" * 300_000,
        b"\n\n\n",
        "sourcedId,username\n1,日本".encode("utf-16") + b"\x00",
        b"title,courseCode\nPassword safety,101\n",
        b"username,title\ndavid,Pass\n",
        bytes(range(256)) * 3,
    ],
)
def test_a_file_without_passwords_is_not_touched(source: bytes) -> None:
    assert passed(source) == source
    assert passed(source, block=3) == source


def test_a_large_file_without_passwords_goes_through_as_it_comes() -> None:
    class Counted(io.BytesIO):
        blocks = 0

        def write(self, block: bytes, /) -> int:  # type: ignore[override]
            self.blocks += 1
            return super().write(block)

    target = Counted()
    file = WithoutPasswords("enrollments.csv", target)
    file.write(b"sourcedId,classSourcedId\n" + b"1,2\n" * 20_000)
    block = b"3,4\n" * 1_000
    file.write(block)
    file.write(block)
    assert target.blocks == 3


REPAIRED = [
    pytest.param("password\nXy7\n\n,\n", 'password\n""\n\n*,\n'.replace("*,", ","), id="the only column"),
    pytest.param("id,pwd,pass\n1,Xy7,Xy7\n2,Xy7\n", "id,pwd,pass\n1,,\n*,*\n", id="two of them"),
    pytest.param("id,password\n1,Xy7", "id,password\n1,", id="no last line end"),
    pytest.param("id,password", "id,password", id="only a header, no line end"),
    pytest.param("\r\n\nid,password\n1,Xy7\n", "\r\n\nid,password\n1,\n", id="blank lines above"),
    pytest.param("Users 2025\n\nSourcedId,Password\n1,Xy7\n", "Users 2025\n\nSourcedId,Password\n1,\n", id="a title"),
    pytest.param("id;password;x\n1;Xy7;a,b\n", "id;password;x\n1;;a,b\n", id="semicolons"),
    pytest.param("id\tpassword\n1\tXy7\n", "id\tpassword\n1\t\n", id="tabs"),
    pytest.param("id,password,,\n1,Xy7,,\n2,Xy7\n", "id,password,,\n1,,,\n2,\n", id="blank trailing headers"),
    pytest.param('id,password\n1,Xy7,\n2,Xy7,""\n', 'id,password\n1,,\n2,,""\n', id="every row goes on, blank"),
    pytest.param(
        'id,size,password\n1,5" wide,Xy7\n', 'id,size,password\n1,5" wide,\n', id="a quote within a plain value"
    ),
    pytest.param("id,password,x\n1,Xy7,\n2\n", "id,password,x\n1,,\n*\n", id="a row that is short"),
    pytest.param(
        "id,n,password,x\n1,A,Xy7,\n1,A, B,Xy7,y\n", "id,n,password,x\n1,A,,\n1,A,*,*,y\n", id="a comma too many"
    ),
    pytest.param("id,n,password,x\n1,A,Xy7,\n1A,Xy7,y\n", "id,n,password,x\n1,A,,\n1A,*,*\n", id="a comma too few"),
    pytest.param(
        "id,n,password\n1,A\n,Xy7\n2,B,Xy7\n", "id,n,password\n1,*\n,*\n2,B,\n", id="a line break in a plain value"
    ),
    pytest.param(
        'id,n,password\n1,"A,Xy7\n2,B,Xy7\n', 'id,n,password\n1,"*,*\n2,B,\n', id="a quote that is never closed"
    ),
    pytest.param(
        'id,n,password\n1,"A "x" B",Xy7\n', 'id,n,password\n1,"A "x" B",*\n', id="quotes that are not doubled"
    ),
    pytest.param(
        'id,n,password\n1,"A,"Xy7"\n2,B,Xy7\n', 'id,n,password\n1,"*,"*"\n2,B,\n', id="a lost quote within a line"
    ),
    pytest.param(
        'id,n,password\n1,A,"Xy7\n2,"B",Xy7\n', 'id,n,password\n1,A,"*\n2,"B",\n', id="a password's lost quote"
    ),
    pytest.param('"id,n,password\n1,A,Xy7\n', '"id,n,password\n1,A,\n', id="an open quote in the header"),
    pytest.param('id,n,password\n1,"A\nB",Xy7\n', 'id,n,password\n1,"A\nB",\n', id="a line break in a quoted value"),
]


@pytest.mark.parametrize(("source", "expected"), REPAIRED)
def test_mistakes(source: str, expected: str) -> None:
    assert passed(source.encode()).decode() == expected
    assert passed(source.encode(), block=1).decode() == expected


def test_a_quote_that_is_never_closed_in_a_long_file() -> None:
    rows = [f"{n},Given{n},{SECRET}{n}" for n in range(50_000)]
    broken = [*rows]
    broken[17] = f'17,"Given17,{SECRET}17'
    source = "\n".join(["id,name,password", *broken, ""]).encode()
    assert len(source) > 4 * lexer.RECORD_CHARACTERS
    result = passed(source, block=100_000).decode().split("\n")
    assert SECRET not in "\n".join(result)
    assert result[18] == '17,"*,*'
    assert result[1:18] + result[19:-1] == [f"{n},Given{n}," for n in range(50_000) if n != 17]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"x" * 100_000, id="no line end at all"),
        pytest.param(b"id,password\n1," + b"x" * 300_000, id="a value that does not end"),
        pytest.param(b"id,password\n1," + b'"' + b"x" * 300_000, id="a quoted value that does not end"),
        pytest.param(b"id,password\n1," + b",x" * 300_000, id="a row that does not end"),
        pytest.param("id,password\n1,Xy7\n".encode("utf-32"), id="UTF-32"),
        pytest.param("id,password\n1,Xy7\n".encode("utf-32-be"), id="UTF-32 without BOM"),
    ],
)
def test_what_is_too_broken_to_tell_is_refused_and_not_stored(source: bytes) -> None:
    for block in (2**20, 10_000):
        target = io.BytesIO()
        file = WithoutPasswords("users.csv", target)
        with pytest.raises(Unusable) as refused:
            for start in range(0, len(source), block):
                file.write(source[start : start + block])
            file.finish()
        assert refused.value.code in ("not_csv", "encoding_unknown")
        assert refused.value.file == "users.csv"
        assert SECRET.encode() not in target.getvalue()


@pytest.mark.parametrize(
    "unit",
    [
        b"x",
        b'"',
        b'""',
        b",",
        b"\0",
        b'x"',
        b'"%s\n"' % (b"x" * 99),
        b'a,"%s,c\n' % (b"x" * 99),
        b"1,%s\n" % (b"x" * 99),
    ],
)
def test_what_is_kept_of_a_file_is_bounded_whatever_it_holds(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(io.BytesIO):
        def write(self, block: bytes, /) -> int:  # type: ignore[override]
            return len(block)

    monkeypatch.setattr(passwords, "HEADER_BYTES", 2**12)
    monkeypatch.setattr(lexer, "RECORD_CHARACTERS", 2**14)
    block = unit * (2**13 // len(unit))
    file = WithoutPasswords("users.csv", Nowhere())
    most = 0
    tracemalloc.start()
    try:
        file.write(b"id,password,x\n1,")
        for _ in range(40):  # 320 KiB
            file.write(block)
            most = max(most, tracemalloc.get_traced_memory()[0])
        file.finish()
    except Unusable:
        pass
    finally:
        tracemalloc.stop()
    assert most < 2**17 + 2**16


VALUES = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\ufeff"), max_size=8),
    st.text('", \r\n\té日a', max_size=6),
)


def as_csv(rows: list[list[str]], line_end: str, *, quote_all: bool) -> str:
    def value(text: str, width: int) -> str:
        quoted = quote_all or any(c in text for c in '",\r\n') or (width == 1 and not text)
        return '"' + text.replace('"', '""') + '"' if quoted else text

    return "".join(",".join(value(text, len(row)) for text in row) + line_end for row in rows)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], list[int]]:
    """Rows as wide as their header, and which of its columns hold passwords."""
    width = draw(st.integers(1, 6))
    places = sorted(draw(st.sets(st.integers(0, width - 1), min_size=1, max_size=2)))
    header = [f"password{n}" if n in places else f"column{n}" for n in range(width)]
    rows = draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=6))
    return [header, *rows], places


@given(
    tables(),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
    st.integers(1, 40),
)
@settings(max_examples=200, deadline=None)
def test_a_well_formed_file_parses_the_same_but_for_its_passwords(
    table: tuple[list[list[str]], list[int]], line_end: str, quote_all: bool, encoding: str, block: int
) -> None:
    rows, places = table
    text = as_csv(rows, line_end, quote_all=quote_all)
    if "utf-16-" in encoding and len([c for c in text if ord(c) < 256]) < 0.9 * len(text):
        encoding = "utf-16"  # nothing else tells a text in other letters
    result = passed(text.encode(encoding))
    assert passed(text.encode(encoding), block=block) == result
    blanked = [["" if n in places else value for n, value in enumerate(row)] for row in rows[1:]]
    assert rows_of(text) == rows
    assert rows_of(result.decode(encoding)) == [rows[0], *blanked]


@given(
    st.binary(max_size=60).map(lambda tail: b"id,password,x\n" + tail),
    st.integers(1, 20),
)
@example(b"id,password,x\n1,\r", 1)
@example(b'id,password,x\n"', 3)
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_the_same_in_any_blocks_and_keep_their_structure(source: bytes, block: int) -> None:
    result = passed(source)
    assert passed(source, block=block) == result
    if source.count(b"\0") > 4:  # maybe UTF-16
        return
    for row in rows_of(result.decode("latin-1"))[1:]:
        assert len(row) < 2 or set(row[1]) <= set('*,\r\n" '), "a password column is empty, or starred out"


DIGITS = st.text(st.sampled_from("789"), min_size=1, max_size=5)
"""Passwords only are made of these."""
DAMAGE = ("", "", "a field too many", "a field too few", "blank fields behind")


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, str]:
    """A file with a column of passwords in any dialect, of which every row but the last may be damaged; and its
    encoding."""
    separator, line_end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    place = draw(st.integers(0, 3))
    names = ["username", "x", "y", "z"]
    names[place] = draw(st.sampled_from(["password", "Student PassWord", "pwd", '"PIN"']))
    lines = []
    for left in reversed(range(draw(st.integers(1, 6)))):
        values = ["v", draw(st.sampled_from(["", "w w", '"w""w"', f'"w{separator}w"'])), "", "v"]
        values[place] = draw(st.sampled_from(["{}", '"{}"', f'"{{0}}{line_end}{{0}}"', '{}"{{}}'])).format(draw(DIGITS))
        match draw(st.sampled_from(DAMAGE)) if left else "":  # the last one may be cut off
            case "a field too many":
                values.insert(draw(st.integers(0, 4)), "v")
            case "a field too few":
                values.pop(draw(st.sampled_from([n for n in range(4) if n != place])))
            case "blank fields behind":
                values += ["", ""]
        lines.append(separator.join(values))
    content = draw(st.sampled_from(["", line_end])) + line_end.join([separator.join(names), *lines])
    return content + draw(st.sampled_from(["", line_end])), draw(st.sampled_from(list(ENCODINGS)))


@given(damaged(), st.integers(0, 5), st.integers(1, 40))
@settings(max_examples=1000, deadline=None)
def test_no_byte_of_a_password_survives_in_any_dialect(file: tuple[str, str], cut_off: int, block: int) -> None:
    content, encoding = file
    codec = encoding.removesuffix(" with BOM")
    source = ENCODINGS[encoding] + content.encode(codec)
    source = source[: len(source) - cut_off]
    result = passed(source)
    assert passed(source, block=block) == result
    assert not set("789") & set(result.removeprefix(ENCODINGS[encoding]).decode(codec, "replace"))
    assert result[-1:] not in (b"7", b"8", b"9"), "half a character of UTF-16"


ROWS = [
    ["id", "name", "role", "password", "note"],
    *(
        [f"S-{n}", f"Given, {n}" if n % 3 == 0 else f"Given{n}", "student", f"{SECRET}{n}", "x" * (n % 2)]
        for n in range(8)
    ),
]


@given(st.integers(0, 10**9), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=500, deadline=None)
def test_no_single_mistake_lets_a_password_through(seed: int, quote_all: bool, line_end: str) -> None:
    lines = as_csv(ROWS, line_end, quote_all=quote_all).splitlines(keepends=True)
    chance = random.Random(seed)
    hit = chance.randrange(1, len(lines))
    place = chance.randrange(len(lines[hit]))
    what, taken = chance.choice(['"', ",", "\n", "\r", "z", ""]), chance.randrange(2)
    broken = [*lines]
    broken[hit] = lines[hit][:place] + what + lines[hit][place + taken :]
    result = passed("".join(broken).encode()).decode()

    assert SECRET not in result
    # Every row that the mistake does not touch, and that does not run on from it, is as it would be without it.
    without = passed("".join(lines).encode()).decode().splitlines(keepends=True)
    assert result.startswith("".join(without[:hit]))
    assert result.endswith("".join(without[hit + 2 :]))
    assert SECRET not in passed("".join([*lines[:hit], lines[hit][:place]]).encode()).decode(), "cut off"

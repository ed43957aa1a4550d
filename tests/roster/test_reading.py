"""Every way of writing a file gives the same rows; whatever the bytes, the reader goes on, and makes up nothing."""

from __future__ import annotations

import csv
import io
import itertools
import multiprocessing
import resource
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollover.roster.findings import Findings
from rollover.roster.formats import FORMATS
from rollover.roster.formats.spec import Column, File
from rollover.roster.reading import text
from rollover.roster.reading.columns import KEPT_OUT, ROW
from rollover.roster.reading.header import read_header
from rollover.roster.reading.lexer import RECORD_CHARACTERS
from rollover.roster.reading.rows import batches
from rollover.roster.reading.text import as_text
from tests.support.roster import generated_sets
from tests.support.roster.read_set import take
from tests.support.roster.small_set import as_files, whole_set
from tests.support.sampling import cases, others_slow

QUICK = settings(deadline=None, max_examples=cases(100, 1000), suppress_health_check=list(HealthCheck))
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "UTF-8": lambda content: content.encode(),
    "UTF-8 with a byte order mark": lambda content: content.encode("utf-8-sig"),
    "UTF-16": lambda content: content.encode("utf-16"),
    "UTF-16 BE": lambda content: b"\xfe\xff" + content.encode("utf-16-be"),
    "UTF-16 without a byte order mark": lambda content: content.encode("utf-16-le"),
    "UTF-16 BE without a byte order mark": lambda content: content.encode("utf-16-be"),
    "Windows-1252": lambda content: content.encode("cp1252"),
}
LINE_ENDS = ("\r\n", "\n", "\r")


@cache
def plain() -> dict[str, pl.DataFrame]:
    tables = take(as_files(whole_set())).tables
    assert tables
    return tables


def assert_same_roster(files: dict[str, bytes], *codes: str) -> None:
    taken = take(files)
    assert set(taken.codes) == set(codes)
    assert taken.tables
    for table, rows in plain().items():
        assert rows.equals(taken.tables[table]), table


def rewritten(write: Callable[[str], bytes], **how: str) -> dict[str, bytes]:
    """The whole set, with every file but the manifest written by csv in another way."""
    return {name: data if name == "manifest.csv" else write(_csv(data, **how)) for name, data in _files().items()}


def _files() -> dict[str, bytes]:
    return as_files(whole_set())


def _csv(data: bytes, quoting: str = "minimal", line_end: str = "\r\n") -> str:
    out = io.StringIO()
    how = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL}[quoting]
    csv.writer(out, quoting=how, lineterminator=line_end).writerows(csv.reader(io.StringIO(data.decode(), newline="")))
    return out.getvalue()


@pytest.mark.parametrize("quoting", others_slow(["minimal", "all"]))
@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_line_ends_and_quoting(encoding: str, line_end: str, quoting: str) -> None:
    codes = (["encoding"] if not encoding.startswith("UTF-8") else []) + (["line_ends"] if line_end == "\r" else [])
    assert_same_roster(rewritten(ENCODINGS[encoding], quoting=quoting, line_end=line_end), *codes)


def test_blank_lines_before_between_and_behind_count() -> None:
    files = {
        name: data if name == "manifest.csv" else b"\r\n\r\n" + data.replace(b"\r\n", b"\r\n \r\n") + b"\r\n,,\r\nx\r\n"
        for name, data in _files().items()
    }
    taken = take(files)
    assert {code for code, *_ in taken.found} == {"field_count"}
    places = {file: row for _, _, file, row, _ in taken.found}
    assert places == {f"{name}.csv": 2 * len(rows) + 7 for name, rows in whole_set().items()}


def test_blank_lines_are_passed_over() -> None:
    files = {
        name: data if name == "manifest.csv" else b"\r\n\r\n" + data.replace(b"\r\n", b"\r\n\r\n")
        for name, data in _files().items()
    }
    files["users.csv"] = files["users.csv"].replace(b"guardian,", b"Guardian,")
    assert_same_roster(files, "value_spelling")
    assert ("value_spelling", "warning", "users.csv", 3 + 2 * 6, "role") in take(files).found


def test_a_line_of_commas_is_a_blank_line() -> None:
    files = _files()
    files["orgs.csv"] += b",,,,,,\r\n , ,,,,,\r\n"
    assert_same_roster(files)


@pytest.mark.parametrize("blank", [1, 3])
def test_blank_headers_behind_the_last_column(blank: int) -> None:
    behind = b"," * blank + b"\r\n"
    all_of_it = {name: data.replace(b"\r\n", behind) for name, data in _files().items()}
    assert_same_roster({**all_of_it, "manifest.csv": _files()["manifest.csv"]}, "column_blank")
    only_headers = {name: data.replace(b"\r\n", behind, 1) for name, data in _files().items()}
    assert_same_roster({**only_headers, "manifest.csv": _files()["manifest.csv"]}, "column_blank")


def behind(file: str, *rows: int, blank: bytes = b",,") -> dict[str, bytes]:
    """The whole set with blank fields behind some rows of a file."""
    files = _files()
    lines = files[file].split(b"\r\n")
    for row in rows:
        lines[row - 1] += blank
    return {**files, file: b"\r\n".join(lines)}


def test_blank_fields_behind_some_rows_of_ids() -> None:
    files = behind("enrollments.csv", 3, 5)
    assert_same_roster(files, "fields_behind")
    assert {row for code, _, _, row, _ in take(files).found} == {3, 5}


@pytest.mark.parametrize("file", ["orgs", "academicSessions", "courses", "classes", "users"])
def test_one_comma_behind_a_row_costs_nothing(file: str) -> None:
    """A district, a school, a year, a term, a person: all that depends on them would go with them."""
    rows = range(2, max(len(whole_set()[file]) // 2, 1) + 2)
    files = behind(f"{file}.csv", *rows, blank=b", ")
    assert_same_roster(files, "fields_behind")
    assert {row for _, _, _, row, _ in take(files).found} == set(rows)


UNQUOTED = {
    "name of an org": ("orgs", 3, "name", "Elm, North"),
    "title of a term": ("academicSessions", 3, "title", "Fall, 1"),
    "title of a course": ("courses", 2, "title", "Math, 1"),
    "terms of a class": ("classes", 2, "termSourcedIds", "{},{}"),
    "given name": ("users", 4, "givenName", "Zoë, Ann"),
    "family name": ("users", 4, "familyName", "O'Hara, Lee"),
    "identifier": ("users", 4, "identifier", "12, 34"),
}


@pytest.mark.parametrize("what", UNQUOTED)
def test_a_comma_that_is_not_quoted_is_not_taken_for_one_behind(what: str) -> None:
    """The last column is blank: so the row that is pushed on has one blank field too many, and its values elsewhere."""
    file, row, column, value = UNQUOTED[what]
    rows = whole_set()
    for each in rows[file]:
        each[list(each)[-1]] = ""
    changed = rows[file][row - 2]
    changed[column] = value.format(changed[column], changed[column])
    if file == "users":
        changed |= {"middleName": "May", "identifier": changed["identifier"] or "77"}
    files = as_files(rows)
    lines = files[f"{file}.csv"].split(b"\r\n")
    lines[row - 1] = lines[row - 1].replace(b'"', b"")
    taken = take({**files, f"{file}.csv": b"\r\n".join(lines)})
    assert (f"{file}.csv", row) in {(f.file, f.row) for f in taken.findings.kept if f.severity == "error"}
    assert "fields_behind" not in taken.codes


def test_blank_fields_behind_most_rows_are_how_the_file_is() -> None:
    rows = len(whole_set()["users"])
    files = behind("users.csv", *range(2, rows + 1))
    assert_same_roster(files, "fields_behind")
    assert {row for *_, row, _ in take(files).found} == {1}


def test_a_value_behind_a_row_of_a_file_with_blank_fields_behind_is_reported() -> None:
    rows = len(whole_set()["users"])
    files = behind("users.csv", *range(2, rows + 1), blank=b",")
    lines = files["users.csv"].split(b"\r\n")
    lines[3] += b"more"
    taken = take({**files, "users.csv": b"\r\n".join(lines)})
    assert ("field_count", "error", "users.csv", 4, None) in taken.found
    assert taken.codes["field_count"] == 1


def test_rows_that_all_go_on_behind_the_header_with_values_are_not_guessed() -> None:
    files = _files()
    header, rest = files["orgs.csv"].split(b"\r\n", 1)
    files["orgs.csv"] = header + b"\r\n" + rest.replace(b"\r\n", b",more\r\n")
    taken = take(files)
    assert taken.codes["field_count"] == 3
    assert "no_valid_rows" in taken.refused


def test_headers_in_another_spelling() -> None:
    files = {}
    for name, data in _files().items():
        header, rest = data.split(b"\r\n", 1)
        files[name] = (
            data if name == "manifest.csv" else header.upper().replace(b"SOURCEDID", b"Sourced Id") + b"\r\n" + rest
        )
    assert_same_roster(files, "column_spelling")


def test_file_names_in_another_case() -> None:
    assert_same_roster({name.upper(): data for name, data in _files().items()})


def test_line_breaks_within_values() -> None:
    files = _files()
    files["users.csv"] = files["users.csv"].replace(PASSWORD_FIELD, b'"a\r\nb\rc\n""d"""')
    assert_same_roster(files, "line_break")
    assert {row for *_, row, _ in take(files).found} == set(range(2, 8))


PASSWORD_FIELD = b"correct-horse-battery"


def test_a_line_break_in_the_header_and_in_the_last_field() -> None:
    files = _files()
    files["users.csv"] = files["users.csv"].replace(b",password", b',"pass\nword"')
    taken = take(files)
    assert set(taken.codes) == {"column_spelling"} or set(taken.codes) <= {
        "column_missing",
        "column_unknown",
        "line_break",
    }
    assert taken.tables and taken.tables["people"].equals(plain()["people"])


def test_surrounding_spaces_are_no_part_of_a_value() -> None:
    files = {name: data if name == "manifest.csv" else data.replace(b",", b" ,") for name, data in _files().items()}
    files = {name: data.replace(b'" ,', b'",') for name, data in files.items()}
    taken = take(files)
    assert set(taken.codes) == {"value_spaces"}
    assert taken.tables and taken.tables["people"].equals(plain()["people"])


def test_a_quote_in_an_unquoted_value_is_a_character() -> None:
    files = _files()
    files["classes.csv"] = files["classes.csv"].replace(b'"Math ""A"", period 1"', b'Math 5" pipe')
    taken = take(files)
    assert taken.codes == {}
    assert taken.row("classes", "class-1-2025-26")["title"] == 'Math 5" pipe'


def test_a_quote_that_is_never_closed_costs_its_row_only() -> None:
    files = _files()
    lines = files["users.csv"].split(b"\r\n")
    lines[2] = lines[2].replace(b",student,", b',"student,')
    lines[4] = lines[4].replace(b"Zo\xc3\xab", b'5" Zo\xc3\xab').replace(b"O'Hara", b"\"O'Hara")
    files["users.csv"] = b"\r\n".join(lines)
    taken = take(files)
    assert {where for where in taken.found if where[0] != "depends_on_rejected"} == {
        ("open_quote", "error", "users.csv", 3, None),
        ("open_quote", "error", "users.csv", 5, None),
        ("optional_reference", "warning", "users.csv", 7, "agentSourcedIds"),
    }
    assert taken.ids("people") == {"teacher-1", "student-2", "parent-1", "parent-2"}


def test_a_file_that_is_cut_within_a_character_is_not_taken_for_windows_1252() -> None:
    files = _files()
    files["users.csv"] = (
        files["users.csv"].replace("Zoë".encode(), b"Zoe") + "last,,,true,school-1,aide,Zoë".encode()[:-1]
    )
    taken = take(files)
    assert "encoding" not in taken.codes
    assert ("field_count", "error", "users.csv", 8, None) in taken.found


@pytest.mark.slow
def test_zip_of_other_spellings_of_a_manifest() -> None:
    files = _files()
    data = files["manifest.csv"].decode()
    for encoding in ENCODINGS.values():
        for line_end in LINE_ENDS:
            files["manifest.csv"] = encoding(data.replace("\r\n", line_end))
            assert set(take(files).codes) <= {"encoding"}


# Any table, in any dialect.

COLUMNS = ("one", "two", "three", "four")
FILE = File("orgs.csv", tuple(Column(name) for name in COLUMNS), identity="one", required=False)
# Python counts four control characters as spaces, Unicode does not.
VALUES = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufdd0\ufeff\x1c\x1d\x1e\x1f"), max_size=12
)
LINES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufdd0\ufeff"), max_size=12)
# What Windows-1252 can say, and what tells it from UTF-8.
WESTERN = st.text(st.sampled_from("abc äöüßéñÅ€“”‘’–|;'\"#,\t"), max_size=12)
SPACES = str.strip


def read_back(data: bytes) -> tuple[list[tuple[int, bool, tuple[str | None, ...]]], Findings]:
    """Rows with place and whether they are rejected."""
    findings = Findings()
    spec = FORMATS["clever"]
    found: list[tuple[int, bool, tuple[str | None, ...]]] = []
    with tempfile.TemporaryDirectory(prefix="rollover-test-") as folder:
        path = Path(folder) / "orgs.csv"
        path.write_bytes(data)
        with as_text(path) as content:
            header = read_header(content, FILE, spec, {}, findings)
            if header is None:
                return [], findings
            for frame in batches(content, FILE, FORMATS["clever"], header, findings):
                names = [name for name in COLUMNS if name in frame.columns]
                values = frame.select(names).rows()
                found += zip(frame[ROW].to_list(), frame[KEPT_OUT].to_list(), values, strict=True)
    return sorted(found, key=lambda row: row[0]), findings


def expected(rows: list[list[str]]) -> list[tuple[int, bool, tuple[str | None, ...]]]:
    """What a reader has to find: values without spaces around them, blank ones null, rows without values gone."""
    wanted = []
    for place, row in enumerate(rows, start=2):
        values = tuple(value.strip() or None for value in row)
        if any(values):
            wanted.append((place, False, values))
    return wanted


def written(rows: list[list[str]], *, quoting: int, line_end: str, encoding: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, quoting=quoting, lineterminator=line_end)  # type: ignore[arg-type]
    writer.writerows([list(COLUMNS), *rows])
    return out.getvalue().encode(encoding)


@QUICK
@given(
    st.lists(st.lists(LINES, min_size=4, max_size=4), max_size=12),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(LINE_ENDS),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_table_is_read_back(rows: list[list[str]], quoting: int, line_end: str, encoding: str) -> None:
    data = written(rows, quoting=quoting, line_end=line_end, encoding=encoding)
    found, findings = read_back(data)
    assert found == expected(rows)
    assert findings.errors == {}


@QUICK
@given(
    st.lists(st.lists(WESTERN, min_size=4, max_size=4), min_size=1, max_size=12),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_western_table_is_read_back(rows: list[list[str]], quoting: int) -> None:
    data = written([*rows, ["Ä", "é", "ñ", "ß"]], quoting=quoting, line_end="\r\n", encoding="cp1252")
    found, findings = read_back(data)
    assert found == expected([*rows, ["Ä", "é", "ñ", "ß"]])
    assert findings.warnings.get("encoding") == 1


@QUICK
@given(st.lists(st.lists(VALUES, min_size=4, max_size=4), max_size=8), st.sampled_from(LINE_ENDS))
def test_any_table_with_line_breaks_is_read_back_or_reported(rows: list[list[str]], line_end: str) -> None:
    """A line break within a value can look like the end of a row. Then the row is an error, and nothing is made up."""
    data = written(rows, quoting=csv.QUOTE_ALL, line_end=line_end, encoding="utf-8")
    found, findings = read_back(data)
    taken = [(place, values) for place, is_rejected, values in found if not is_rejected]
    if "open_quote" not in findings.errors:
        assert taken == [(place, values) for place, _, values in expected(rows)]


@QUICK
@given(st.lists(st.lists(LINES, max_size=7), max_size=12), st.sampled_from(LINE_ENDS))
def test_ragged_rows_are_counted_and_reported(rows: list[list[str]], line_end: str) -> None:
    data = written(rows, quoting=csv.QUOTE_MINIMAL, line_end=line_end, encoding="utf-8")
    found, findings = read_back(data)
    filled = [(n, row) for n, row in enumerate(rows, start=2) if any(map(SPACES, row))]
    fitting = [(n, row) for n, row in filled if len(row) >= 4 and not any(map(SPACES, row[4:]))]
    widths = Counter(len(row) for _, row in fitting)
    usual = max(widths, key=lambda width: (widths[width], width), default=4)
    usual = usual if widths[usual] > max(len(filled) / 2, 1) else 4
    # Blank fields behind a row in which no value can be a part of the one before it are only too many.
    alone = {n for n, row in fitting if not any(a.strip() and b.strip() for a, b in itertools.pairwise(row[:4]))}
    whole = {n: row[:4] for n, row in fitting if len(row) in (4, usual) or n in alone}
    taken = {place: values for place, is_rejected, values in found if not is_rejected}
    assert taken == {n: tuple(v.strip() or None for v in row) for n, row in whole.items()}
    wrong = [n for n, _ in filled if n not in whole]
    assert sorted(f.row for f in findings.kept if f.code == "field_count" and f.row) == wrong
    behind = [f.row for f in findings.kept if f.code == "fields_behind"]
    too_long = {n for n, row in fitting if n in alone and len(row) > max(4, usual)}
    assert sorted(filter(None, behind)) == sorted(too_long | ({1} if usual > 4 else set()))


NASTY = st.lists(
    st.sampled_from([b'"', b",", b"\n", b"\r", b"\r\n", b"\0", b"a", b"\xc3", b"\xc3\xab", b"\xff", b" ", b"x" * 50]),
    max_size=60,
).map(b"".join)


@QUICK
@given(st.one_of(st.binary(max_size=400), NASTY))
def test_any_bytes_are_read_and_nothing_is_made_up(data: bytes) -> None:
    findings = read_back(data)[1]
    found, more = read_back(b"one,two,three,four\r\n" + data)
    assert findings.errors is not None and more.errors is not None
    given = data.decode("utf-8", "replace") + data.decode("cp1252", "replace") + data.decode("utf-16", "replace")
    letters = set(given)
    for _, is_rejected, values in found:
        if not is_rejected:
            assert {char for value in values if value for char in value} <= letters


@pytest.mark.slow
@settings(deadline=None, max_examples=cases(15, 300), suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(_files())), st.one_of(st.binary(max_size=300), NASTY), st.booleans())
def test_any_bytes_in_any_file_of_a_set(name: str, data: bytes, behind: bool) -> None:
    files = _files()
    files[name] = files[name] + data if behind else data
    taken = take(files)
    if taken.tables and not taken.refused:
        for table in ("orgs", "people", "classes", "enrollments"):
            known = set(plain()[table]["sourced_id"])
            new = taken.ids(table) - known
            assert all(value in data.decode("utf-8", "replace") + data.decode("cp1252", "replace") for value in new)


@pytest.mark.slow
@settings(deadline=None, max_examples=cases(10, 300), suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(generated_sets.clever())), st.one_of(st.binary(max_size=300), NASTY))
def test_any_bytes_in_any_file_of_clever(name: str, data: bytes) -> None:
    files = generated_sets.as_files("clever", generated_sets.clever(students=3))
    files[name] += data
    taken = take(files)
    assert taken.tables or taken.refused


# Bounds.


ODD = {
    "too short": b"a,b\r\n",
    "too long": b"a,b,c,d,,\r\n",
    "open quotes": b'a,b,"c,d\r\n',
    "line breaks": b'a,"b\r\nb",c,d\r\n',
    "no characters": b"a,b\xff\xc3\xab,c,d\r\n",
    "blank": b"\r\n",
}


def read_odd_rows(kind: str, count: int) -> tuple[int, int, int]:
    """Read a file of as many odd rows; return how many came, how many findings were kept, and the peak memory (MiB)."""
    findings = Findings()
    rows = 0
    with tempfile.TemporaryDirectory(prefix="rollover-test-") as folder:
        path = Path(folder) / "orgs.csv"
        with path.open("wb") as stream:
            stream.write(b"one,two,three,four\r\n")
            for _ in range(count // 1000):
                stream.write(ODD[kind] * 1000)
        with as_text(path) as content:
            header = read_header(content, FILE, FORMATS["clever"], {}, findings)
            assert header is not None
            for frame in batches(content, FILE, FORMATS["clever"], header, findings):
                rows += frame.height
    return rows, len(findings.kept), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.slow
@pytest.mark.parametrize("kind", ODD)
def test_a_file_in_which_every_row_is_odd_takes_no_more_memory(kind: str) -> None:
    # Each in a process of its own, which knows its own peak.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        few, many = (pool.apply(read_odd_rows, (kind, count)) for count in (100_000, 300_000))
    assert few[0] in (0, 100_000) and many[0] in (0, 300_000)
    assert many[1] == few[1] <= 2000
    # Each of these rows as a list of its fields would take more than 500 bytes.
    assert many[2] - few[2] < 90


def test_a_line_that_never_ends_is_not_held_in_memory() -> None:
    data = b"one,two,three,four\r\na,b,c,d\r\n" + b"x" * (3 * RECORD_CHARACTERS) + b"\r\ne,f,g,h\r\n"
    found, findings = read_back(data)
    assert [values for _, _, values in found] == [("a", "b", "c", "d"), ("e", "f", "g", "h")]
    assert [place for place, _, _ in found] == [2, 4]
    assert [(f.code, f.row) for f in findings.kept] == [("row_too_long", 3)]


def test_blocks_may_end_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["ä,1", 'b"2', "c\n3", "d"], ["e", "", "“f”", "g h"]] * 20
    data = written(rows, quoting=csv.QUOTE_MINIMAL, line_end="\r\n", encoding="utf-8")
    for size in itertools.chain(range(1, 40), (97, 1000)):
        monkeypatch.setattr(text, "BLOCK_BYTES", size)
        found, findings = read_back(data)
        assert found == expected(rows)
        assert findings.errors == {}


def test_a_quote_that_is_never_closed_does_not_hide_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes far behind the quote still tells in which encoding the file is."""
    monkeypatch.setattr(text, "BLOCK_BYTES", 16)
    rows = b'a,"b,c,d\r\n' + b"e,f,g,h\r\n" * 20 + "ü,é,ß,ñ\r\n".encode("cp1252")
    found, findings = read_back(b"one,two,three,four\r\n" + rows)
    assert found[-1] == (23, False, ("ü", "é", "ß", "ñ"))
    assert findings.warnings == {"encoding": 1} and findings.errors == {"open_quote": 1}


def test_a_file_with_line_breaks_in_its_values_is_read_where_it_is() -> None:
    """Only a damaged file is written again."""
    with tempfile.TemporaryDirectory(prefix="rollover-test-") as folder:
        path = Path(folder) / "orgs.csv"
        path.write_bytes(b'one,two,three,four\r\na,"b\r\nb",c,d\r\n')
        with as_text(path) as content:
            assert content.path == path and content.line_breaks
        path.write_bytes(b'one,two,three,four\r\na,"b\r\nb,c,d\r\n')
        with as_text(path) as content:
            assert content.path != path and list(content.unclosed) == [2]

"""Injected defects: each gets its own clear finding, and none lets a row in that the whole set does not have.

What comes of a damaged set is a part of what comes of the whole one, but for what a warning says was fixed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rollover.roster.findings import Findings
from rollover.roster.formats import FORMATS
from rollover.roster.reading.clean import clean
from rollover.roster.reading.columns import KEPT_OUT
from rollover.roster.reading.header import read_header
from rollover.roster.reading.rows import batches
from rollover.roster.reading.text import as_text
from tests.support.roster.generated_sets import Rows, as_csv, as_files, header, made
from tests.support.roster.read_set import Taken, take
from tests.support.sampling import cases, others_slow, some

Files = dict[str, bytes]
SPECS = tuple(FORMATS)
# Columns that hold references which a row can be without: what is not there is left out, and reported.
OPTIONAL = {"parent_id", "school_year_session_id", "term_ids", "school_ids"}


def whole(spec: str) -> Files:
    return as_files(spec, made(spec, students=3))


@cache
def whole_rows(spec: str) -> Taken:
    return take(whole(spec))


def rows_of(taken: Taken) -> dict[str, dict[Any, dict[str, Any]]]:
    """By table and key."""
    assert taken.tables
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    for name, table in taken.tables.items():
        keys = ("student_id", "guardian_id") if name == "guardians" else ("sourced_id",)
        rows = table.to_dicts()
        found[name] = {tuple(row[key] for key in keys): row for row in rows}
        assert len(found[name]) == len(rows), "a key twice"
    return found


def foreign(taken: Taken, spec: str, *fixed: tuple[str, str]) -> list[str]:
    """Rows that the whole set does not have, or that say something else; `fixed` are the (table, column) that may."""
    clean = rows_of(whole_rows(spec))
    reported = []
    for table, rows in rows_of(taken).items():
        for key, row in rows.items():
            was = clean[table].get(key)
            if was is None:
                reported.append(f"{table} {key} is new")
                continue
            for column, value in row.items():
                if value == was[column] or (table, column) in fixed:
                    continue
                is_less = value is None or (isinstance(value, list) and set(value) <= set(was[column]))
                if not (column in OPTIONAL and is_less):
                    reported.append(f"{table} {key} {column}")
    return reported


def assert_no_dangling(taken: Taken) -> None:
    """Whatever got in, what it refers to got in."""
    rows = rows_of(taken)
    ids = {table: {key[0] for key in content} for table, content in rows.items()}
    for row in rows["enrollments"].values():
        assert {row["class_id"]} <= ids["classes"]
        assert {row["person_id"]} <= ids["people"]
        assert {row["school_id"]} <= ids["orgs"]
    for row in rows["classes"].values():
        assert {row["course_id"]} <= ids["courses"]
        assert {row["school_id"]} <= ids["orgs"]
        assert row["term_ids"] and set(row["term_ids"]) <= ids["academic_sessions"]
    for row in rows["people"].values():
        assert row["school_ids"] and set(row["school_ids"]) <= ids["orgs"]
    for table, column in (("orgs", "parent_id"), ("academic_sessions", "parent_id")):
        assert {row[column] for row in rows[table].values()} <= {None, *ids[table]}
    for row in rows["guardians"].values():
        assert {row["student_id"], row["guardian_id"]} <= ids["people"]


FILES = [(spec, file) for spec in SPECS for file in whole(spec) if file != "manifest.csv"]


def typed(spec: str, file: str, data: bytes) -> tuple[list[tuple[Any, ...]], Findings]:
    """The rows of one file that are not rejected, as typed values."""
    findings = Findings()
    each = FORMATS[spec].file(file)
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory(prefix="rollover-test-") as folder:
        path = Path(folder) / file
        path.write_bytes(data)
        with as_text(path) as text:
            header = read_header(text, each, FORMATS[spec], {}, findings)
            for batch in batches(text, each, FORMATS[spec], header, findings) if header else ():
                frame = clean(batch, each, FORMATS[spec], findings, delta=False).filter(~pl.col(KEPT_OUT))
                rows += [tuple(row) for row in frame.rows()]
    return rows, findings


@pytest.mark.parametrize(("spec", "file"), others_slow(FILES, 3))
def test_a_file_that_is_cut_off_at_any_byte_gives_no_other_row_or_says_so(spec: str, file: str) -> None:
    data = as_files(spec, made(spec, students=2))[file]
    clean_rows, _ = typed(spec, file, data)
    for end in range(0, len(data), cases(7, 1)):
        rows, findings = typed(spec, file, data[:end])
        reported = {f.code for f in findings.kept} & {"last_line_end", "column_missing"}
        wrong = [row for row in rows if row not in clean_rows]
        # Only the last row can be another, and only in its last field.
        assert wrong == [] or (reported and wrong == rows[-1:] and is_cut(rows[-1], clean_rows)), (
            end,
            data[:end][-40:],
        )


def is_cut(row: tuple[Any, ...], clean_rows: list[tuple[Any, ...]]) -> bool:
    """Whether it is a row of the whole file but for one value."""
    return any(sum(a != b for a, b in zip(row, clean, strict=True)) <= 1 for clean in clean_rows)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "file"), FILES)
def test_a_set_whose_file_is_cut_off_lets_nothing_wrong_in(spec: str, file: str) -> None:
    files = whole(spec)
    data = files[file]
    last = data.rindex(b"\r\n", 0, -2) + 2
    for end in (len(data.split(b"\r\n")[0]) + 3, last, last + 3, (last + len(data)) // 2, len(data) - 3):
        taken = take({**files, file: data[:end]})
        if taken.tables is None or taken.refused:
            assert taken.refused, end
            continue
        assert_no_dangling(taken)
        fixed = [("people", "birth_date")] if file == "demographics.csv" else []
        if not any(f.code == "last_line_end" for f in taken.findings.kept):
            assert foreign(taken, spec, *fixed) == [], end


def test_a_file_that_is_cut_at_every_byte_class() -> None:
    """Within a character, a quote, an escaped quote, a line end, a field, and between rows."""
    spec = "oneroster_1_1"
    files = whole(spec)
    classes, users = files["classes.csv"], files["users.csv"].replace(b"Ana", "Zoë".encode())
    files["users.csv"] = users
    character = users.rindex("ë".encode()) + 1
    quoted = classes.rindex(b'"Math') + 3
    escaped = classes.rindex(b'""') + 1
    for file, end, code in (
        ("users.csv", character, "field_count"),
        ("classes.csv", quoted, "open_quote"),
        ("classes.csv", escaped, "open_quote"),
        ("classes.csv", len(classes) - 4, "open_quote"),
        ("users.csv", users.rindex(b"\r\n", 0, -2) + 3, "field_count"),
    ):
        taken = take({**files, file: files[file][:end]})
        row = files[file][:end].count(b"\r\n") + 1
        assert (code, "error", file, row, None) in taken.found, (file, end, taken.codes)
        assert ("cut_off", "error", file, row, None) in taken.found, (file, end, taken.codes)
        assert_no_dangling(taken)
    assert take({**files, "users.csv": users[:-1]}).codes == {}, "half a line end is one"
    assert set(take({**files, "orgs.csv": files["orgs.csv"][:-2]}).codes) == {"last_line_end"}


@pytest.mark.parametrize(("spec", "file"), others_slow(FILES, 3))
def test_half_a_file(spec: str, file: str) -> None:
    files = whole(spec)
    lines = files[file].split(b"\r\n")
    files[file] = b"\r\n".join(lines[: 1 + len(lines) // 2]) + b"\r\n"
    taken = take(files)
    if taken.tables is not None and not taken.refused:
        assert foreign(taken, spec, ("people", "birth_date")) == []
        assert_no_dangling(taken)


@pytest.mark.parametrize(("spec", "file"), FILES)
def test_a_lost_file(spec: str, file: str) -> None:
    files = whole(spec)
    del files[file]
    taken = take(files)
    required = next(each.required for each in FORMATS[spec].files if each.name == file)
    if spec == "clever" and not required:
        assert taken.codes == {}
    else:
        assert ("file_missing", "error", file, None, None) in taken.found
    assert bool(taken.refused) == required


@pytest.mark.parametrize(("spec", "file"), FILES)
def test_a_file_whose_rows_are_gone(spec: str, file: str) -> None:
    files = whole(spec)
    files[file] = files[file].split(b"\r\n")[0] + b"\r\n"
    taken = take(files)
    assert "empty_file" in {f.code for f in taken.findings.kept if f.file == file}
    required = next(each.required for each in FORMATS[spec].files if each.name == file)
    assert bool(taken.refused) == required


ONEROSTER_FILES = [(spec, file) for spec, file in FILES if spec != "clever"]
# A title that is not there is blank; Clever makes courses, terms and guardians of columns: see test_clever.py.
TITLES = (("academic_sessions", "title"), ("courses", "title"), ("classes", "title"), ("orgs", "name"))


@pytest.mark.parametrize(("spec", "file"), others_slow(ONEROSTER_FILES, 3))
def test_a_lost_column(spec: str, file: str) -> None:
    rows = made(spec, students=2)
    each = FORMATS[spec].file(file)
    for column in some(each.columns, 3):
        files = as_files(spec, rows)
        files[file] = as_csv([name for name in header(spec, file) if name != column.name], rows[file])
        taken = take(files)
        needed = column.required and column.instead is None
        assert ("column_missing", "error" if needed else "warning", file, 1, column.name) in taken.found
        if taken.tables is not None and not taken.refused:
            may = [column.fills[:2]] if column.fills else []
            assert foreign(taken, spec, *may, ("people", "birth_date"), *TITLES) == [], column.name  # type: ignore[arg-type]


Change = Callable[[Rows], object]


def value(file: str, row: int, **values: str) -> Change:
    return lambda rows: rows[file][row].update(values)


# By format: what is wrong, its finding, and what it may change.
INJECTED: dict[str, tuple[str, Change, tuple[str, str, str, int | None, str | None]]] = {
    "duplicated person": (
        "oneroster_1_1",
        lambda rows: rows["users.csv"].append({**rows["users.csv"][3], "givenName": "Other"}),
        ("duplicate", "error", "users.csv", 10, "sourcedId"),
    ),
    "person of no school": (
        "oneroster_1_1",
        value("users.csv", 3, orgSourcedIds="nowhere"),
        ("reference", "error", "users.csv", 5, "orgSourcedIds"),
    ),
    "class of no course": (
        "oneroster_1_2",
        value("classes.csv", 0, courseSourcedId="nothing"),
        ("reference", "error", "classes.csv", 2, "courseSourcedId"),
    ),
    "wrong enumeration": (
        "oneroster_1_2",
        value("enrollments.csv", 4, role="pupil"),
        ("bad_value", "error", "enrollments.csv", 6, "role"),
    ),
    "wrong year": (
        "oneroster_1_1",
        value("academicSessions.csv", 1, schoolYear="2O26"),
        ("bad_year", "error", "academicSessions.csv", 3, "schoolYear"),
    ),
    "term of another year": (
        "oneroster_1_1",
        value("academicSessions.csv", 1, startDate="2024-08-15", endDate="2025-01-10"),
        ("session_year", "warning", "academicSessions.csv", 3, "schoolYear"),
    ),
    "section of no teacher": (
        "clever",
        value("sections.csv", 0, Teacher_id="nobody"),
        ("reference", "error", "sections.csv", 2, "Teacher_id"),
    ),
    "student of no school": (
        "clever",
        value("students.csv", 0, School_id="nowhere"),
        ("reference", "error", "students.csv", 2, "School_id"),
    ),
    "enrollment of nobody": (
        "clever",
        value("enrollments.csv", 0, Student_id="nobody"),
        ("reference", "error", "enrollments.csv", 2, "Student_id"),
    ),
    "section twice": (
        "clever",
        lambda rows: rows["sections.csv"].append({**rows["sections.csv"][0], "Teacher_id": "01"}),
        ("duplicate", "error", "sections.csv", 6, "Section_id"),
    ),
}


@pytest.mark.parametrize("name", INJECTED)
def test_an_injected_defect_is_found_where_it_is_and_changes_nothing_else(name: str) -> None:
    spec, change, where = INJECTED[name]
    rows = made(spec, students=3)
    change(rows)
    taken = take(as_files(spec, rows))
    assert where in taken.found
    fixed = (("academic_sessions", "start_date"), ("academic_sessions", "end_date"))
    assert foreign(taken, spec, *(fixed if where[0] == "session_year" else ())) == []
    assert_no_dangling(taken)


def damaged(spec: str) -> Iterator[tuple[str, Files]]:
    """A file of the set, with one byte after the other replaced."""
    files = whole(spec)
    for file in files:
        if file != "manifest.csv":
            for place in range(len(files[file].split(b"\r\n")[0]) + 2, len(files[file]), cases(2003, 509)):
                for byte in (b'"', b"\xff", b"\0", b"\n"):
                    data = files[file][:place] + byte + files[file][place + 1 :]
                    yield file, {**files, file: data}


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["oneroster_1_1", "clever"])
def test_a_flipped_byte_never_breaks_what_holds_together(spec: str) -> None:
    """A byte that is another letter makes another value, and no one can tell. But what gets in holds together."""
    for file, files in damaged(spec):
        taken = take(files)
        if taken.tables is not None and not taken.refused:
            assert_no_dangling(taken)
            for name in ("orgs", "people", "classes"):
                for (key,) in rows_of(taken)[name]:
                    assert not set('"\0\n\r') & set(key), (file, key)


@pytest.mark.parametrize("spec", SPECS)
def test_sets_of_two_kinds_in_one_folder(spec: str) -> None:
    other = whole("clever" if spec != "clever" else "oneroster_1_1")
    taken = take({**whole(spec), **{name: data for name, data in other.items() if name not in whole(spec)}})
    if spec == "clever":  # the other's manifest came with its files
        assert ("column_missing", "error", "enrollments.csv", 1, "sourcedId") in taken.found
        assert taken.refused == {"column_missing"}
    else:
        assert foreign(taken, spec) == []

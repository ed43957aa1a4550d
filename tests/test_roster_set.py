"""The generated set is the same every time, keeps the format's rules, and changes by the share that is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from bench.roster_files import FILES, MANIFEST
from bench.roster_set import RosterSet

STUDENTS = 5_000
REFERENCES = (
    ("orgs.csv", "parentSourcedId", "orgs.csv"),
    ("academicSessions.csv", "parentSourcedId", "academicSessions.csv"),
    ("courses.csv", "schoolYearSourcedId", "academicSessions.csv"),
    ("courses.csv", "orgSourcedId", "orgs.csv"),
    ("classes.csv", "courseSourcedId", "courses.csv"),
    ("classes.csv", "schoolSourcedId", "orgs.csv"),
    ("classes.csv", "termSourcedIds", "academicSessions.csv"),
    ("users.csv", "orgSourcedIds", "orgs.csv"),
    ("users.csv", "agentSourcedIds", "users.csv"),
    ("demographics.csv", "sourcedId", "users.csv"),
    ("enrollments.csv", "classSourcedId", "classes.csv"),
    ("enrollments.csv", "schoolSourcedId", "orgs.csv"),
    ("enrollments.csv", "userSourcedId", "users.csv"),
)

Tables = dict[str, pl.DataFrame]


def read(folder: Path) -> Tables:
    return {name: pl.read_csv(folder / name, infer_schema=False) for name in FILES}


@pytest.fixture(scope="module", params=[0.0, 0.02], ids=["first", "changed"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("set")
    rows = RosterSet(STUDENTS, request.param).write(folder)
    found = read(folder)
    assert rows == {name: frame.height for name, frame in found.items()}
    return found


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        RosterSet(800, 0.02).write(tmp_path / name)
    RosterSet(800, 0.02, seed=2).write(tmp_path / "other")
    for name in (MANIFEST, *FILES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert (tmp_path / "a" / "users.csv").read_bytes() != (tmp_path / "other" / "users.csv").read_bytes()


def test_rows_do_not_depend_on_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RosterSet(800).write(tmp_path / "a")
    monkeypatch.setattr("bench.roster_set._ranges.__kwdefaults__", {"batch": 77})
    RosterSet(800).write(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_empty_is_empty_and_lines_end_as_rfc_4180_has_it(tmp_path: Path) -> None:
    RosterSet(800).write(tmp_path)
    for name, columns in FILES.items():
        content = (tmp_path / name).read_bytes()
        assert b'""' not in content
        assert content.count(b"\n") == content.count(b"\r\n") > 1
        assert content.startswith(f"{','.join(columns)}\r\n".encode())


def test_ids_are_well_formed_unique_and_in_no_order(tables: Tables) -> None:
    for name, frame in tables.items():
        ids = frame["sourcedId"]
        assert ids.is_unique().all()
        assert all(re.fullmatch(r"[0-9A-Za-z._/@-]{1,255}", value) for value in ids)
        if name in ("users.csv", "classes.csv", "enrollments.csv"):
            assert 0.4 < (ids > ids.shift(1)).mean() < 0.6


def test_bulk_has_no_status(tables: Tables) -> None:
    for frame in tables.values():
        assert frame["status"].null_count() == frame["dateLastModified"].null_count() == frame.height


@pytest.mark.parametrize(("name", "column", "target"), REFERENCES)
def test_every_reference_resolves(tables: Tables, name: str, column: str, target: str) -> None:
    named = tables[name][column].drop_nulls().str.split(",").explode().unique()
    assert len(named)
    assert set(named) <= set(tables[target]["sourcedId"])


def test_students_and_guardians_name_each_other(tables: Tables) -> None:
    named = tables["users.csv"].select("sourcedId", "role", other=pl.col("agentSourcedIds").str.split(","))
    named = named.explode("other").drop_nulls("other")
    is_student = pl.col("role") == "student"
    forward = set(named.filter(is_student).select("sourcedId", "other").rows())
    assert forward == set(named.filter(~is_student).select("other", "sourcedId").rows())
    assert {student for student, _ in forward} == set(tables["users.csv"].filter(is_student)["sourcedId"])


def test_an_enrollment_agrees_with_its_person_and_class(tables: Tables) -> None:
    people = tables["users.csv"].select("sourcedId", person_role="role", grade="grades", home="orgSourcedIds")
    classes = tables["classes.csv"].select("sourcedId", class_school="schoolSourcedId", class_grade="grades")
    rows = tables["enrollments.csv"].join(people, left_on="userSourcedId", right_on="sourcedId")
    rows = rows.join(classes, left_on="classSourcedId", right_on="sourcedId")
    assert rows.height == tables["enrollments.csv"].height
    assert (rows["role"] == rows["person_role"]).all()
    assert (rows["schoolSourcedId"] == rows["class_school"]).all()
    assert (rows["schoolSourcedId"] == rows["home"]).all()
    assert (rows["grade"] == rows["class_grade"]).drop_nulls().all()
    assert rows.select("classSourcedId", "userSourcedId").is_unique().all()


def test_an_enrollment_lies_in_the_terms_of_its_class(tables: Tables) -> None:
    sessions = tables["academicSessions.csv"].select("sourcedId", "startDate", "endDate")
    terms = (
        tables["classes.csv"]
        .select(class_id="sourcedId", term=pl.col("termSourcedIds").str.split(","))
        .explode("term")
        .join(sessions, left_on="term", right_on="sourcedId")
        .group_by("class_id")
        .agg(begins=pl.col("startDate").min(), ends=pl.col("endDate").max())
    )
    rows = tables["enrollments.csv"].join(terms, left_on="classSourcedId", right_on="class_id")
    assert (rows["beginDate"] >= rows["begins"]).all()
    assert (rows["endDate"] <= rows["ends"]).all()
    assert (rows["beginDate"] < rows["endDate"]).all()


def test_every_class_has_one_teacher_and_students(tables: Tables) -> None:
    of_class = (
        tables["enrollments.csv"]
        .group_by("classSourcedId")
        .agg(teachers=(pl.col("role") == "teacher").sum(), students=(pl.col("role") == "student").sum())
    )
    assert of_class.height == tables["classes.csv"].height
    assert (of_class["teachers"] == 1).all()
    assert (of_class["students"] > 0).all()


def test_the_changed_set_differs_by_its_share(tmp_path: Path) -> None:
    for name, share in (("first", 0.0), ("changed", 0.02)):
        RosterSet(20_000, share).write(tmp_path / name)
    first, changed = read(tmp_path / "first"), read(tmp_path / "changed")
    differing = 0
    for name in ("users.csv", "classes.csv", "enrollments.csv", "demographics.csv"):
        added, removed, altered = _difference(first[name], changed[name])
        if name != "demographics.csv":
            assert min(added, removed, altered) > 0
        differing += added + removed + altered
    assert 0.018 < differing / sum(frame.height for frame in first.values()) < 0.022
    for name in ("orgs.csv", "academicSessions.csv", "courses.csv"):
        assert _difference(first[name], changed[name]) == (0, 0, 0)


def _difference(before: pl.DataFrame, after: pl.DataFrame) -> tuple[int, int, int]:
    """Rows added, removed and altered."""
    both = before.join(after, on="sourcedId", suffix="_after")
    others = [pl.col(name).ne_missing(pl.col(f"{name}_after")) for name in before.columns if name != "sourcedId"]
    altered = both.filter(pl.any_horizontal(others)).height
    return after.height - both.height, before.height - both.height, altered

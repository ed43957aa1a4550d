"""A rejected row changes nothing: the live record with its id stays as it is, whatever the format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rollover.config import RosterLimits
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.staged import key_columns, value_columns
from rollover.roster.validating import live_rows
from tests.roster.conftest import District
from tests.support.roster.generated_sets import DISTRICT_ORG, Row, Rows, as_files, made
from tests.support.roster.school_years import School, Town, as_oneroster

pytestmark = pytest.mark.slow

Live = dict[str, dict[Any, tuple[Any, ...]]]
SPECS = ("oneroster_1_1", "oneroster_1_2", "clever")


class Roster:
    """A district whose whole set is live."""

    def __init__(self, district: District, spec: str, change: Callable[[Rows], object] = lambda rows: None) -> None:
        """`change` is made to the set before it goes live."""
        self.district, self.spec = district, spec
        # A few rows are much of so small a set. That much in error is looked at has tests of its own.
        district.limits = RosterLimits(rows_kept_out=1, without_enrollment=1)
        self.rows = made(spec)
        change(self.rows)
        assert self.send(self.rows)["details"]["errors"] == {}
        self.before = self.live()

    def send(self, rows: Rows, damage: Callable[[dict[str, bytes]], object] = lambda files: None) -> dict[str, Any]:
        """A full set that goes live; `damage` does to its files what no CSV writer would."""
        files = as_files(self.spec, rows)
        damage(files)
        taken = self.district.take(files)
        assert taken["state"] == "ready", taken
        assert self.district.apply(taken["import_id"])["applied"] is True
        return taken

    def live(self) -> Live:
        """The active rows by table and key."""
        found: Live = {}
        for table in ROSTER_TABLES:
            names = value_columns(table)
            keys = [names.index(key) for key in key_columns(table)]
            columns = ", ".join(f'"{name}"' for name in names)
            rows = self.district.rows(f"SELECT {columns} FROM {table.fullname} WHERE status = 'active'")
            found[table.name] = {tuple(row[place] for place in keys): row for row in rows}
        return found

    def changed(self) -> dict[str, set[Any]]:
        """The keys of rows that are not as they were, by table."""
        now = self.live()
        both = {name: {*now[name], *self.before[name]} for name in now}
        changed = {
            name: {k for k in keys if now[name].get(k) != self.before[name].get(k)} for name, keys in both.items()
        }
        return {name: keys for name, keys in changed.items() if keys}

    def copy(self) -> Rows:
        return {file: [dict(row) for row in rows] for file, rows in self.rows.items()}


def of(rows: Rows, file: str, **values: str) -> Row:
    """The row of a file that has these values."""
    return next(row for row in rows[file] if all(row[name] == value for name, value in values.items()))


@pytest.fixture(params=SPECS)
def roster(request: pytest.FixtureRequest, district: District) -> Roster:
    return Roster(district, request.param)


def rows_of_student(roster: Roster, rows: Rows, number: int) -> list[Row]:
    """In Clever one for each contact."""
    if roster.spec == "clever":
        return [row for row in rows["students.csv"] if row["Student_id"] == f"{number:03d}"]
    return [of(rows, "users.csv", sourcedId=f"student-{number}")]


def family_name(roster: Roster) -> str:
    return "Last_name" if roster.spec == "clever" else "familyName"


def with_comma(rows: Rows, file: str, row: Row, name: str) -> Callable[[dict[str, bytes]], None]:
    """A value with a comma, and nobody who quotes it."""
    row[name] = "Smith!Jr"
    row[list(row)[-1]] = "x"  # with nothing in the last column, the row would have as many fields as the others

    def damage(files: dict[str, bytes]) -> None:
        files[file] = files[file].replace(b"Smith!Jr", b"Smith,Jr")

    return damage


def test_a_student_whose_row_is_in_error_stays_with_everything(roster: Roster) -> None:
    """Blank, or with a comma that nobody quoted: who is enrolled and whose guardians they are stays too."""
    rows = roster.copy()
    file = "students.csv" if roster.spec == "clever" else "users.csv"
    for row in rows_of_student(roster, rows, 1):
        row[family_name(roster)] = ""
    damage = with_comma(rows, file, rows_of_student(roster, rows, 2)[0], family_name(roster))
    taken = roster.send(rows, damage)
    assert taken["details"]["errors"]["field_count"] == 1 and taken["details"]["errors"]["value_missing"] >= 1
    assert taken["details"]["errors"]["depends_on_rejected"] >= 2
    assert roster.changed() == {}
    assert (
        taken["details"]["validation"]["kept_live"]["people"] >= 2 and taken["details"]["validation"]["unnamed"] == {}
    )


def test_a_class_whose_row_is_in_error_stays_with_its_enrollments(roster: Roster) -> None:
    rows = roster.copy()
    if roster.spec == "clever":
        of(rows, "sections.csv", Section_id="0.Fall")["Teacher_id"] = ""
        gone = of(rows, "sections.csv", Section_id="1.Fall")
    else:
        of(rows, "classes.csv", sourcedId="class-0-fall")["courseSourcedId"] = "nowhere"
        gone = of(rows, "classes.csv", sourcedId="class-1-fall")
    class_id = gone.get("Section_id") or gone["sourcedId"]
    for file, content in rows.items():
        rows[file] = [row for row in content if class_id not in row.values()]
    roster.send(rows)
    changed = roster.changed()
    assert changed["classes"] == {(class_id,)}, "a class that is not in the set has gone"
    assert set(changed) == {"classes", "enrollments"}
    left = roster.live()["enrollments"]
    place = value_columns(ROSTER_TABLES[-1]).index("class_id")
    kept = "0.Fall" if roster.spec == "clever" else "class-0-fall"
    assert sum(row[place] == kept for row in left.values()) == 7
    assert not any(row[place] == class_id for row in left.values())


def test_who_is_not_in_the_next_good_set_has_left(roster: Roster) -> None:
    rows = roster.copy()
    for row in rows_of_student(roster, rows, 3):
        row[family_name(roster)] = ""
    roster.send(rows)
    assert roster.changed() == {}
    person = "003" if roster.spec == "clever" else "student-3"
    rows = {file: [row for row in content if person not in row.values()] for file, content in roster.copy().items()}
    for row in rows.get("users.csv", ()):
        row["agentSourcedIds"] = ",".join(item for item in row["agentSourcedIds"].split(",") if item != person)
    assert roster.send(rows)["details"]["errors"] == {}
    assert (person,) in roster.changed()["people"]
    assert (person,) not in roster.live()["people"]
    assert not any(person in key for key in roster.live()["guardians"])


def without_people(roster: Roster, rows: Rows, *numbers: int) -> None:
    """Students who have left: nothing in the set names them."""
    for number in numbers:
        person = f"{number:03d}" if roster.spec == "clever" else f"student-{number}"
        for file, content in rows.items():
            rows[file] = [row for row in content if person not in row.values()]
        for row in rows.get("users.csv", ()):
            row["agentSourcedIds"] = ",".join(item for item in row["agentSourcedIds"].split(",") if item != person)


def test_while_nobody_can_tell_whom_a_row_is_about_nobody_leaves(roster: Roster) -> None:
    rows = roster.copy()
    without_people(roster, rows, 3)
    for row in rows_of_student(roster, rows, 4):
        row["Student_id" if roster.spec == "clever" else "sourcedId"] = ""
    taken = roster.send(rows)
    people = roster.live()["people"]
    assert people == roster.before["people"]
    assert set(taken["details"]["validation"]["unnamed"]) >= {
        "students.csv" if roster.spec == "clever" else "users.csv"
    }
    # Whoever was enrolled, and is not any more, is not: each file is judged for itself.
    enrolled = {key for (key,) in roster.before["enrollments"].keys() - roster.live()["enrollments"].keys()}
    assert enrolled and all("3" in key or "003" in key for key in enrolled)
    rows = roster.copy()
    without_people(roster, rows, 3)
    assert roster.send(rows)["details"]["validation"]["kept_live"] == {}
    assert len(roster.live()["people"]) < len(people)


# Damage that leaves no identity, or one that cannot be trusted; and damage behind it.
DAMAGED: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "a quote that is never closed, behind": (
        lambda line: line.replace(b",student-2.login,", b',"student-2.login,'),
        True,
    ),
    "a quote that is never closed, before": (lambda line: b'"' + line, False),
    "cut off": (lambda line: line[: line.index(b",") + 9], False),
    "cut off in the identity": (lambda line: line[:7], False),
    "one field more": (lambda line: line + b",more", True),
    "no character in the identity": (lambda line: b"\xff" + line, False),
    "no character behind": (lambda line: line.replace(b"student-2.login", b"student\xff"), True),
    "a control character in the identity": (lambda line: b"\x01" + line, False),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_an_identity_is_taken_only_where_it_is_certain(district: District, damage: str) -> None:
    """Else all stay. Either way the student whose row it was stays, with everything."""
    how, is_certain = DAMAGED[damage]
    roster = Roster(district, "oneroster_1_1")
    rows = roster.copy()
    without_people(roster, rows, 3)

    def spoil(files: dict[str, bytes]) -> None:
        lines = files["users.csv"].split(b"\r\n")
        (place,) = [n for n, line in enumerate(lines) if line.startswith(b"student-2,")]
        lines[place] = how(lines[place])
        files["users.csv"] = b"\r\n".join(lines)

    taken = roster.send(rows, spoil)
    live = roster.live()
    assert live["people"][("student-2",)] == roster.before["people"][("student-2",)]
    assert {key for key in roster.before["guardians"] if "student-2" in key} <= set(live["guardians"])
    assert taken["details"]["validation"]["unnamed"] == ({} if is_certain else {"users.csv": 1})
    assert (("student-3",) in live["people"]) is not is_certain


def in_the_district_too(rows: Rows) -> None:
    for row in rows["users.csv"]:
        row["orgSourcedIds"] = f"springfield-district,{row['orgSourcedIds']}"


@pytest.mark.parametrize(
    ("spec", "change"), [("oneroster_1_1", in_the_district_too), ("oneroster_1_2", lambda rows: 0)]
)
def test_a_school_whose_row_is_in_error_keeps_its_people_and_classes(
    district: District, spec: str, change: Callable[[Rows], object]
) -> None:
    roster = Roster(district, spec, change)
    rows = roster.copy()
    of(rows, "orgs.csv", sourcedId="school-1")["type"] = "?"
    assert "optional_reference" in roster.send(rows)["details"]["warnings"]
    assert roster.changed() == {}


def test_a_session_whose_row_is_in_error_stays_and_is_referred_to(district: District) -> None:
    roster = Roster(district, "oneroster_1_1")
    rows = roster.copy()
    of(rows, "academicSessions.csv", sourcedId="y26")["endDate"] = "soon"
    roster.send(rows)
    assert roster.changed() == {}


def test_a_birth_date_stays_if_its_row_is_rejected(district: District) -> None:
    roster = Roster(district, "oneroster_1_1")
    rows = roster.copy()

    def damage(files: dict[str, bytes]) -> None:
        lines = files["demographics.csv"].split(b"\r\n")
        files["demographics.csv"] = b"\r\n".join([*lines[:3], lines[3] + b",more", *lines[4:]])

    assert roster.send(rows, damage)["details"]["validation"]["unnamed"] == {"demographics.csv": 1}
    assert roster.changed() == {}


def test_a_role_in_error_takes_neither_a_person_nor_a_school(district: District) -> None:
    def at_two_schools(rows: Rows) -> None:
        role = of(rows, "roles.csv", sourcedId="role-teacher-0")
        second = {"sourcedId": "r9", "roleType": "secondary", "role": "aide", "orgSourcedId": "school-1"}
        rows["roles.csv"].append(role | second)

    roster = Roster(district, "oneroster_1_2", at_two_schools)
    rows = roster.copy()
    of(rows, "roles.csv", sourcedId="role-teacher-0")["role"] = "pupil"
    of(rows, "roles.csv", sourcedId="role-student-2")["role"] = "pupil"
    roster.send(rows)
    assert roster.changed() == {}


def test_a_teacher_whose_row_is_in_error_keeps_classes_and_schools(district: District) -> None:
    roster = Roster(district, "clever")
    rows = roster.copy()
    for row in rows["teachers.csv"][:1]:
        row["Last_name"] = ""
    roster.send(rows)
    assert roster.changed() == {}


def test_a_rejected_new_row_adds_nothing(roster: Roster) -> None:
    rows = roster.copy()
    file = "students.csv" if roster.spec == "clever" else "users.csv"
    identity = "Student_id" if roster.spec == "clever" else "sourcedId"
    new = {**rows_of_student(roster, rows, 2)[0], identity: "new", family_name(roster): ""}
    rows[file].append(new)
    taken = roster.send(rows)
    assert roster.changed() == {} and taken["details"]["validation"]["kept_live"] == {}


def test_a_row_that_is_longer_than_any_may_be_about_each_enrollment(district: District) -> None:
    roster = Roster(district, "oneroster_1_1")
    rows = roster.copy()
    rows["enrollments.csv"].remove(of(rows, "enrollments.csv", sourcedId="student-3-fall"))

    def damage(files: dict[str, bytes]) -> None:
        lines = files["enrollments.csv"].split(b"\r\n")
        files["enrollments.csv"] = b"\r\n".join([*lines[:8], lines[8] + b"x" * 2**21, *lines[9:]])

    taken = roster.send(rows, damage)
    assert taken["details"]["validation"]["unnamed"] == {"enrollments.csv": 1}
    assert roster.changed() == {}


def test_a_new_year_with_rows_in_error_ends_right(district: District) -> None:
    """Classes have other ids. Of last year only the people stay whose rows are in error, as they were; and where nobody
    can tell who an enrollment is about, last year's are over all the same."""
    ash = School("ash", "KG", "03", 12, feeds="bay")
    old = Town.in_full((ash, School("bay", "04", "06", 12)))
    roster = Roster.__new__(Roster)
    roster.district = district
    district.limits = RosterLimits(rows_kept_out=1, without_enrollment=1)
    first = district.take(as_oneroster(old, DISTRICT_ORG))
    assert district.apply(first["import_id"])["applied"] is True
    before = roster.live()
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    new = old.next_year()
    student, comer = new.students("ash", "02")[0], new.students("ash", "KG")[0]
    good = new.copy()
    files = as_oneroster(new, DISTRICT_ORG)
    lines = files["users.csv"].split(b"\r\n")
    for n, line in enumerate(lines):
        if line.startswith((f"{student},".encode(), f"{comer},".encode())):
            lines[n] = line.replace(b",student,", b",pupil,")
    files["users.csv"] = b"\r\n".join(lines)
    lines = files["classes.csv"].split(b"\r\n")
    files["classes.csv"] = b"\r\n".join([*lines[:1], lines[1].replace(b",math-", b",gone-"), *lines[2:]])
    lines = files["enrollments.csv"].split(b"\r\n")
    files["enrollments.csv"] = b"\r\n".join([lines[0], b"," + lines[1].partition(b",")[2], *lines[2:]])
    taken = district.take(files)
    assert taken["state"] == "ready", taken
    assert taken["details"]["validation"]["unnamed"] == {"enrollments.csv": 1}
    assert district.apply(taken["import_id"])["applied"] is True
    live = roster.live()
    expected = {(row["sourced_id"],) for row in good.rows()["people"]} - {(comer,)}
    assert set(live["people"]) == expected
    assert live["people"][(student,)] == before["people"][(student,)]
    assert live["people"][(new.students("ash", "02")[1],)] != before["people"][(new.students("ash", "02")[1],)]
    assert [key for key in live["guardians"] if student in key] == [
        key for key in before["guardians"] if student in key
    ]
    assert not set(live["classes"]) & set(before["classes"]) and len(live["classes"]) == 6
    assert not set(live["enrollments"]) & set(before["enrollments"])
    assert not any(student in key for (key,) in live["enrollments"])


def test_a_new_year_of_sections_that_keep_their_ids_ends_right(district: District) -> None:
    """A section in error is not the one of last year: that one is over, with its term."""
    roster = Roster(district, "clever", lambda rows: keep_students(rows, 8))
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    rows = roster.copy()
    for row in rows["sections.csv"]:
        for name in ("Term_start", "Term_end"):
            row[name] = row[name].replace("2026", "2027").replace("2025", "2026")
    of(rows, "sections.csv", Section_id="0.Fall")["Teacher_id"] = ""
    rows["sections.csv"].append({**rows["sections.csv"][1], "Section_id": ""})
    for row in rows_of_student(roster, rows, 2):
        row["Last_name"] = ""
    taken = roster.send(rows)
    assert taken["details"]["validation"]["unnamed"] == {"sections.csv": 1}
    live = roster.live()
    assert set(live["classes"]) == {("0.Spring",), ("1.Fall",), ("1.Spring",)}
    assert all(row[-1] == "2026-27" for row in live["academic_sessions"].values())
    assert live["people"] == roster.before["people"] and live["guardians"] == roster.before["guardians"]
    class_id = value_columns(ROSTER_TABLES[-1]).index("class_id")
    assert {row[class_id] for row in live["enrollments"].values()} == {"0.Spring", "1.Fall", "1.Spring"}


def keep_students(rows: Rows, count: int) -> None:
    """So few that no limit is reached."""
    for file in ("students.csv", "enrollments.csv"):
        rows[file] = [row for row in rows[file] if int(row["Student_id"]) < count]


def test_a_row_that_is_there_twice_loads_nothing(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rejected, and about somebody who is in the set."""
    roster = Roster(district, "oneroster_1_1")
    rows = roster.copy()
    rows["users.csv"].append(dict(rows["users.csv"][3]))

    def load(*_: object) -> None:
        raise AssertionError("nothing is to be kept")

    monkeypatch.setattr(live_rows, "_load_whole", load)
    assert roster.send(rows)["details"]["warnings"] == {"repeated": 1}
    assert roster.changed() == {}

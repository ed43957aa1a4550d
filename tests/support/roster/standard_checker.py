"""A second opinion: the defects of a set, found by plain Python from the standards' tables, without any of the product.

It is slow and holds everything in memory; it exists to be compared with. A defect is (file, row, column, kind), where
the header is row 1.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

STANDARD: dict[str, Any] = json.loads((Path(__file__).parent / "formats.json").read_text())
Defect = tuple[str, int | None, str | None, str]
Row = dict[str, str]

READ = {
    "oneroster": (
        *("orgs.csv", "academicSessions.csv", "courses.csv", "classes.csv", "users.csv", "roles.csv"),
        *("demographics.csv", "enrollments.csv"),
    ),
    "clever": ("schools.csv", "teachers.csv", "staff.csv", "students.csv", "sections.csv", "enrollments.csv"),
}
OPTIONAL = {"demographics.csv", "staff.csv"}
IDENTITY = {"schools.csv": "School_id", "sections.csv": "Section_id"}
PEOPLE = {"teachers.csv": "Teacher_id", "students.csv": "Student_id", "staff.csv": "Staff_id"}
# A row can be without these, though the standards ask for them.
HARMLESS = {
    *(("orgs.csv", "name"), ("academicSessions.csv", "title"), ("courses.csv", "title"), ("classes.csv", "title")),
    *(("classes.csv", "classType"), ("users.csv", "enabledUser"), ("roles.csv", "roleType")),
    *(("schools.csv", "School_name"), ("schools.csv", "School_number"), ("staff.csv", "Staff_email")),
}
EXTENSIBLE = {"classType", "role", "type", "sex"}
GRADES = {"IT", "PR", "PK", "TK", "KG", *(f"{n:02d}" for n in range(1, 14)), "PS", "UG", "Other"}
CLEVER_GRADES = {
    *(str(n) for n in range(14)),
    *("kindergarten", "prekindergarten", "transitionalkindergarten", "postgraduate", "preschool", "infanttoddler"),
    *("ungraded", "other"),
}
GUARDIANS = {"guardian", "parent", "relative"}
TEACHERS = ("Teacher_id", *(f"Teacher_{n}_id" for n in range(2, 11)))


def check(files: dict[str, bytes]) -> set[Defect]:
    """The defects of a whole set: OneRoster 1.1 or 1.2 in full, by its manifest, or Clever."""
    checker = _Clever(files) if "manifest.csv" not in files else _OneRoster(files)
    checker.run()
    return checker.defects


class _Checker:
    spec: str
    family: str

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.defects: set[Defect] = set()
        self.rows: dict[str, dict[int, Row]] = {}
        self.odd: dict[str, dict[int, Row]] = defaultdict(dict)
        self.out: dict[str, set[int]] = defaultdict(set)
        self.again: dict[str, set[int]] = defaultdict(set)
        self.ids: dict[str, set[str]] = {}

    def add(self, file: str, row: int | None, column: str | None, kind: str, *, out: bool = False) -> None:
        self.defects.add((file, row, column, kind))
        if out and row is not None:
            self.out[file].add(row)

    @property
    def standard(self) -> Any:
        return STANDARD[self.spec]

    def read_names(self) -> list[str]:
        return [name for name in READ[self.family] if name in self.standard["files"]]

    def required(self, file: str) -> list[str]:
        return [name for name, required, _ in self.standard["files"][file] if required == "yes"]

    def refused(self) -> bool:
        return any(kind in ("missing file", "empty file", "missing column!") for *_, kind in self.defects)

    def accepted(self, file: str) -> dict[int, Row]:
        return {n: row for n, row in self.rows.get(file, {}).items() if n not in self.out[file]}

    # Files and headers

    def read(self, file: str) -> None:
        records = list(csv.reader(io.StringIO(self.files[file].decode("utf-8-sig"), newline="")))
        names = records[0]
        self.judge_header(file, names)
        self.rows[file] = {}
        for n, fields in enumerate(records[1:], start=2):
            if not any(value.strip() for value in fields):
                continue
            row = {name: value.strip() for name, value in zip(names, fields, strict=False)}
            if len(fields) != len(names):
                self.add(file, n, None, "number of fields", out=True)
                self.odd[file][n] = row
            else:
                self.rows[file][n] = row
        if not self.rows[file] and not self.odd[file]:
            self.add(file, None, None, "empty file")

    def judge_header(self, file: str, names: list[str]) -> None:
        known = [name for name, _, _ in self.standard["files"][file]]
        for name in known:
            if name in names:
                continue
            needed = name in self.required(file) and (file, name) not in HARMLESS
            if name in self.required(file) or self.family == "oneroster":
                self.add(file, 1, name, "missing column!" if needed and file not in OPTIONAL else "missing column")
        own = "metadata." if self.family == "oneroster" else "ext."
        if any(name not in known and not name.startswith(own) for name in names):
            self.add(file, 1, None, "unknown column")
        there = [known.index(name) for name in names if name in known]
        if self.family == "oneroster" and there != sorted(there):
            self.add(file, 1, None, "column order")

    # References and identities

    def identity(self, file: str) -> str:
        return IDENTITY.get(file) or PEOPLE.get(file) or "sourcedId"

    def remember(self, file: str) -> None:
        name = self.identity(file)
        self.ids[file] = {row[name] for row in self.accepted(file).values() if row.get(name)}

    def check_duplicates(self, file: str) -> None:
        seen: set[str] = set()
        for n, row in self.accepted(file).items():
            value = row[self.identity(file)]
            if value in seen:
                self.add(file, n, self.identity(file), "identity twice", out=True)
                self.again[file].add(n)
            seen.add(value)

    def check_references(self, file: str, *, own: bool, again: bool = False) -> None:
        """`own` says whether to check references to the file itself, or to others; `again`, only those of rows that
        are not in error yet."""
        targets = self.standard["refs"].get(file, {})
        for column, target in targets.items():
            if (target == file) is not own or target not in self.ids:
                continue
            is_list = any(name == column and "List" in form for name, _, form in self.standard["files"][file])
            needed = column in self.required(file)
            for n, row in self.accepted(file).items() if again else self.rows[file].items():
                value = row.get(column, "") if n not in self.again[file] else ""
                items = [item.strip() for item in value.split(",")] if is_list else [value]
                lost = [item for item in items if item and item not in self.ids[target]]
                if lost:
                    all_lost = len(lost) == len([item for item in items if item])
                    self.add(file, n, column, "dangling reference", out=needed and all_lost)
                    kept = [item for item in items if item and item not in lost]
                    row[column] = ",".join(kept)

    # Values

    def check_date(self, file: str, n: int, column: str, value: str, *, needed: bool) -> None:
        pattern = r"(\d{1,2})/(\d{1,2})/(\d{4})" if self.family == "clever" else r"(\d{4})-(\d\d)-(\d\d)"
        found = re.fullmatch(pattern, value)
        if found and _as_date(found.groups()):
            return
        self.add(file, n, column, "date", out=needed and understood_date(value) is None)

    def date_of(self, value: str) -> date | None:
        return understood_date(value)


def _as_date(parts: tuple[str, ...]) -> date | None:
    year, month, day = parts if len(parts[0]) == 4 else (parts[2], parts[0], parts[1])
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found if 1900 <= found.year <= 2199 else None


def understood_date(value: str) -> date | None:
    """What a date of any known spelling means."""
    value = re.sub(r"[T ]00:00:00(\.0+)?Z?$", "", value)
    for pattern in (r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", r"(\d{1,2})/(\d{1,2})/(\d{4})"):
        if found := re.fullmatch(pattern, value):
            return _as_date(found.groups())
    if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d\d)", value):
        month, day, year = found.groups()
        return _as_date((f"{'19' if int(year) > 68 else '20'}{year}", month, day))
    return None


class _OneRoster(_Checker):
    family = "oneroster"

    def run(self) -> None:
        if not self.check_manifest():
            return
        names = self.read_names()
        for file in names:
            if file in self.files:
                self.read(file)
        if self.refused():
            return
        for file in names:
            self.check_values(file)
        for file in names:
            if file not in self.rows:
                continue
            self.check_duplicates(file)
            self.check_references(file, own=False)
            self.check_sessions(file)
            self.remember(file)
            self.check_references(file, own=True)
            if file == "roles.csv":
                self.check_roles()
        self.check_meanings()

    # Manifest

    def check_manifest(self) -> bool:
        records = list(csv.reader(io.StringIO(self.files["manifest.csv"].decode())))
        said = {record[0]: record[1] for record in records if len(record) > 1}
        self.spec = f"oneroster_{said.get('oneroster.version', '').replace('.', '_')}"
        if self.spec not in STANDARD:
            self.add("manifest.csv", None, None, "version")
            return False
        if said.get("manifest.version") != "1.0":
            self.add("manifest.csv", None, None, "manifest version")
        names = self.read_names()
        for file in self.standard["files"]:
            mode = said.get(f"file.{file.removesuffix('.csv')}")
            if mode is None:
                self.add("manifest.csv", None, None, "file not named")
            there = file in self.files
            if mode == "bulk" and not there:
                self.add(file, None, None, "missing file" if file in names and file not in OPTIONAL else "file lost")
            elif mode != "bulk" and there:
                self.add(file, None, None, "file not in manifest")
                if file in names and file not in OPTIONAL:
                    self.add(file, None, None, "missing file")
                del self.files[file]
            elif mode == "absent" and file in names and file not in OPTIONAL:
                self.add(file, None, None, "missing file")
        return not self.refused()

    # Values

    def check_values(self, file: str) -> None:
        enums = self.standard["enums"].get(file, {})
        for n, row in list(self.rows.get(file, {}).items()):
            for column in ("status", "dateLastModified"):
                if row.get(column):
                    self.add(file, n, column, "filled in a full set")
            if row.get("status", "").lower() == "tobedeleted":
                del self.rows[file][n]
                continue
            for name, required, form in self.standard["files"][file]:
                value = row.get(name, "")
                needed = required == "yes" and (file, name) not in HARMLESS
                if required == "yes" and name in row and not value.strip(", "):
                    self.add(file, n, name, "missing value", out=needed)
                elif value and name not in ("status", "dateLastModified"):
                    self.check_value(file, n, name, value, form, enums.get(name), needed=needed)

    def check_value(
        self, file: str, n: int, name: str, value: str, form: str, enum: list[str] | None, *, needed: bool
    ) -> None:
        if form == "GUID":
            self.check_identity_form(file, n, name, value)
        elif form == "Date":
            self.check_date(file, n, name, value, needed=needed)
        elif form == "Year":
            if not re.fullmatch(r"(19|20|21)\d\d", value):
                self.add(file, n, name, "year", out=re.fullmatch(r"20(\d\d)-(20)?\d\d", value) is None)
        elif name == "grades":
            self.check_grades(file, n, name, value)
        elif enum and value not in enum and not (name in EXTENSIBLE and value.startswith("ext:")):
            words = {word.lower() for word in enum}
            booleans = {"yes", "no", "y", "n", "t", "f", "1", "0"} if "true" in words else set()
            self.add(file, n, name, "enumeration", out=needed and value.lower() not in words | booleans)

    def check_identity_form(self, file: str, n: int, name: str, value: str) -> None:
        if len(value) > 255:
            self.add(file, n, name, "identity form", out=True)
        if not re.fullmatch(r"[0-9A-Za-z._/@-]+", value):
            self.add(file, n, name, "identity form", out=re.search(r'[\x00-\x1f"]', value) is not None)

    def check_grades(self, file: str, n: int, name: str, value: str) -> None:
        grades = [grade.strip() for grade in value.split(",")]
        if file == "users.csv" and len(grades) > 1:
            self.add(file, n, name, "grades")
            grades = grades[:1]
        if any(grade not in GRADES for grade in grades):
            self.add(file, n, name, "grades")

    # Rows against rows

    def check_sessions(self, file: str) -> None:
        if file != "academicSessions.csv":
            return
        for n, row in self.accepted(file).items():
            starts, ends = self.date_of(row["startDate"]), self.date_of(row["endDate"])
            assert starts and ends
            if ends <= starts:
                self.add(file, n, "endDate", "order of dates", out=True)

    def check_roles(self) -> None:
        roles = list(self.accepted("roles.csv").items())
        with_role = {row["userSourcedId"] for _, row in roles}
        for n, row in self.accepted("users.csv").items():
            if row["sourcedId"] not in with_role:
                self.add("users.csv", n, "sourcedId", "no role", out=True)
        self.remember("users.csv")
        self.check_references("users.csv", own=True, again=True)
        primary: set[tuple[str, str]] = set()
        first: dict[str, int] = {}
        with_primary = set()
        for n, row in roles:
            place = (row["userSourcedId"], row["orgSourcedId"])
            first.setdefault(row["userSourcedId"], n)
            if row.get("roleType", "").lower() != "secondary":
                with_primary.add(row["userSourcedId"])
                if place in primary:
                    self.add("roles.csv", n, "roleType", "primary role twice")
                primary.add(place)
        for person, n in first.items():
            if person not in with_primary:
                self.add("roles.csv", n, "roleType", "no primary role")
        places = {(row["userSourcedId"], row["orgSourcedId"]) for _, row in roles}
        for n, row in self.accepted("users.csv").items():
            org = row.get("primaryOrgSourcedId")
            if org and (row["sourcedId"], org) not in places:
                self.add("users.csv", n, "primaryOrgSourcedId", "no role at the primary org")

    def check_meanings(self) -> None:
        sessions = {row["sourcedId"]: row for row in self.accepted("academicSessions.csv").values()}
        self.check_session_meanings(sessions)
        for n, row in self.accepted("courses.csv").items():
            session = sessions.get(row.get("schoolYearSourcedId", ""))
            if session and session["type"].lower() != "schoolyear":
                self.add("courses.csv", n, "schoolYearSourcedId", "course year")
        people = self.roles_of_people()
        self.check_agents(people)
        self.check_enrollments(sessions, people)

    def check_session_meanings(self, sessions: dict[str, Row]) -> None:
        for n, row in self.accepted("academicSessions.csv").items():
            starts, ends = self.date_of(row["startDate"]), self.date_of(row["endDate"])
            assert starts and ends
            written = re.fullmatch(r"(\d{4})(?:-(?:\d\d)?(\d\d))?", row["schoolYear"])
            assert written
            over = int(written.group(1)) + (1 if written.group(2) else 0)
            if starts < date(over - 1, 5, 1) or ends > date(over, 10, 1):
                self.add("academicSessions.csv", n, "schoolYear", "session year")
            parent = sessions.get(row.get("parentSourcedId", ""))
            if parent:
                parent_starts, parent_ends = self.date_of(parent["startDate"]), self.date_of(parent["endDate"])
                assert parent_starts and parent_ends
                if starts < parent_starts or ends > parent_ends:
                    self.add("academicSessions.csv", n, "parentSourcedId", "session outside its parent")

    def roles_of_people(self) -> dict[str, set[str]]:
        """All roles of each person; in 1.1 there is one."""
        roles: dict[str, set[str]] = defaultdict(set)
        users = self.accepted("users.csv").values()
        if "roles.csv" not in self.rows:
            for row in users:
                roles[row["sourcedId"]].add(_as_spelled(row["role"], self.standard["enums"]["users.csv"]["role"]))
            return roles
        for row in self.accepted("roles.csv").values():
            roles[row["userSourcedId"]].add(_as_spelled(row["role"], self.standard["enums"]["roles.csv"]["role"]))
        return {row["sourcedId"]: roles[row["sourcedId"]] for row in users}

    def main_role(self, person: str, roles: dict[str, set[str]]) -> str:
        """Of several roles the one that comes first: primary ones first, then those at the primary org."""
        if len(roles[person]) == 1:
            return next(iter(roles[person]))
        user = next(row for row in self.accepted("users.csv").values() if row["sourcedId"] == person)
        held = [(n, row) for n, row in self.accepted("roles.csv").items() if row["userSourcedId"] == person]
        org = user.get("primaryOrgSourcedId") or None

        def rank(each: tuple[int, Row]) -> tuple[bool, bool, int]:
            n, row = each
            return (row.get("roleType", "").lower() == "secondary", row["orgSourcedId"] != org, n)

        return _as_spelled(min(held, key=rank)[1]["role"], self.standard["enums"]["roles.csv"]["role"])

    def check_agents(self, roles: dict[str, set[str]]) -> None:
        for n, row in self.accepted("users.csv").items():
            is_student = self.main_role(row["sourcedId"], roles) == "student"
            agents = [agent.strip() for agent in row.get("agentSourcedIds", "").split(",") if agent.strip()]
            if any((self.main_role(agent, roles) == "student") == is_student for agent in agents if agent in roles):
                self.add("users.csv", n, "agentSourcedIds", "agent role")

    def check_enrollments(self, sessions: dict[str, Row], people: dict[str, set[str]]) -> None:
        classes = {row["sourcedId"]: row for row in self.accepted("classes.csv").values()}
        led: set[str] = set()
        for n, row in self.accepted("enrollments.csv").items():
            role = _as_spelled(row["role"], self.standard["enums"]["enrollments.csv"]["role"])
            into = classes[row["classSourcedId"]]
            # 1.2.1 allows it, and its manifest is that of 1.2.
            if self.spec == "oneroster_1_1" and not any(
                _agree(role, theirs) for theirs in people[row["userSourcedId"]]
            ):
                self.add("enrollments.csv", n, "role", "enrollment role")
            if row["schoolSourcedId"] != into["schoolSourcedId"]:
                self.add("enrollments.csv", n, "schoolSourcedId", "enrollment school")
            if row.get("primary", "").lower() in ("true", "yes", "1", "t", "y"):
                if role != "teacher":
                    self.add("enrollments.csv", n, "primary", "primary student")
                elif row["classSourcedId"] in led:
                    self.add("enrollments.csv", n, "primary", "primary twice")
                if role == "teacher":
                    led.add(row["classSourcedId"])
            terms = [sessions[term.strip()] for term in into["termSourcedIds"].split(",")]
            self.check_dates(n, row, terms)

    def check_dates(self, n: int, row: Row, terms: list[Row]) -> None:
        begins, ends = self.date_of(row.get("beginDate", "")), self.date_of(row.get("endDate", ""))
        term_starts = min(found for term in terms if (found := self.date_of(term["startDate"])))
        term_ends = max(found for term in terms if (found := self.date_of(term["endDate"])))
        if begins and not term_starts <= begins < term_ends:
            self.add("enrollments.csv", n, "beginDate", "outside the term")
        if ends and not term_starts < ends <= term_ends:
            self.add("enrollments.csv", n, "endDate", "outside the term")
        if begins and ends and ends < begins:
            self.add("enrollments.csv", n, "endDate", "order of dates")


def _as_spelled(value: str, words: list[str]) -> str:
    return next((word for word in words if word.lower() == value.lower()), value)


def _agree(enrolled: str, role: str) -> bool:
    """Whether a person with this role may be enrolled so."""
    if (enrolled == "student") != (role == "student") or role in GUARDIANS:
        return False
    role = "administrator" if role.endswith("Administrator") or role == "principal" else role
    said = {"administrator", "proctor", "teacher"}
    return role == enrolled or role not in said or enrolled not in said


class _Clever(_Checker):
    family = "clever"
    spec = "clever"

    def run(self) -> None:
        for file in self.read_names():
            if file in self.files:
                self.read(file)
            elif file not in OPTIONAL:
                self.add(file, None, None, "missing file")
        if self.refused():
            return
        for file in self.read_names():
            if file not in self.rows:
                continue
            self.check_values(file)
            if file in IDENTITY:
                self.check_duplicates(file)
            self.check_references(file, own=False)
            self.check_terms(file)
            self.check_repeated(file)
            if file != "enrollments.csv":
                self.remember(file)
        self.check_schools()

    def check_values(self, file: str) -> None:
        for n, row in self.rows[file].items():
            for name, required, form in self.standard["files"][file]:
                value = row.get(name, "")
                needed = required == "yes" and (file, name) not in HARMLESS
                if required == "yes" and name in row and not value:
                    self.add(file, n, name, "missing value", out=needed)
                elif value and form == "Date":
                    self.check_date(file, n, name, value, needed=False)
                elif value and form == "Grade" and not self.is_grade(value):
                    self.add(file, n, name, "grades")
                elif value and name == self.identity(file) and len(value) > 255:
                    self.add(file, n, name, "identity form", out=True)

    @staticmethod
    def is_grade(value: str) -> bool:
        return value.replace(" ", "").lower() in CLEVER_GRADES

    def check_terms(self, file: str) -> None:
        for n, row in self.accepted(file).items():
            starts, ends = self.date_of(row.get("Term_start", "")), self.date_of(row.get("Term_end", ""))
            if starts and ends and ends < starts:
                self.add(file, n, "Term_end", "order of dates", out=True)

    def check_repeated(self, file: str) -> None:
        key, facts = {
            "teachers.csv": ("Teacher_id", ("First_name", "Last_name", "Teacher_email")),
            "staff.csv": ("Staff_id", ("First_name", "Last_name", "Staff_email")),
            "students.csv": ("Student_id", ("First_name", "Last_name", "Grade", "DOB", "Student_email")),
            "enrollments.csv": ("Student_id", ()),
        }.get(file, ("", ()))
        if not key:
            return
        contact = [name for name, _, _ in self.standard["files"][file] if name.startswith("Contact_")]
        contact = [name for name in contact if name != "Contact_phone_type"]
        first: dict[str, list[Any]] = {}
        seen: set[tuple[str, ...]] = set()
        contacts: dict[tuple[str, str], int] = defaultdict(int)
        for n, row in self.accepted(file).items():
            said = [self.comparable(name, row.get(name, "")) for name in facts]
            if said != first.setdefault(row[key], said):
                self.add(file, n, key, "rows differ")
            place: tuple[str, ...] = (row[key], row["Section_id"] if file == "enrollments.csv" else row["School_id"])
            place += tuple(row.get(name, "") for name in contact)
            if place in seen:
                self.add(file, n, key, "row twice")
            seen.add(place)
            if row.get("Contact_name"):
                contacts[row[key], row["School_id"]] += 1
                if contacts[row[key], row["School_id"]] > 5:
                    self.add(file, n, key, "too many contacts")
                if not row.get("Contact_sis_id"):
                    self.add(file, n, "Contact_sis_id", "contact without id")

    def comparable(self, name: str, value: str) -> Any:
        if name == "DOB":
            return self.date_of(value)
        if name == "Grade":
            words = {"kindergarten": "0", "kg": "0", "k": "0", "prekindergarten": "pk", "postgraduate": "13"}
            words |= {f"{n:02d}": str(n) for n in range(1, 14)} | {"transitionalkindergarten": "tk"}
            return words.get(value.replace(" ", "").lower(), value.lower())
        return value

    def check_schools(self) -> None:
        schools = {row["Section_id"]: row["School_id"] for row in self.accepted("sections.csv").values()}
        for n, row in self.accepted("enrollments.csv").items():
            if row["School_id"] != schools[row["Section_id"]]:
                self.add("enrollments.csv", n, "School_id", "enrollment school")

"""A made-up town's schools in one year and in the next, as typed rows: who moves up, comes, leaves, moves or gets
another id is known, since the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

import duckdb
import polars as pl
from sqlalchemy import ARRAY, Boolean, Date, Engine, Table, insert, text
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.tables import directory, ledger, roster
from rollover.roster.columnar import columnar
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.files import staged_file
from rollover.roster.model import GRADES
from rollover.roster.staged import ROW_HASH, key_columns, row_hash, value_columns
from rollover.tenant import Tenant
from rollover_demo.seed import oneroster

GIVEN = ("Ana", "Ben", "Cleo", "Dov", "Ewa", "Finn", "Gia", "Hugo", "Ines", "Jonas", "Kaya")
FAMILY = ("Abt", "Brook", "Cruz", "Dorn", "Egan", "Falk", "Grau", "Haas", "Ito", "Jung", "Kerr", "Lund", "Moss")
TENANT = "hero__springfield-il"
FOUND_AT = datetime(2026, 7, 30, tzinfo=UTC)

Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class School:
    """A school by its lowest and highest grade, with as many students in each of them."""

    id: str
    low: str
    high: str
    size: int
    feeds: str | None = None

    @property
    def grades(self) -> tuple[str, ...]:
        return tuple(g for g in GRADES[GRADES.index(self.low) : GRADES.index(self.high) + 1] if g != "TK")


@dataclass(frozen=True)
class Person:
    id: str
    role: str
    school: str
    grade: str | None
    number: int
    guardian: str | None = None
    email: str | None = None

    @property
    def names(self) -> tuple[str, str]:
        return GIVEN[self.number % len(GIVEN)], FAMILY[self.number // len(GIVEN) % len(FAMILY)]

    @property
    def birth_date(self) -> date | None:
        return date(2010, 1, 1) + timedelta(days=self.number) if self.role == "student" else None


ELM = School("elm", "KG", "05", 20, feeds="mid")
OAK = School("oak", "KG", "05", 30, feeds="mid")
MID = School("mid", "06", "08", 50, feeds="high")
HIGH = School("high", "09", "12", 50)
SCHOOLS = (ELM, OAK, MID, HIGH)
STUDENTS = 6 * 20 + 6 * 30 + 3 * 50 + 4 * 50
YEAR = SchoolYear.parse("2025-26")


@dataclass
class Town:
    """The people and schools of a year. Everything else follows: classes, enrollments, guardian links, sessions."""

    year: SchoolYear = YEAR
    schools: tuple[School, ...] = SCHOOLS
    people: dict[str, Person] = field(default_factory=dict)
    last_number: int = 0
    section_year: str | None = None

    @classmethod
    def in_full(cls, schools: tuple[School, ...] = SCHOOLS) -> Self:
        """Every grade full, a guardian each, a teacher for every twenty."""
        town = cls(schools=schools)
        for school in schools:
            for grade in school.grades:
                town.arrive(school.id, grade, school.size)
            for _ in range(len(school.grades) * school.size // 20):
                town.hire(school.id)
        return town

    def copy(self) -> Self:
        return replace(self, people=dict(self.people))

    def students(self, school: str | None = None, grade: str | None = None) -> list[str]:
        """The ids of students, in a fixed order."""
        return [
            p.id
            for p in self.people.values()
            if p.role == "student" and school in (None, p.school) and grade in (None, p.grade)
        ]

    def of_role(self, role: str) -> list[str]:
        return [p.id for p in self.people.values() if p.role == role]

    def arrive(self, school: str, grade: str, count: int) -> None:
        for _ in range(count):
            self.last_number += 1
            n = self.last_number
            self._add(Person(f"g{n}", "guardian", school, None, n, email=f"parent{n}@example.org"))
            self._add(Person(f"s{n}", "student", school, grade, n, f"g{n}", f"pupil{n}@example.org"))

    def hire(self, school: str) -> None:
        self.last_number += 1
        n = self.last_number
        self._add(Person(f"t{n}", "teacher", school, None, n, email=f"teacher{n}@example.org"))

    def leave(self, ids: Iterable[str]) -> None:
        """Students leave, each with the guardian."""
        for person in list(ids):
            guardian = self.people.pop(person).guardian
            if guardian:
                del self.people[guardian]

    def retire(self, ids: Iterable[str]) -> None:
        for person in list(ids):
            del self.people[person]

    def move(self, ids: Iterable[str], school: str) -> None:
        self.change(ids, lambda person: replace(person, school=school))

    def change(self, ids: Iterable[str], how: Callable[[Person], Person]) -> None:
        for person in list(ids):
            self.people[person] = how(self.people[person])

    def rekey(self, ids: Iterable[str], prefix: str = "new-") -> dict[str, str]:
        """Give people other ids; what else is known of them stays."""
        renamed = {old: f"{prefix}{old}" for old in ids}
        self.people = {
            renamed.get(key, key): replace(
                person, id=renamed.get(key, key), guardian=renamed.get(person.guardian or "", person.guardian)
            )
            for key, person in self.people.items()
        }
        return renamed

    def lose(self, school: str) -> None:
        """The school is left out of the set, with everybody in it."""
        self.schools = tuple(s for s in self.schools if s.id != school)
        self.people = {key: person for key, person in self.people.items() if person.school != school}

    def close(self, school: str, into: str) -> None:
        """The school closes, and its students go to another."""
        self.move([p.id for p in self.people.values() if p.school == school], into)
        self.schools = tuple(s for s in self.schools if s.id != school)

    def next_year(self, *, entering: bool = True, classes_keep_ids: bool = False) -> Self:
        """Everybody a grade up, in the next school where this one ends; the last grade gone, a first one in."""
        after = replace(self.copy(), year=self.year.next)
        ends = {school.id: school for school in self.schools}
        for key in self.students():
            person = self.people[key]
            grade, school = GRADES[GRADES.index(str(person.grade)) + 1], ends[person.school]
            grade = "KG" if grade == "TK" else grade
            if person.grade == school.high and school.feeds is None:
                after.leave([key])
                continue
            new_school = str(school.feeds) if person.grade == school.high else school.id
            after.people[key] = replace(person, grade=grade, school=new_school)
        fed = {school.feeds for school in self.schools}
        for school in self.schools if entering else ():
            if school.id not in fed:
                after.arrive(school.id, school.low, school.size)
        after.section_year = self.section_year or self.year.key if classes_keep_ids else None
        return after

    def rows(self) -> Rows:
        """The typed rows of every roster table."""
        year = self.year.key
        people = list(self.people.values())
        classes = sorted({(p.school, p.grade) for p in people if p.role == "student"}, key=repr)
        teachers = {s.id: [p.id for p in people if p.role == "teacher" and p.school == s.id] for s in self.schools}
        named = self.section_year or year
        sessions = {"type": "schoolYear", "parent_id": None, "school_year": year, "title": year}
        dates = {"start_date": date(self.year.first_year, 8, 20), "end_date": date(self.year.last_year, 6, 6)}
        enrollments = [
            (f"{p.school}-{p.grade}-{named}", p.school, p.id, "student") for p in people if p.role == "student"
        ]
        for school, grade in classes:
            enrollments += [
                (f"{school}-{grade}-{named}", school, teacher, "teacher") for teacher in teachers[school][:1]
            ]
        return {
            "orgs": [
                _org("district", "district", None),
                *(_org(school.id, "school", "district") for school in self.schools),
            ],
            "academic_sessions": [{"sourced_id": f"year-{year}", **sessions, **dates}],
            "courses": [_course(grade, year) for grade in sorted({grade for _, grade in classes}, key=repr)],
            "classes": [_class(f"{school}-{grade}-{named}", school, grade, year) for school, grade in classes],
            "people": [_person(person) for person in people],
            "guardians": [{"student_id": p.id, "guardian_id": p.guardian} for p in people if p.guardian],
            "enrollments": [_enrollment(*each, year) for each in enrollments],
        }

    def _add(self, person: Person) -> None:
        self.people[person.id] = person


def _org(school: str, kind: str, parent: str | None) -> dict[str, Any]:
    return {
        "sourced_id": school,
        "name": f"{school.title()} School",
        "type": kind,
        "identifier": None,
        "parent_id": parent,
    }


def _course(grade: str | None, year: str) -> dict[str, Any]:
    return {
        "sourced_id": f"math-{grade}",
        "title": f"Math {grade}",
        "course_code": None,
        "grades": [grade] if grade else [],
        "org_id": "district",
        "school_year_session_id": f"year-{year}",
    }


def _class(sourced_id: str, school: str, grade: str | None, year: str) -> dict[str, Any]:
    return {
        "sourced_id": sourced_id,
        "title": f"Math {grade}",
        "class_code": None,
        "class_type": "scheduled",
        "course_id": f"math-{grade}",
        "school_id": school,
        "term_ids": [f"year-{year}"],
        "grades": [],
        "periods": ["1"],
        "location": None,
    }


def _person(person: Person) -> dict[str, Any]:
    given, family = person.names
    return {
        "sourced_id": person.id,
        "role": person.role,
        "given_name": given,
        "middle_name": None,
        "family_name": family,
        "username": f"user{person.number}",
        "email": person.email,
        "identifier": f"K{person.number:06d}" if person.role == "student" else None,
        "birth_date": person.birth_date,
        "grade": person.grade,
        "school_ids": ["district", person.school],
        "enabled": True,
    }


def _enrollment(class_id: str, school: str, person: str, role: str, year: str) -> dict[str, Any]:
    return {
        "sourced_id": f"{class_id}.{person}",
        "class_id": class_id,
        "school_id": school,
        "person_id": person,
        "role": role,
        "primary": role == "teacher",
        "begin_date": None,
        "end_date": None,
    }


# As files


def as_oneroster(town: Town, district: str = "district") -> dict[str, bytes]:
    """The town's set as OneRoster 1.1 files, as a district would drop them; `district` is the id of its org."""
    rows = town.rows()
    guardian_of = {row["student_id"]: row["guardian_id"] for row in rows["guardians"]}
    content = {
        "orgs": [_renamed(row, ORG_COLUMNS) for row in rows["orgs"]],
        "academicSessions": [
            _renamed(row, SESSION_COLUMNS) | {"schoolYear": str(town.year.last_year)}
            for row in rows["academic_sessions"]
        ],
        "courses": [_renamed(row, COURSE_COLUMNS) for row in rows["courses"]],
        "classes": [_renamed(row, CLASS_COLUMNS) for row in rows["classes"]],
        "users": [
            _renamed(row, USER_COLUMNS) | {"agentSourcedIds": guardian_of.get(row["sourced_id"], "")}
            for row in rows["people"]
        ],
        "demographics": [_renamed(row, DEMOGRAPHICS_COLUMNS) for row in rows["people"] if row["birth_date"]],
        "enrollments": [_renamed(row, ENROLLMENT_COLUMNS) for row in rows["enrollments"]],
    }
    for file in content.values():
        for row in file:
            for name in ("sourcedId", "parentSourcedId", "orgSourcedId", "orgSourcedIds"):
                if row.get(name):
                    row[name] = ",".join(district if org == "district" else org for org in str(row[name]).split(","))
    return oneroster.encode(content)


ORG_COLUMNS = {"sourced_id": "sourcedId", "name": "name", "type": "type", "parent_id": "parentSourcedId"}
SESSION_COLUMNS = {
    "sourced_id": "sourcedId",
    "title": "title",
    "type": "type",
    "start_date": "startDate",
    "end_date": "endDate",
}
COURSE_COLUMNS = {
    "sourced_id": "sourcedId",
    "title": "title",
    "grades": "grades",
    "org_id": "orgSourcedId",
    "school_year_session_id": "schoolYearSourcedId",
}
CLASS_COLUMNS = {
    "sourced_id": "sourcedId",
    "title": "title",
    "class_type": "classType",
    "course_id": "courseSourcedId",
    "school_id": "schoolSourcedId",
    "term_ids": "termSourcedIds",
    "periods": "periods",
}
USER_COLUMNS = {
    "sourced_id": "sourcedId",
    "role": "role",
    "given_name": "givenName",
    "family_name": "familyName",
    "username": "username",
    "email": "email",
    "identifier": "identifier",
    "grade": "grades",
    "school_ids": "orgSourcedIds",
    "enabled": "enabledUser",
}
DEMOGRAPHICS_COLUMNS = {"sourced_id": "sourcedId", "birth_date": "birthDate"}
ENROLLMENT_COLUMNS = {
    "sourced_id": "sourcedId",
    "class_id": "classSourcedId",
    "school_id": "schoolSourcedId",
    "person_id": "userSourcedId",
    "role": "role",
    "primary": "primary",
}


def _renamed(row: dict[str, Any], columns: dict[str, str]) -> dict[str, str | None]:
    """A typed row as a file has it."""
    return {header: _as_text(row.get(name)) for name, header in columns.items()}


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


# Into the database and the storage


def add_tenant(owner: Engine, year: SchoolYear = YEAR, schools: Iterable[str] = (), tenant_id: str = TENANT) -> None:
    """The tenant in the directory, in its current year."""
    tenant = Tenant.parse(tenant_id)
    with owner.begin() as connection:
        connection.execute(
            insert(directory.districts).values(
                district_id=tenant.district, name="A district", org_sourced_id="district"
            )
        )
        connection.execute(
            insert(directory.tenants).values(
                tenant_id=tenant_id, district_id=tenant.district, product=tenant.product, current_school_year=year.key
            )
        )
        for school in schools:
            connection.execute(
                insert(directory.schools).values(district_id=tenant.district, school_id=school, name=school)
            )


def go_live(owner: Engine, rows: Rows, tenant_id: str = TENANT, status: str = "active") -> None:
    """Make rows the live roster, without an import; the roster has a further version then."""
    with owner.begin() as connection, columnar() as duck:
        for table in roster.ROSTER_TABLES:
            frame = typed(duck, rows[table.name], table)
            given = {"tenant_id": tenant_id, "status": status, "import_id": "seed"}
            if frame.height:
                connection.execute(insert(table), [{**given, **row} for row in frame.to_dicts()])
        connection.execute(
            text(
                "INSERT INTO ledger.roster_versions (tenant_id, version) VALUES (:tenant, 1) "
                "ON CONFLICT (tenant_id) DO UPDATE SET version = roster_versions.version + 1"
            ),
            {"tenant": tenant_id},
        )


def stage(
    owner: Engine,
    storage: UPath,
    rows: Rows,
    school_year: str,
    *,
    number: int = 1,
    state: str = "validated",
    tenant_id: str = TENANT,
) -> str:
    """A set that was validated, as the ledger and the storage have it; returns the import's id."""
    import_id = f"{tenant_id}__{number:012d}"
    with columnar() as duck:
        for table in roster.ROSTER_TABLES:
            path = staged_file(storage, import_id, table.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            typed(duck, rows[table.name], table).sort(key_columns(table)).write_parquet(path.path)
    with owner.begin() as connection:
        connection.execute(
            insert(ledger.imports).values(
                tenant_id=tenant_id,
                import_id=import_id,
                state=state,
                school_year=school_year,
                details=ImportDetails(rows={}).as_json(),
                found_at=FOUND_AT + timedelta(minutes=number),
            )
        )
    return import_id


def typed(duck: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]], table: Table) -> pl.DataFrame:
    """Rows as a set's staged file has them: every value column, and the row's hash."""
    schema = {name: _type(table.c[name].type) for name in value_columns(table)}
    duck.register("rows", pl.DataFrame(rows, schema=schema, orient="row").to_arrow())
    hashed: pl.DataFrame = duck.sql(f"SELECT *, {row_hash(table)} AS {ROW_HASH} FROM rows").pl()
    return hashed


def _type(kind: Any) -> Any:
    if isinstance(kind, ARRAY):
        return pl.List(pl.String)
    if isinstance(kind, Date):
        return pl.Date
    return pl.Boolean if isinstance(kind, Boolean) else pl.String

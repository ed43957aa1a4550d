"""Models a tenant's people, classes and sessions in one school year."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property

import numpy as np

from rollover.calendar import SchoolYear
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, TenantSpec

SECTION_SIZE = 25
# Taught to a secondary student one per period; below grade 6 a homeroom and math are listed.
SECONDARY = (
    ("ela", "English"),
    ("math", "Math"),
    ("science", "Science"),
    ("social", "Social Studies"),
    ("pe", "Physical Education"),
    ("arts", "Arts"),
)
ELEMENTARY = (("homeroom", "Homeroom"), ("math", "Math"))


def generator(*labels: object) -> np.random.Generator:
    """Return a random generator that depends only on its labels."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, labels)).encode()))


def grade_code(grade: int) -> str:
    """-1 is PK, 0 is KG, 1 is 01, as the roster files write it."""
    return {-1: "PK", 0: "KG"}.get(grade, f"{grade:02d}")


def noon(day: date) -> datetime:
    """Return an instant about the middle of a day in America."""
    return datetime.combine(day, time(17), UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """A student, guardian, teacher or administrator. `grade` is a student's, -1 for PK and 0 for KG;
    `years_gone` is how long ago somebody left."""

    id: str
    role: str
    given: str
    middle: str | None
    family: str
    username: str
    email: str | None
    school_id: str
    identifier: str | None = None
    birth_date: date | None = None
    grade: int | None = None
    guardian_ids: tuple[str, ...] = ()
    years_gone: int = 0

    @property
    def active(self) -> bool:
        return self.years_gone == 0


@dataclass(frozen=True, slots=True)
class Section:
    """A class of one school year, with its teacher and students."""

    id: str
    course_id: str
    title: str
    code: str
    homeroom: bool
    school_id: str
    grade: int
    period: int
    term_ids: tuple[str, ...]
    room: str
    teacher_id: str
    student_ids: tuple[str, ...]


@dataclass(frozen=True)
class Session:
    """An academic session; `ends` is exclusive, as OneRoster has it."""

    id: str
    title: str
    type: str
    starts: date
    ends: date
    parent_id: str | None


@dataclass(frozen=True)
class Roster:
    """A tenant's roster in one school year. People who left earlier are in it, but not active."""

    district: DistrictSpec
    tenant: TenantSpec
    year: SchoolYear
    people: tuple[Person, ...]

    def of_role(self, *roles: str) -> tuple[Person, ...]:
        """Return the active people with one of the roles."""
        return tuple(p for p in self.people if p.role in roles and p.active)

    @cached_property
    def students(self) -> tuple[Person, ...]:
        return self.of_role("student")

    @cached_property
    def educators(self) -> tuple[Person, ...]:
        return self.of_role("teacher", "administrator")

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        return tuple(_sections(self))

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        return _sessions(self.district, self.year)


def school_for(tenant: TenantSpec, person: Person, grade: int) -> SchoolSpec | None:
    """Return the school of a student in a grade: the same one if it has it, else the first that does, else None."""
    schools = sorted(tenant.schools, key=lambda school: school.id != person.school_id)
    return next((school for school in schools if school.low <= grade <= school.high), None)


def _sections(roster: Roster) -> Iterator[Section]:
    """Return the students in groups that stay together all day. A student's group depends on the id only, so that new
    students move nobody else."""
    groups: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    schools = {s.id: s for s in roster.tenant.schools}
    for student in roster.students:
        assert student.grade is not None, "every student has a grade"
        count = math.ceil(schools[student.school_id].cohort / SECTION_SIZE)
        groups[student.school_id, student.grade, zlib.crc32(student.id.encode()) % count].append(student.id)
    teachers = {s: [p for p in roster.of_role("teacher") if p.school_id == s] for s in schools}
    turn: dict[str, int] = defaultdict(int)
    for (school_id, grade, group), student_ids in sorted(groups.items()):
        subjects = ELEMENTARY if grade < 6 else SECONDARY
        for i, (slug, name) in enumerate(subjects):
            # Below grade 6 one teacher has the group all day.
            turn[school_id] += 1 if grade >= 6 or i == 0 else 0
            if roster.tenant.tenant.product != "hero" and slug != "math":
                continue
            staff = teachers[school_id]
            yield Section(
                id=f"{school_id}-{grade_code(grade)}-{slug}-{group + 1}-{roster.year.last_year}",
                course_id=f"{slug}-{grade_code(grade)}",
                title=f"{name} {grade_code(grade)}, section {group + 1}",
                code=f"{slug[:4].upper()}{grade_code(grade)}-{group + 1}",
                homeroom=slug == "homeroom",
                school_id=school_id,
                grade=grade,
                period=1 + (i + group) % len(subjects),
                term_ids=_terms(roster.year, grade),
                room=f"{100 + turn[school_id] % 60}",
                teacher_id=staff[turn[school_id] % len(staff)].id,
                student_ids=tuple(student_ids),
            )


def _terms(year: SchoolYear, grade: int) -> tuple[str, ...]:
    ending = year.last_year
    return (f"year-{ending}",) if grade < 6 else (f"fall-{ending}", f"spring-{ending}")


def _sessions(district: DistrictSpec, year: SchoolYear) -> tuple[Session, ...]:
    """The school year, its two semesters and their four grading periods."""
    calendar = district.calendar(year)
    n = year.last_year
    start, end = calendar.starts, calendar.ends + timedelta(days=1)
    autumn, middle, spring = date(n - 1, 10, 25), date(n, 1, 15), date(n, 3, 25)
    whole = f"year-{n}"
    return (
        Session(whole, f"School year {year.key}", "schoolYear", start, end, None),
        Session(f"fall-{n}", f"Fall {n - 1}", "semester", start, middle, whole),
        Session(f"spring-{n}", f"Spring {n}", "semester", middle, end, whole),
        Session(f"q1-{n}", "Quarter 1", "gradingPeriod", start, autumn, f"fall-{n}"),
        Session(f"q2-{n}", "Quarter 2", "gradingPeriod", autumn, middle, f"fall-{n}"),
        Session(f"q3-{n}", "Quarter 3", "gradingPeriod", middle, spring, f"spring-{n}"),
        Session(f"q4-{n}", "Quarter 4", "gradingPeriod", spring, end, f"spring-{n}"),
    )

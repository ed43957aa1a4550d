"""OneRoster 1.1 as Rollover reads it: the files, their columns and rules, and the roster tables they fill.

A column that is not listed here is never read. That goes for ``users.password`` above all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

VERSION = "1.1"
MANIFEST = "manifest.csv"


class Kind(StrEnum):
    """What a value must look like."""

    ID = "id"
    REFERENCE = "reference"
    REFERENCES = "references"
    TEXT = "text"
    TEXTS = "texts"
    GRADE = "grade"
    GRADES = "grades"
    DATE = "date"
    YEAR = "year"
    BOOLEAN = "boolean"
    ENUM = "enum"


@dataclass(frozen=True)
class Column:
    """One column of a file. ``target`` is the column of the roster table that it fills."""

    name: str
    target: str
    kind: Kind = Kind.TEXT
    required: bool = False
    values: tuple[str, ...] = ()
    extensible: bool = False
    """Whether ``ext:`` values of the sender's own are allowed beside ``values``."""
    refers_to: str | None = None
    """The roster table in which a reference must resolve."""


@dataclass(frozen=True)
class File:
    """One file of a set and the roster table it is for."""

    name: str
    table: str
    columns: tuple[Column, ...]
    required: bool = True
    ignored: tuple[str, ...] = ()
    """Columns of the format that Rollover has no use for, and does not read."""

    @property
    def header(self) -> frozenset[str]:
        """Every column name that the format knows."""
        return frozenset({"status", "dateLastModified", *self.ignored, *(c.name for c in self.columns)})


def _id() -> Column:
    return Column("sourcedId", "sourced_id", Kind.ID, required=True)


def _reference(name: str, target: str, refers_to: str, *, required: bool = True, many: bool = False) -> Column:
    kind = Kind.REFERENCES if many else Kind.REFERENCE
    return Column(name, target, kind, required=required, refers_to=refers_to)


GRADES = (
    *("IT", "PR", "PK", "TK", "KG"),
    *(f"{grade:02d}" for grade in range(1, 14)),
    *("PS", "UG", "Other"),
)
GUARDIAN_ROLES = ("guardian", "parent", "relative")
ROLES = ("administrator", "aide", *GUARDIAN_ROLES, "proctor", "student", "teacher")

ORGS = File(
    "orgs.csv",
    "orgs",
    (
        _id(),
        Column("name", "name", required=True),
        Column(
            "type",
            "type",
            Kind.ENUM,
            required=True,
            values=("department", "school", "district", "local", "state", "national"),
            extensible=True,
        ),
        Column("identifier", "identifier"),
        _reference("parentSourcedId", "parent_id", "orgs", required=False),
    ),
)
SESSIONS = File(
    "academicSessions.csv",
    "academic_sessions",
    (
        _id(),
        Column("title", "title", required=True),
        Column(
            "type",
            "type",
            Kind.ENUM,
            required=True,
            values=("gradingPeriod", "semester", "schoolYear", "term"),
            extensible=True,
        ),
        Column("startDate", "start_date", Kind.DATE, required=True),
        Column("endDate", "end_date", Kind.DATE, required=True),
        _reference("parentSourcedId", "parent_id", "academic_sessions", required=False),
        Column("schoolYear", "school_year", Kind.YEAR, required=True),
    ),
)
COURSES = File(
    "courses.csv",
    "courses",
    (
        _id(),
        _reference("schoolYearSourcedId", "school_year_session_id", "academic_sessions", required=False),
        Column("title", "title", required=True),
        Column("courseCode", "course_code"),
        Column("grades", "grades", Kind.GRADES),
        _reference("orgSourcedId", "org_id", "orgs"),
    ),
    ignored=("subjects", "subjectCodes"),
)
CLASSES = File(
    "classes.csv",
    "classes",
    (
        _id(),
        Column("title", "title", required=True),
        Column("grades", "grades", Kind.GRADES),
        _reference("courseSourcedId", "course_id", "courses"),
        Column("classCode", "class_code"),
        Column(
            "classType",
            "class_type",
            Kind.ENUM,
            required=True,
            values=("homeroom", "scheduled"),
            extensible=True,
        ),
        Column("location", "location"),
        _reference("schoolSourcedId", "school_id", "orgs"),
        _reference("termSourcedIds", "term_ids", "academic_sessions", many=True),
        Column("periods", "periods", Kind.TEXTS),
    ),
    ignored=("subjects", "subjectCodes"),
)
DEMOGRAPHICS = File(
    "demographics.csv",
    "birth_dates",
    (_id(), Column("birthDate", "birth_date", Kind.DATE)),
    required=False,
    ignored=(
        "sex",
        "americanIndianOrAlaskaNative",
        "asian",
        "blackOrAfricanAmerican",
        "nativeHawaiianOrOtherPacificIslander",
        "white",
        "demographicRaceTwoOrMoreRaces",
        "hispanicOrLatinoEthnicity",
        "countryOfBirthCode",
        "stateOfBirthAbbreviation",
        "cityOfBirth",
        "publicSchoolResidenceStatus",
    ),
)
USERS = File(
    "users.csv",
    "people",
    (
        _id(),
        Column("enabledUser", "enabled", Kind.BOOLEAN, required=True),
        _reference("orgSourcedIds", "school_ids", "orgs", many=True),
        Column("role", "role", Kind.ENUM, required=True, values=ROLES, extensible=True),
        Column("username", "username", required=True),
        Column("givenName", "given_name", required=True),
        Column("familyName", "family_name", required=True),
        Column("middleName", "middle_name"),
        Column("identifier", "identifier"),
        Column("email", "email"),
        _reference("agentSourcedIds", "agent_ids", "people", required=False, many=True),
        Column("grades", "grade", Kind.GRADE),
    ),
    ignored=("userIds", "sms", "phone", "password"),
)
ENROLLMENTS = File(
    "enrollments.csv",
    "enrollments",
    (
        _id(),
        _reference("classSourcedId", "class_id", "classes"),
        _reference("schoolSourcedId", "school_id", "orgs"),
        _reference("userSourcedId", "person_id", "people"),
        Column(
            "role",
            "role",
            Kind.ENUM,
            required=True,
            values=("administrator", "proctor", "student", "teacher"),
            extensible=True,
        ),
        Column("primary", "primary", Kind.BOOLEAN),
        Column("beginDate", "begin_date", Kind.DATE),
        Column("endDate", "end_date", Kind.DATE),
    ),
)

# Birth dates come before the people they belong to.
FILES = (ORGS, SESSIONS, COURSES, CLASSES, DEMOGRAPHICS, USERS, ENROLLMENTS)
FILE_NAMES = tuple(file.name for file in FILES)

"""Whole sets of each format as rows, of a made-up district: every column of the standard, no defect."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

STANDARD: dict[str, Any] = json.loads((Path(__file__).parent / "formats.json").read_text())
GIVEN = ("Ana", "Ben", "Zoë", "Dov", "Ewa", "Finn", "Gia", "Hugo")
FAMILY = ("Abt", "O'Hara", "Cruz", "Dorn-Weiß", "Egan", "Núñez")
DISTRICT_ORG = "springfield-district"
NOT_READ = {
    "oneroster_1_1": ("categories", "classResources", "courseResources", "lineItems", "resources", "results"),
    "oneroster_1_2": (
        *("categories", "classResources", "courseResources", "lineItemLearningObjectiveIds", "lineItems"),
        *("lineItemScoreScales", "resources", "resultLearningObjectiveIds", "results", "resultScoreScales"),
        *("scoreScales", "userProfiles", "userResources"),
    ),
}

Row = dict[str, str]
Rows = dict[str, list[Row]]
"""By file name, with ``.csv``."""


def header(spec: str, file: str) -> list[str]:
    return [name for name, _, _ in STANDARD[spec]["files"][file]]


def oneroster(version: str = "1_1", *, students: int = 12, schools: int = 2, seed: int = 1) -> Rows:
    """A district with its schools, two terms, a class per school and term, teachers, guardians and enrollments."""
    made = _OneRoster(f"oneroster_{version}", random.Random(seed))
    made.organize(schools)
    made.people(schools, students)
    return made.rows


class _OneRoster:
    def __init__(self, spec: str, pick: random.Random) -> None:
        self.spec = spec
        self.pick = pick
        read = ("orgs", "academicSessions", "courses", "classes", "users", "demographics", "enrollments")
        names = (*read, "roles") if spec == "oneroster_1_2" else read
        self.rows: Rows = {f"{name}.csv": [] for name in names}

    def add(self, file: str, **values: str) -> None:
        row = dict.fromkeys(header(self.spec, f"{file}.csv"), "")
        self.rows[f"{file}.csv"].append({**row, **{name: value for name, value in values.items() if name in row}})

    def organize(self, schools: int) -> None:
        self.add("orgs", sourcedId=DISTRICT_ORG, name="Springfield", type="district", identifier="IL-1")
        year = {"startDate": "2025-08-15", "endDate": "2026-06-05", "schoolYear": "2026"}
        self.add("academicSessions", sourcedId="y26", title="2025-26", type="schoolYear", **year)
        for name, starts, ends in (("fall", "2025-08-15", "2026-01-10"), ("spring", "2026-01-10", "2026-06-05")):
            session = {"startDate": starts, "endDate": ends, "schoolYear": "2026", "parentSourcedId": "y26"}
            self.add("academicSessions", sourcedId=name, title=name, type="semester", **session)
        for n in range(3):
            course = {"title": f"Math {n}", "courseCode": f"M{n}", "grades": f"0{n + 1},0{n + 2}"}
            self.add("courses", sourcedId=f"course-{n}", schoolYearSourcedId="y26", orgSourcedId=DISTRICT_ORG, **course)
        for n in range(schools):
            self.add("orgs", sourcedId=f"school-{n}", name=f"School, {n}", type="school", parentSourcedId=DISTRICT_ORG)
            for term in ("fall", "spring"):
                self.add(
                    "classes",
                    sourcedId=f"class-{n}-{term}",
                    title=f'Math "{n}"',
                    grades="01,02",
                    courseSourcedId=f"course-{n % 3}",
                    classCode=f"K{n}",
                    classType="scheduled",
                    location=f"R {n}",
                    schoolSourcedId=f"school-{n}",
                    termSourcedIds=term,
                    subjects="Math,Science",
                    periods="1,2",
                )

    def people(self, schools: int, students: int) -> None:
        for n in range(schools):
            self.person(f"teacher-{n}", "teacher", f"school-{n}")
            for term in ("fall", "spring"):
                self.enrolled(f"teacher-{n}", "teacher", n, term, primary="true")
        self.person("admin-1", "administrator", DISTRICT_ORG)
        for n in range(students):
            school = n % schools
            guardian = f"parent-{n // 2}"
            grade = {"grades": f"{n % 12 + 1:02d}", "agentSourcedIds": guardian}
            self.person(f"student-{n}", "student", f"school-{school}", identifier=f"00{n}", **grade)
            if n % 2 == 0:
                self.person(guardian, "guardian", f"school-{school}")
            self.add("demographics", sourcedId=f"student-{n}", birthDate=f"2012-03-{n % 28 + 1:02d}", sex="female")
            for term in ("fall", "spring"):
                self.enrolled(f"student-{n}", "student", school, term)

    def person(self, person: str, role: str, org: str, **own: str) -> None:
        names = {"givenName": self.pick.choice(GIVEN), "familyName": self.pick.choice(FAMILY)}
        login = {"username": f"{person}.login", "email": f"{person}@example.org", "enabledUser": "true"}
        self.add(
            "users", sourcedId=person, role=role, orgSourcedIds=org, primaryOrgSourcedId=org, **names, **login, **own
        )
        if "roles.csv" in self.rows:
            role = "districtAdministrator" if role == "administrator" else role
            place = {"userSourcedId": person, "roleType": "primary", "role": role, "orgSourcedId": org}
            self.add("roles", sourcedId=f"role-{person}", **place)

    def enrolled(self, person: str, role: str, school: int, term: str, primary: str = "") -> None:
        place = {"classSourcedId": f"class-{school}-{term}", "schoolSourcedId": f"school-{school}"}
        dates = ("2025-08-20", "2025-12-20") if term == "fall" else ("2026-01-20", "2026-06-01")
        when = dict(zip(("beginDate", "endDate"), dates, strict=True)) if self.pick.random() < 0.5 else {}
        sourced_id = f"{person}-{term}"
        self.add("enrollments", sourcedId=sourced_id, userSourcedId=person, role=role, primary=primary, **place, **when)


def clever(*, students: int = 12, schools: int = 2, seed: int = 1) -> Rows:
    """Schools, teachers (one at two schools), staff, sections with two terms, students with up to two contacts."""
    pick = random.Random(seed)
    rows: Rows = {file: [] for file in STANDARD["clever"]["files"]}

    def add(file: str, **values: str) -> None:
        row = dict.fromkeys(header("clever", f"{file}.csv"), "")
        assert set(values) <= set(row)
        rows[f"{file}.csv"].append({**row, **values})

    def names() -> Row:
        return {"First_name": pick.choice(GIVEN), "Last_name": pick.choice(FAMILY)}

    for n in range(schools):
        school, teacher = f"00{n}", f"0{n}"
        add(
            "schools", School_id=school, School_name=f"School {n}", School_number=f"{n}", Low_grade="1", High_grade="12"
        )
        teachers = {"Teacher_id": teacher, "Teacher_number": f"T{n}", "Teacher_email": f"t{n}@example.org"}
        add("teachers", School_id=school, **teachers, **names())
        staff = {"Staff_id": f"0{n}", "Staff_email": f"s{n}@example.org"}
        add("staff", School_id=school, **staff, **names())
        for term, starts, ends in (("Fall", "08/15/2025", "01/10/2026"), ("Spring", "1/11/2026", "6/5/2026")):
            course = {"Name": f"Math {n}", "Section_number": f"{n}", "Course_name": "Math", "Course_number": f"M{n}"}
            dates = {"Term_name": term, "Term_start": starts, "Term_end": ends, "Period": "1", "Subject": "math"}
            section = {"School_id": school, "Section_id": f"{n}.{term}", "Teacher_id": teacher, "Grade": "2"}
            add("sections", **section, **course, **dates)
    if schools > 1:
        rows["teachers.csv"].append({**rows["teachers.csv"][0], "School_id": "001"})
        rows["sections.csv"][-1]["Teacher_2_id"] = "00"
    for n in range(students):
        at = n % schools
        person = names()
        facts = {"Grade": ("Kindergarten", "1", "2", "12")[n % 4], "DOB": f"3/{n % 28 + 1}/2012"}
        email = f"student{n}@example.org"
        student = {
            "School_id": f"00{at}",
            "Student_id": f"{n:03d}",
            "Student_number": f"N{n}",
            "Student_email": email,
        }
        for contact in range(n % 3):
            reported = {"Contact_name": f"Pat {FAMILY[n % len(FAMILY)]}", "Contact_sis_id": f"c{n}-{contact}"}
            reported |= {"Contact_relationship": "Parent", "Contact_phone": f"555-01{n:02d}"}
            add("students", **student, **person, **facts, **reported)
        if n % 3 == 0:
            add("students", **student, **person, **facts)
        for term in ("Fall", "Spring"):
            add("enrollments", School_id=f"00{at}", Section_id=f"{at}.{term}", Student_id=f"{n:03d}")
    return rows


def as_csv(names: list[str], rows: list[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([row.get(name, "") for name in names] for row in rows)
    return out.getvalue().encode()


def manifest(spec: str, modes: dict[str, str]) -> bytes:
    """`modes` by file without ``.csv``."""
    every = {name.removesuffix(".csv"): "absent" for name in STANDARD[spec]["files"]} | modes
    properties = {"manifest.version": "1.0", "oneroster.version": spec.removeprefix("oneroster_").replace("_", ".")}
    lines = ["propertyName,value", *(f"{name},{value}" for name, value in properties.items())]
    return "\r\n".join([*lines, *(f"file.{name},{mode}" for name, mode in every.items()), ""]).encode()


def as_files(spec: str, rows: Rows, modes: dict[str, str] | None = None) -> dict[str, bytes]:
    """A set as it is uploaded; files without rows are not in it, unless `modes` says of them what they are."""
    modes = {file.removesuffix(".csv"): "bulk" for file, content in rows.items() if content} | (modes or {})
    files = {file: as_csv(header(spec, file), content) for file, content in rows.items() if content}
    return files if spec == "clever" else {"manifest.csv": manifest(spec, modes), **files}


def made(spec: str, *, students: int = 12, schools: int = 2, seed: int = 1) -> Rows:
    """A whole set of a format."""
    if spec == "clever":
        return clever(students=students, schools=schools, seed=seed)
    return oneroster(spec.removeprefix("oneroster_"), students=students, schools=schools, seed=seed)

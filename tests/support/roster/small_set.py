"""A small, whole OneRoster 1.1 set as rows, to change at will and to write as files."""

from __future__ import annotations

import csv
import io
import zipfile

FILE_NAMES = ("orgs", "academicSessions", "courses", "classes", "users", "demographics", "enrollments")
NOT_READ = ("categories", "classResources", "courseResources", "lineItems", "resources", "results")
NOT_KEPT = (
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
)
PASSWORD = "correct-horse-battery"  # must not get further than SFTP

Rows = dict[str, list[dict[str, str]]]


def whole_set(ends: int = 2026) -> Rows:
    """Two schools, two classes, a teacher, three students (one without guardian), two guardians."""
    year, grade = f"{ends - 1}-{ends % 100:02d}", ends - 2026
    return {
        "orgs": [
            _org("springfield-district", "Springfield Public Schools", "district", ""),
            _org("school-1", "Elm Street School", "school", "springfield-district"),
            _org("school-2", 'Oak, Hill & "Vale" School', "school", "springfield-district"),
        ],
        "academicSessions": [
            _session(f"year-{year}", "schoolYear", f"{ends - 1}-08-15", f"{ends}-06-05", "", ends),
            _session(f"fall-{year}", "semester", f"{ends - 1}-08-15", f"{ends}-01-10", f"year-{year}", ends),
        ],
        "courses": [
            {
                "sourcedId": "course-1",
                "status": "",
                "dateLastModified": "",
                "schoolYearSourcedId": f"year-{year}",
                "title": "Math",
                "courseCode": "M1",
                "grades": "01,02",
                "orgSourcedId": "springfield-district",
                "subjects": "",
                "subjectCodes": "",
            }
        ],
        "classes": [_class(f"class-{n}-{year}", f"school-{n}", f"fall-{year}") for n in (1, 2)],
        "users": [
            _user("teacher-1", "teacher", "school-1"),
            _user("student-1", "student", "school-1", grades=f"{2 + grade:02d}", agentSourcedIds="parent-1"),
            _user("student-2", "student", "springfield-district,school-2", grades=f"{5 + grade:02d}"),
            _user("student-3", "student", "school-2", grades=f"{5 + grade:02d}"),
            _user("parent-1", "parent", "school-1"),
            _user("parent-2", "guardian", "school-2", agentSourcedIds="student-2,student-1"),
        ],
        "demographics": [
            {
                "sourcedId": f"student-{n}",
                "status": "",
                "dateLastModified": "",
                "birthDate": f"2017-03-0{n}",
                **dict.fromkeys(NOT_KEPT, ""),
            }
            for n in (1, 2)
        ],
        "enrollments": [
            _enrollment(f"e1-{year}", f"class-1-{year}", "school-1", "teacher-1", "teacher", primary="true"),
            _enrollment(f"e2-{year}", f"class-1-{year}", "school-1", "student-1", "student"),
            _enrollment(f"e3-{year}", f"class-2-{year}", "school-2", "student-2", "student"),
            _enrollment(f"e4-{year}", f"class-2-{year}", "school-2", "student-3", "student"),
        ],
    }


def _org(sourced_id: str, name: str, kind: str, parent: str) -> dict[str, str]:
    return {
        "sourcedId": sourced_id,
        "status": "",
        "dateLastModified": "",
        "name": name,
        "type": kind,
        "identifier": "",
        "parentSourcedId": parent,
    }


def _session(sourced_id: str, kind: str, starts: str, ends: str, parent: str, year: int) -> dict[str, str]:
    return {
        "sourcedId": sourced_id,
        "status": "",
        "dateLastModified": "",
        "title": sourced_id,
        "type": kind,
        "startDate": starts,
        "endDate": ends,
        "parentSourcedId": parent,
        "schoolYear": str(year),
    }


def _class(sourced_id: str, school: str, term: str) -> dict[str, str]:
    return {
        "sourcedId": sourced_id,
        "status": "",
        "dateLastModified": "",
        "title": 'Math "A", period 1',
        "grades": "",
        "courseSourcedId": "course-1",
        "classCode": "",
        "classType": "scheduled",
        "location": "",
        "schoolSourcedId": school,
        "termSourcedIds": term,
        "subjects": "",
        "subjectCodes": "",
        "periods": "1,2",
    }


def _user(sourced_id: str, role: str, orgs: str, **own: str) -> dict[str, str]:
    return {
        "sourcedId": sourced_id,
        "status": "",
        "dateLastModified": "",
        "enabledUser": "true",
        "orgSourcedIds": orgs,
        "role": role,
        "username": f"{sourced_id}-login",
        "userIds": "",
        "givenName": "Zoë",
        "familyName": "O'Hara",
        "middleName": "",
        "identifier": "",
        "email": f"{sourced_id}@example.org",
        "sms": "",
        "phone": "",
        "agentSourcedIds": "",
        "grades": "",
        "password": PASSWORD,
        **own,
    }


def _enrollment(
    sourced_id: str, class_id: str, school: str, person: str, role: str, primary: str = ""
) -> dict[str, str]:
    return {
        "sourcedId": sourced_id,
        "status": "",
        "dateLastModified": "",
        "classSourcedId": class_id,
        "schoolSourcedId": school,
        "userSourcedId": person,
        "role": role,
        "primary": primary,
        "beginDate": "",
        "endDate": "",
    }


def row_of(rows: Rows, file: str, sourced_id: str) -> dict[str, str]:
    """One row of a set, to be changed in place."""
    return next(row for row in rows[file] if row["sourcedId"] == sourced_id)


def manifest(**modes: str) -> bytes:
    """A manifest that says bulk for every file, but for those that are named."""
    modes = {**dict.fromkeys(FILE_NAMES, "bulk"), **dict.fromkeys(NOT_READ, "absent"), **modes}
    lines = ["propertyName,value", "manifest.version,1.0", "oneroster.version,1.1"]
    return "\r\n".join([*lines, *(f"file.{name},{mode}" for name, mode in modes.items()), ""]).encode()


def as_csv(rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_files(rows: Rows) -> dict[str, bytes]:
    files = {f"{name}.csv": as_csv(content) for name, content in rows.items() if content}
    return {"manifest.csv": manifest(**{n: "absent" for n in FILE_NAMES if not rows.get(n)}), **files}


def as_zip(files: dict[str, bytes], folder: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return out.getvalue()

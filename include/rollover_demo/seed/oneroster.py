"""Writes a roster as a OneRoster 1.1 CSV set in bulk mode, as a district's SIS does."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Iterable

from rollover.calendar import SchoolYear
from rollover_demo.seed.roster import Person, Roster, grade_code

Files = dict[str, bytes]

# Every file of OneRoster 1.1; the manifest must name them all.
ALL_FILES = (
    "academicSessions",
    "categories",
    "classes",
    "classResources",
    "courses",
    "courseResources",
    "demographics",
    "enrollments",
    "lineItems",
    "orgs",
    "resources",
    "results",
    "users",
)
HEADERS = {
    "academicSessions": "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear",
    "classes": "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,"
    "schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods",
    "courses": "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,"
    "subjects,subjectCodes",
    "demographics": "sourcedId,status,dateLastModified,birthDate,sex,americanIndianOrAlaskaNative,asian,"
    "blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,demographicRaceTwoOrMoreRaces,"
    "hispanicOrLatinoEthnicity,countryOfBirthCode,stateOfBirthAbbreviation,cityOfBirth,"
    "publicSchoolResidenceStatus",
    "enrollments": "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,"
    "primary,beginDate,endDate",
    "orgs": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId",
    "users": "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,"
    "familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password",
}
Row = dict[str, str | None]


def rows(roster: Roster) -> dict[str, list[Row]]:
    """Return the set's rows by OneRoster file name without ``.csv``. A column that is not named is blank."""
    return {
        "orgs": _orgs(roster),
        "academicSessions": _academic_sessions(roster),
        "courses": _courses(roster),
        "classes": _classes(roster),
        "users": _users(roster),
        "demographics": [
            {"sourcedId": p.id, "birthDate": p.birth_date.isoformat()} for p in roster.students if p.birth_date
        ],
        "enrollments": _enrollments(roster),
    }


def files(roster: Roster) -> Files:
    """Return the content of each file by name, ready for a folder or a zip."""
    return encode(rows(roster))


def broken_files(roster: Roster) -> Files:
    """Return a set that lacks a file that its manifest names."""
    content = files(roster)
    del content["courses.csv"]
    return content


def half_files(roster: Roster) -> Files:
    """Return a set like an export that broke off: without the people and classes of the last school."""
    content = rows(roster)
    lost = roster.tenant.schools[-1].id
    content["users"] = [row for row in content["users"] if row["orgSourcedIds"] != lost]
    for name in ("classes", "enrollments"):
        content[name] = [row for row in content[name] if row["schoolSourcedId"] != lost]
    there = {row["sourcedId"] for row in content["users"]}
    content["demographics"] = [row for row in content["demographics"] if row["sourcedId"] in there]
    content["enrollments"] = [row for row in content["enrollments"] if row["userSourcedId"] in there]
    return encode(content)


def with_mistakes(content: dict[str, list[Row]], year: SchoolYear) -> dict[str, list[Row]]:
    """Return a set with common mistakes: enrollments of a class that does not exist, and an invalid date."""
    for row in content["enrollments"][10:13]:
        row["classSourcedId"] = "class-of-another-export"
    content["enrollments"][40]["beginDate"] = f"31.02.{year.first_year}"
    return content


def encode(content: dict[str, list[Row]]) -> Files:
    """Return rows as CSV files with their manifest."""
    encoded = {f"{name}.csv": _csv(HEADERS[name].split(","), content[name]) for name in content}
    manifest: dict[str, str] = {
        "manifest.version": "1.0",
        "oneroster.version": "1.1",
        **{f"file.{name}": "bulk" if name in content else "absent" for name in ALL_FILES},
        "source.systemName": "Student information system",
    }
    encoded["manifest.csv"] = _csv(
        ["propertyName", "value"],
        ({"propertyName": name, "value": value} for name, value in manifest.items()),
    )
    return encoded


def as_zip(content: Files) -> bytes:
    """Return the set as one zip with the files at its root. The same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(content.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _orgs(roster: Roster) -> list[Row]:
    district = roster.district
    schools: list[Row] = [
        {
            "sourcedId": school.id,
            "name": school.name,
            "type": "school",
            "identifier": school.id,
            "parentSourcedId": district.org_sourced_id,
        }
        for school in roster.tenant.schools
    ]
    return [{"sourcedId": district.org_sourced_id, "name": district.name, "type": "district"}, *schools]


def _academic_sessions(roster: Roster) -> list[Row]:
    return [
        {
            "sourcedId": session.id,
            "title": session.title,
            "type": session.type,
            "startDate": session.starts.isoformat(),
            "endDate": session.ends.isoformat(),
            "parentSourcedId": session.parent_id,
            "schoolYear": str(roster.year.last_year),
        }
        for session in roster.sessions
    ]


def _courses(roster: Roster) -> list[Row]:
    titles = {s.course_id: (s.title.partition(",")[0], s.grade) for s in roster.sections}
    return [
        {
            "sourcedId": course_id,
            "schoolYearSourcedId": f"year-{roster.year.last_year}",
            "title": title,
            "courseCode": course_id.upper(),
            "grades": grade_code(grade),
            "orgSourcedId": roster.district.org_sourced_id,
        }
        for course_id, (title, grade) in sorted(titles.items())
    ]


def _classes(roster: Roster) -> list[Row]:
    return [
        {
            "sourcedId": section.id,
            "title": section.title,
            "grades": grade_code(section.grade),
            "courseSourcedId": section.course_id,
            "classCode": section.code,
            "classType": "homeroom" if section.homeroom else "scheduled",
            "location": section.room,
            "schoolSourcedId": section.school_id,
            "termSourcedIds": ",".join(section.term_ids),
            "periods": str(section.period),
        }
        for section in roster.sections
    ]


def _users(roster: Roster) -> list[Row]:
    wards: dict[str, list[str]] = defaultdict(list)
    for student in roster.students:
        for guardian_id in student.guardian_ids:
            wards[guardian_id].append(student.id)
    return [_user(person, wards) for person in roster.people if person.active]


def _user(person: Person, wards: dict[str, list[str]]) -> Row:
    agents = person.guardian_ids if person.role == "student" else wards.get(person.id, ())
    return {
        "sourcedId": person.id,
        "enabledUser": "true",
        "orgSourcedIds": person.school_id,
        "role": person.role,
        "username": person.username,
        "givenName": person.given,
        "familyName": person.family,
        "middleName": person.middle,
        "identifier": person.identifier,
        "email": person.email,
        "agentSourcedIds": ",".join(agents),
        "grades": None if person.grade is None else grade_code(person.grade),
    }


def _enrollments(roster: Roster) -> list[Row]:
    year = roster.sessions[0]
    found: list[Row] = []
    for section in roster.sections:
        members = [(section.teacher_id, "teacher"), *((s, "student") for s in section.student_ids)]
        found += [
            {
                "sourcedId": f"{section.id}.{person_id}",
                "classSourcedId": section.id,
                "schoolSourcedId": section.school_id,
                "userSourcedId": person_id,
                "role": role,
                "primary": "true" if role == "teacher" else None,
                "beginDate": year.starts.isoformat(),
                "endDate": year.ends.isoformat(),
            }
            for person_id, role in members
        ]
    return found


def _csv(header: list[str], content: Iterable[Row] | Iterable[dict[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, header, restval="")
    writer.writeheader()
    writer.writerows(content)
    return out.getvalue().encode()

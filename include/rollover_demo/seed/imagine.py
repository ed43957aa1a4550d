"""Makes the data of Imagine Math and Imagine Math Facts: accounts, classrooms and the year's academic data.

Frames have the columns of their tables, in any order and without ``tenant_id``.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl

from rollover_demo.seed.names import AVATARS, FACT_PATHWAYS
from rollover_demo.seed.roster import Person, Roster, generator, grade_code

Frames = dict[str, pl.DataFrame]
ACTIVITY = ("assessments", "progress", "usage", "pathways")
WEEKS = 38
Row = dict[str, Any]


def frames(roster: Roster) -> Frames:
    """Return every table of the tenant's product schema, by name."""
    rng = generator(roster.tenant.id, "activity", roster.year.key)
    math = roster.tenant.tenant.product == "imagine_math"
    accounts = {p.id: _uuid(rng) for p in (*roster.students, *roster.educators)}
    starts = roster.district.calendar(roster.year).starts
    made = datetime.combine(starts - timedelta(days=6), time(9), UTC)
    found: dict[str, list[Row]] = {
        "student_accounts": [
            {
                **_account(p, accounts, made),
                "grade": grade_code(_grade(p)),
                "band": "3+" if _is_upper(p) else "PreK-2",
            }
            for p in roster.students
        ],
        "educator_accounts": [_account(p, accounts, made) for p in roster.educators if p.role == "teacher"],
        "assessments": _assessments(rng, roster, accounts, math),
        "progress": [],
        "usage": _usage(rng, roster, accounts),
        **_classrooms(roster, accounts),
    }
    if math:
        found |= {"pathways": [], "think_points": [], "avatars": []}
    for student in roster.students:
        here = {"school_id": student.school_id, "account_id": accounts[student.id]}
        for pathway in _pathways(rng, student, math):
            found["progress"].append({**here, **_progress(rng, pathway)})
            if math:
                found["pathways"].append({**here, **_pathway(rng, roster, pathway)})
        if math and _is_upper(student):
            latest = made + timedelta(days=int(rng.integers(200, 290)))
            found["think_points"].append({**here, "points": int(rng.integers(0, 9000)), "as_of": latest})
            if rng.random() < 0.8:
                avatar = AVATARS[int(rng.integers(len(AVATARS)))]
                found["avatars"].append({**here, "avatar": avatar, "updated_at": latest})
    tables = {name: pl.DataFrame(rows, infer_schema_length=None) for name, rows in found.items()}
    for name in tables.keys() & set(ACTIVITY):
        tables[name] = tables[name].with_columns(pl.lit(roster.year.key).alias("school_year"))
    return tables


def _account(person: Person, accounts: dict[str, str], made: datetime) -> Row:
    return {
        "school_id": person.school_id,
        "account_id": accounts[person.id],
        "person_id": person.id,
        "username": person.username,
        "created_at": made,
    }


def _classrooms(roster: Roster, accounts: dict[str, str]) -> dict[str, list[Row]]:
    """A classroom per math class, with its teacher and students."""
    rooms: list[Row] = []
    members: list[Row] = []
    for section in roster.sections:
        room = {"school_id": section.school_id, "classroom_id": f"C-{section.id}"}
        rooms.append(
            {
                **room,
                "class_id": section.id,
                "name": section.title,
                "educator_account_id": accounts[section.teacher_id],
            }
        )
        members += [{**room, "account_id": accounts[student_id]} for student_id in section.student_ids]
    return {"classrooms": rooms, "classroom_students": members}


def _assessments(rng: np.random.Generator, roster: Roster, accounts: dict[str, str], math: bool) -> list[Row]:
    """Three benchmarks of Imagine Math, or five fluency checks of Facts; a student who was away has none."""
    names = [f"Benchmark {n}" for n in (1, 2, 3)] if math else [f"Fluency check {n}" for n in range(1, 6)]
    starts = roster.district.calendar(roster.year).starts
    found: list[Row] = []
    for student in roster.students:
        level = 300 + 45 * (_grade(student) + 1) + rng.normal(0, 60)
        for n, name in enumerate(names):
            if rng.random() < 0.06:
                continue
            day = starts + timedelta(days=20 + n * (250 // len(names)) + int(rng.integers(5)))
            found.append(
                {
                    "school_id": student.school_id,
                    "assessment_id": len(found) + 1,
                    "account_id": accounts[student.id],
                    "name": name,
                    "score": max(100, round(level + 25 * n + rng.normal(0, 20))),
                    "taken_on": day,
                }
            )
    return found


def _usage(rng: np.random.Generator, roster: Roster, accounts: dict[str, str]) -> list[Row]:
    """Minutes and problems per student and week of the school year; none over the winter break."""
    starts = roster.district.calendar(roster.year).starts
    first_monday = starts - timedelta(days=starts.weekday())
    weeks = [first_monday + timedelta(weeks=n) for n in range(WEEKS) if n not in (18, 19)]
    students = roster.students
    used = rng.random((len(students), len(weeks))) < 0.8
    minutes = rng.gamma(4, 12, size=used.shape).astype(int) + 1
    per_minute = rng.uniform(0.3, 1.2, size=len(students))
    return [
        {
            "school_id": student.school_id,
            "account_id": accounts[student.id],
            "week_of": weeks[w],
            "minutes": int(minutes[s, w]),
            "problems": int(minutes[s, w] * per_minute[s]),
        }
        for s, student in enumerate(students)
        for w in np.flatnonzero(used[s])
    ]


def _pathways(rng: np.random.Generator, student: Person, math: bool) -> list[str]:
    """The pathways a student is on; one in eight of the 3+ students is on two."""
    grade = _grade(student)
    if not math:
        return list(FACT_PATHWAYS[: 2 if grade < 3 else 4])
    if not _is_upper(student):
        return [f"PreK-2 Grade {grade_code(grade)}"]
    own = f"Grade {grade} Math"
    return [own, f"Grade {grade - 1} Intervention"] if rng.random() < 0.125 else [own]


def _progress(rng: np.random.Generator, pathway: str) -> Row:
    assigned = int(rng.integers(20, 60))
    passed = int(rng.binomial(assigned, 0.7))
    score = round(float(rng.uniform(55, 100)), 2) if passed else None
    return {
        "pathway": pathway,
        "lessons_assigned": assigned,
        "lessons_passed": passed,
        "average_score": score,
    }


def _pathway(rng: np.random.Generator, roster: Roster, pathway: str) -> Row:
    assigned = roster.district.calendar(roster.year).starts + timedelta(days=int(rng.integers(30, 60)))
    completed = assigned + timedelta(days=int(rng.integers(150, 220))) if rng.random() < 0.35 else None
    return {"pathway": pathway, "assigned_on": assigned, "completed_on": completed}


def _grade(student: Person) -> int:
    assert student.grade is not None, "every student has a grade"
    return student.grade


def _is_upper(student: Person) -> bool:
    return _grade(student) >= 3


def _uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))

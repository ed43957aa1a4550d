"""Makes the people of a tenant's schools: at the end of the finished year, in the next one, and some days later.

People depend on district and school alone, so two tenants of one district know the same people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from rollover.calendar import SchoolYear
from rollover_demo.seed.names import FAMILY, GIVEN
from rollover_demo.seed.roster import Person, Roster, generator, school_for
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, TenantSpec


def finished_year(district: DistrictSpec, tenant: TenantSpec) -> Roster:
    """Return the roster at the end of the finished year, with the graduates of past years."""
    people: list[Person] = []
    for school in tenant.schools:
        rng = generator(district.id, school.id, "people")
        people += _educators(rng, district, school, first=1, count=math.ceil(school.students / 18) + 1)
        grades = range(school.low, school.high + 1)
        people += _students(rng, district, school, [*grades] * school.cohort, first=1, year=district.year)
        # Only those of the highest grade have left by graduating; others moved on to the next school.
        beyond = range(13, 13 + tenant.past_years) if school.high == 12 else ()
        alumni = _students(rng, district, school, [*beyond] * school.cohort, first=3000, year=district.year)
        people += [replace(p, grade=12, years_gone=p.grade - 12) for p in alumni if p.grade is not None]
    return Roster(district, tenant, district.year, tuple(people))


def promoted(roster: Roster) -> Roster:
    """Return the roster of the next year: one grade up, graduates and leavers gone, a new cohort, new sections."""
    people: list[Person] = []
    rng = generator(roster.district.id, "promotion")
    leaves = dict(zip((p.id for p in roster.people), rng.random(len(roster.people)) < 0.05, strict=True))
    for person in roster.students:
        school = school_for(roster.tenant, person, (person.grade or 0) + 1)
        if school and not leaves[person.id]:
            people.append(replace(person, grade=(person.grade or 0) + 1, school_id=school.id))
    kept_guardians = {g for p in people for g in p.guardian_ids}
    people += [g for g in roster.of_role("guardian") if g.id in kept_guardians]
    people += [e for e in roster.educators if e.role == "administrator" or not leaves[e.id]]
    for school in roster.tenant.schools:
        new = generator(roster.district.id, school.id, "arrivals")
        people += _educators(new, roster.district, school, first=900, count=2, head=False)
        entering = 0 if _is_fed(roster.tenant, school) else school.cohort
        moved_here = [*range(school.low, school.high + 1)] * 2
        grades = [school.low] * entering + moved_here
        people += _students(new, roster.district, school, grades, first=6000, year=roster.year.next)
    return Roster(roster.district, roster.tenant, roster.year.next, tuple(people))


def later(roster: Roster) -> Roster:
    """Return the same roster some days later: three students gone, three new, a few guardians with an e-mail now."""
    gone = {p.id for p in roster.students[5:200:65]}
    missing = [p.id for p in roster.of_role("guardian") if p.email is None][:4]
    people = [
        replace(p, email=f"{p.username}@mail.example") if p.id in missing else p
        for p in roster.people
        if p.id not in gone
    ]
    school = roster.tenant.schools[0]
    rng = generator(roster.district.id, school.id, "late arrivals")
    people += _students(rng, roster.district, school, [school.low] * 3, first=8000, year=roster.year)
    linked = {g for p in people for g in p.guardian_ids}
    return replace(roster, people=tuple(p for p in people if p.role != "guardian" or p.id in linked))


def _students(
    rng: np.random.Generator,
    district: DistrictSpec,
    school: SchoolSpec,
    grades: list[int],
    *,
    first: int,
    year: SchoolYear,
) -> Iterator[Person]:
    """A student per item of `grades` in `year`, after the guardians that were not there yet; a quarter are
    siblings of the one before."""
    family = ""
    guardians: tuple[str, ...] = ()
    for number, grade in enumerate(grades, start=first):
        key = f"{school.id}{number:04d}"
        sibling, two, no_email, no_birth_date, has_middle = rng.random(5)
        if not guardians or sibling > 0.25:
            family = _pick(rng, FAMILY)
            guardians = tuple(f"G{key}{letter}" for letter in ("ab" if two < 0.6 else "a"))
            for i, guardian_id in enumerate(guardians):
                username = f"{family.lower()}.{guardian_id[1:].lower()}"
                email = None if i or no_email < 0.06 else f"{username}@mail.example"
                yield Person(guardian_id, "guardian", _pick(rng, GIVEN), None, family, username, email, school.id)
        given = _pick(rng, GIVEN)
        username = f"{given[0]}{family}{key}".lower()
        born = date(year.first_year - 5 - grade, 9, 1) - timedelta(days=int(rng.integers(1, 365)))
        yield Person(
            id=f"S{key}",
            role="student",
            given=given,
            middle=_pick(rng, GIVEN) if has_middle < 0.3 else None,
            family=family,
            username=username,
            email=f"{username}@students.{district.id}.example" if grade >= 6 else None,
            school_id=school.id,
            identifier=key,
            birth_date=None if no_birth_date < 0.01 else born,
            grade=grade,
            guardian_ids=guardians,
        )


def _educators(
    rng: np.random.Generator,
    district: DistrictSpec,
    school: SchoolSpec,
    *,
    first: int,
    count: int,
    head: bool = True,
) -> Iterator[Person]:
    """Teachers; the first one is the school's administrator if `head`."""
    for number in range(first, first + count):
        given, family = _pick(rng, GIVEN), _pick(rng, FAMILY)
        key = f"{school.id}{number:03d}"
        username = f"{given[0]}{family}{key}".lower()
        role = "administrator" if head and number == first else "teacher"
        email = f"{username}@{district.id}.example"
        yield Person(f"T{key}", role, given, None, family, username, email, school.id, identifier=key)


def _is_fed(tenant: TenantSpec, school: SchoolSpec) -> bool:
    return any(other.high + 1 == school.low for other in tenant.schools)


def _pick(rng: np.random.Generator, items: tuple[str, ...]) -> str:
    return items[int(rng.integers(len(items)))]

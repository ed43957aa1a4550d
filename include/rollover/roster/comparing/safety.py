"""Judges what a new roster would change: which limits it is over, and what seems to be wrong with it.

There are three seasons. The first import has no live roster to be compared with. What counts is how much of it is in
error, whether its students are in classes, and, if the roster was emptied since, how large the last set was. A set of
the live school year may remove and change fixed shares. The first set of a new year is compared with last year's
students moved up a grade (:mod:`rollover.roster.comparing.cohorts`). The limits are in the product and district files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rollover.config import RosterLimits
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.cohorts import (
    CLASS_SHARE,
    FIRST_COMPULSORY,
    LADDER,
    Cell,
    district_cells,
    leaving_grades,
    rung_of,
    school_cells,
)
from rollover.roster.comparing.numbers import (
    Numbers,
    by_school,
    has_moved,
    is_live,
    is_over,
    is_staged,
    live_place,
    staged_place,
)
from rollover.roster.comparing.tally import TYPES
from rollover.roster.model import GRADES


def judge(numbers: Numbers, limits: RosterLimits) -> tuple[list[Breach], list[Breach]]:
    """Return what is over its limit, and what is worth knowing, in a fixed order."""
    found: list[Breach] = [*_whose(numbers, limits), *_seen_before(numbers), *_incomplete(numbers, limits)]
    notes: list[Breach] = []
    if numbers.season is Season.FIRST:
        found += _fewer_than_before(numbers, limits)
    if numbers.season is not Season.FIRST:
        found += [*_emptied(numbers), *_people(numbers, limits)]
        notes += _rekeyed_few(numbers, limits)
        notes += _schools_that_came(numbers)
    if numbers.season is Season.DURING_THE_YEAR:
        found += [
            *_shares_in_year(numbers, limits),
            *_places_in_year(numbers, limits),
            *_grades_in_year(numbers, limits),
        ]
    if numbers.season is Season.NEW_YEAR:
        found += [*_sizes(numbers, limits), *_year(numbers, limits), *_cohorts(numbers, limits)]
        notes += _sections_reused_few(numbers, limits)
    notes += _schools_that_closed(numbers, limits, found)
    emptied = {breach.what for breach in found if breach.code is Code.EMPTIED}
    follows = {(code, kind) for code in (Code.REMOVED, Code.HALF_SET) for kind in emptied}
    if "enrollments" in emptied:
        follows.add((Code.WITHOUT_ENROLLMENT, "students"))
    kept = [breach for breach in found if (breach.code, breach.what) not in follows]
    return sorted(kept, key=_order), sorted(notes, key=_order)


def _order(breach: Breach) -> tuple[int, str, str, int]:
    grade = GRADES.index(breach.grade) if breach.grade in GRADES else -1
    return list(Code).index(breach.code), breach.what, breach.school or "", grade


# Any season


def _whose(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find files of another district: few of their schools are known."""
    schools = numbers.tally.schools
    known = numbers.directory_schools | {school_id for school_id, school in schools.items() if school.is_live}
    staged = {school_id for school_id, school in schools.items() if school.is_staged}
    most = min(len(known), len(staged))
    if most and len(known & staged) < limits.known_schools * most:
        yield Breach(Code.OTHER_DISTRICT, "schools", most, len(known & staged), limits.known_schools)


def _seen_before(numbers: Numbers) -> Iterator[Breach]:
    """Find files that were dropped before and are not live now: an old export, or one that a person discarded."""
    if numbers.seen_before:
        yield Breach(Code.SEEN_BEFORE, numbers.seen_before, 0, numbers.staged("students"), 0)


def _incomplete(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find sets with many errors or a missing part. A first import can be judged by that too."""
    for file in numbers.cut_off:
        yield Breach(Code.CUT_OFF, file, 0, 0, 0)
    for file, rows in numbers.other_status.items():
        yield Breach(Code.OTHER_STATUS, file, numbers.rejected_rows.get(file, (rows, 0))[0], rows, 0)
    for file, (rows, rejected) in numbers.rejected_rows.items():
        if is_over(rejected, rows, limits.rows_kept_out, limits.least_rows):
            yield Breach(Code.ROWS_KEPT_OUT, file, rows, rejected, limits.rows_kept_out)
    students, alone = numbers.staged("students"), numbers.without_enrollment
    if is_over(alone, students, limits.without_enrollment, limits.least_rows):
        yield Breach(Code.WITHOUT_ENROLLMENT, "students", students, alone, limits.without_enrollment)


def _fewer_than_before(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Compare with the last set that was applied, since the roster was emptied after it."""
    for kind, before in numbers.before.items():
        field, staged = _limit_of(kind), numbers.staged(kind)
        share = getattr(limits.new_year.fewer, field, None) if field else None
        if share is not None and is_over(before - staged, before, share, limits.least_rows):
            yield Breach(Code.HALF_SET, kind, before, staged, share)


def _emptied(numbers: Numbers) -> Iterator[Breach]:
    """Find types that a set would delete altogether: a missing or empty file never means that."""
    for kind in TYPES:
        if kind != "other_orgs" and (live := numbers.live(kind)) and not numbers.staged(kind):
            yield Breach(Code.EMPTIED, kind, live, 0, 0)


def _people(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find people and schools with a new id, and ids that belong to somebody else now."""
    for kind, live, rekeyed in _rekeyed(numbers):
        if is_over(rekeyed, live, limits.rekeyed, limits.least_rows):
            yield Breach(Code.REKEYED, kind, live, rekeyed, limits.rekeyed)
    if schools := sum(flow.rekeyed for flow in numbers.tally.flows if flow.kind == "schools"):
        yield Breach(Code.SCHOOL_REKEYED, "schools", numbers.live("schools"), schools, 0)
    for kind, reassigned in sorted(numbers.tally.ids_reassigned.items()):
        kept = numbers.changed(kind, "changed", "unchanged")
        if is_over(reassigned, kept, limits.ids_reassigned, limits.least_rows):
            yield Breach(Code.IDS_REASSIGNED, kind, kept, reassigned, limits.ids_reassigned)


def _rekeyed(numbers: Numbers) -> Iterator[tuple[str, int, int]]:
    for kind in ("students", "educators", "guardians"):
        rekeyed = sum(flow.rekeyed for flow in numbers.tally.flows if flow.kind == kind)
        yield kind, numbers.live(kind), rekeyed


def _rekeyed_few(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    for kind, live, rekeyed in _rekeyed(numbers):
        if rekeyed and not is_over(rekeyed, live, limits.rekeyed, limits.least_rows):
            yield Breach(Code.REKEYED, kind, live, rekeyed, limits.rekeyed)


def _schools_that_came(numbers: Numbers) -> Iterator[Breach]:
    staged = by_school(numbers.students_by(staged_place, is_staged))
    for school_id, school in numbers.tally.schools.items():
        if school.is_staged and not school.is_live:
            yield Breach(Code.SCHOOL_ADDED, "students", 0, staged[school_id], 0, school_id)


def _schools_that_closed(numbers: Numbers, limits: RosterLimits, found: list[Breach]) -> Iterator[Breach]:
    """Find schools that have no students any more because they are in other schools."""
    lost = {breach.school for breach in found if breach.code is Code.SCHOOL_LOST}
    staged = by_school(numbers.students_by(staged_place, is_staged))
    for school_id, students in by_school(numbers.students_by(live_place, is_live)).items():
        if school_id and not staged[school_id] and school_id not in lost and students >= limits.least_lost:
            yield Breach(Code.SCHOOL_CLOSED, "students", students, 0, 0, school_id)


# During the year


def _shares_in_year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    limit = limits.during_the_year
    for kind in TYPES:
        field = _limit_of(kind)
        if field is None:
            continue
        live, removed = numbers.live(kind), numbers.changed(kind, "removed")
        if is_over(removed, live, share := getattr(limit.removed, field), limits.least_rows):
            yield Breach(Code.REMOVED, kind, live, removed, share)
        if is_over(
            changed := numbers.changed(kind, "changed"), live, share := getattr(limit.changed, field), limits.least_rows
        ):
            yield Breach(Code.CHANGED, kind, live, changed, share)
    live, staged = numbers.live("students"), numbers.staged("students")
    if live and is_over(staged - live, live, limit.grown, limits.least_rows):
        yield Breach(Code.GROWN, "students", live, staged, limit.grown)


def _limit_of(kind: str) -> str | None:
    """The name of the limit for a type; None if it has none."""
    return {"other_orgs": None, "guardian_links": "guardians"}.get(kind, kind)


def _places_in_year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find schools and grades that lost or gained many students. Moves within the district do not count."""
    limit = limits.during_the_year
    live = numbers.students_by(live_place, is_live)
    removed = numbers.students_by(live_place, lambda flow: flow.change == "removed")
    staged = numbers.students_by(staged_place, is_staged)
    live_of, removed_of, staged_of = by_school(live), by_school(removed), by_school(staged)
    reported = set()
    for school, students in live_of.items():
        least = limits.least_in_a_school if staged_of[school] else limits.least_lost
        if school and is_over(removed_of[school], students, limit.removed_of_a_school, least):
            reported.add(school)
            code = Code.SCHOOL_SHRUNK if staged_of[school] else Code.SCHOOL_LOST
            left = students - removed_of[school]
            yield Breach(code, "students", students, left, limit.removed_of_a_school, school)
    for (school, grade), students in live.items():
        gone = removed[school, grade]
        least = limits.least_in_a_grade if staged[school, grade] else limits.least_lost
        if school and school not in reported and is_over(gone, students, limit.removed_of_a_grade, least):
            code = Code.GRADE_SHRUNK if staged[school, grade] else Code.GRADE_LOST
            yield Breach(code, "students", students, students - gone, limit.removed_of_a_grade, school, grade)
    arrived = by_school(numbers.students_by(staged_place, has_moved))
    for school, students in live_of.items():
        grown = staged_of[school] - arrived[school] - students
        if school and is_over(grown, students, limit.grown, limits.least_in_a_school):
            yield Breach(Code.SCHOOL_GROWN, "students", students, staged_of[school], limit.grown, school)


def _grades_in_year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find sets of another year that claim to be of this year: everybody is a grade up, or down."""
    limit = limits.during_the_year.in_another_grade
    for code, steps in ((Code.PROMOTED_IN_YEAR, 1), (Code.STALE_YEAR, -1)):
        yield from _in_wrong_grade(numbers, limits, code, steps, limit)


# A new year


def _sizes(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find types with far fewer rows than before, and educators and guardians who did not return."""
    limit = limits.new_year
    for kind in TYPES:
        field = _limit_of(kind)
        if field is None or field in ("schools", "sessions", "students"):
            continue
        live, staged = numbers.live(kind), numbers.staged(kind)
        if is_over(live - staged, live, share := getattr(limit.fewer, field), limits.least_rows):
            yield Breach(Code.HALF_SET, kind, live, staged, share)
    for kind in ("educators", "guardians"):
        live, gone = numbers.live(kind), numbers.changed(kind, "removed")
        if is_over(gone, live, share := getattr(limit.gone, kind), limits.least_rows):
            yield Breach(Code.REMOVED, kind, live, gone, share)


def _year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find signs that a set is not of the year that it claims."""
    limit = limits.new_year
    if numbers.live("students") and not any(
        flow.change != "unchanged"
        for flow in numbers.tally.flows
        if flow.kind in ("students", "classes", "enrollments")
    ):
        yield Breach(Code.SAME_CONTENT, "students", 0, numbers.staged("students"), 0)
    yield from _in_wrong_grade(numbers, limits, Code.STALE_YEAR, 0, limit.in_old_grade)
    yield from _in_wrong_grade(numbers, limits, Code.PROMOTED_TWICE, numbers.years + 1, limit.two_grades_up)
    yield from _graduates(numbers, limits)
    classes = numbers.staged("classes")
    if is_over(reused := numbers.tally.section_ids_reused, classes, limit.section_ids_reused, limits.least_rows):
        yield Breach(Code.SECTION_IDS_REUSED, "classes", classes, reused, limit.section_ids_reused)


def _sections_reused_few(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    classes, limit = numbers.staged("classes"), limits.new_year.section_ids_reused
    reused = numbers.tally.section_ids_reused
    if reused and not is_over(reused, classes, limit, limits.least_rows):
        yield Breach(Code.SECTION_IDS_REUSED, "classes", classes, reused, limit)


def _in_wrong_grade(numbers: Numbers, limits: RosterLimits, code: Code, steps: int, limit: float) -> Iterator[Breach]:
    """Find returning students who are exactly `steps` grades up: in the district, or else in single schools.

    Only grades from kindergarten on count: before it, children stay in a program for one to three years.
    """
    returning: Counter[str | None] = Counter()
    wrong: Counter[str | None] = Counter()
    for flow in numbers.students:
        if flow.change not in ("changed", "unchanged"):
            continue
        before, now = rung_of(flow.live_grade), rung_of(flow.grade)
        if before is not None and now is not None and min(before, now) >= FIRST_COMPULSORY:
            returning[flow.school] += flow.rows
            wrong[flow.school] += flow.rows if now - before == steps else 0
    if is_over(wrong.total(), returning.total(), limit, limits.least_rows):
        yield Breach(code, "students", returning.total(), wrong.total(), limit)
        return
    for school, students in returning.items():
        if school and is_over(wrong[school], students, limit, limits.least_in_a_school):
            yield Breach(code, "students", students, wrong[school], limit, school)


def _graduates(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Find students of last year's last grade who are still there. Whether the district added a grade, only a person
    can know."""
    live: Counter[str | None] = Counter()
    still: Counter[str | None] = Counter()
    for flow in numbers.students:
        if flow.is_live and flow.live_grade in LADDER:
            live[flow.live_grade] += flow.rows
            still[flow.live_grade] += flow.rows if flow.is_staged else 0
    classes = [grade for grade in LADDER if live[grade] and live[grade] >= CLASS_SHARE * live.total()]
    if classes and is_over(still[classes[-1]], live[classes[-1]], limits.new_year.graduates, limits.least_rows):
        last = classes[-1]
        yield Breach(Code.GRADUATES, "students", live[last], still[last], limits.new_year.graduates, grade=last)


def _cohorts(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Compare students with last year's counts moved up: in the district, in each school, and in each of its grades."""
    yield from _district(numbers, limits)
    by_school: dict[str, list[Cell]] = {}
    for cell in school_cells(numbers):
        if cell.school:
            by_school.setdefault(cell.school, []).append(cell)
    for school, cells in by_school.items():
        breach = _school(school, cells, limits)
        yield from [breach] if breach else _grades(cells, limits)


def _district(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    cells, limit, least = district_cells(numbers), limits.new_year, limits.least_rows
    expected, found = sum(cell.expected for cell in cells), sum(cell.found for cell in cells)
    low, high = sum(cell.low for cell in cells), sum(cell.high for cell in cells)
    if is_over(low - found, low, limit.fewer.students, least):
        yield Breach(Code.HALF_SET, "students", expected, found, limit.fewer.students)
    if is_over(found - high, high, limit.grown, least):
        yield Breach(Code.GROWN, "students", expected, found, limit.grown)
    leaving = leaving_grades(numbers)
    continuing = [flow for flow in numbers.students if flow.is_live and flow.live_grade not in leaving]
    to_return = sum(flow.rows for flow in continuing)
    gone = sum(flow.rows for flow in continuing if flow.change == "removed")
    if is_over(gone, to_return, limit.gone.students, least):
        yield Breach(Code.REMOVED, "students", to_return, gone, limit.gone.students)


def _school(school: str, cells: list[Cell], limits: RosterLimits) -> Breach | None:
    expected, found = sum(cell.expected for cell in cells), sum(cell.found for cell in cells)
    low, high = sum(cell.low for cell in cells), sum(cell.high for cell in cells)
    limit, least = limits.new_year, limits.least_in_a_school
    missing = low - found - sum(cell.missing_explained for cell in cells)
    if is_over(missing, low, limit.fewer_in_a_school, least if found else limits.least_lost):
        code = Code.SCHOOL_SHRUNK if found else Code.SCHOOL_LOST
        return Breach(code, "students", expected, found, limit.fewer_in_a_school, school)
    extra = found - high - sum(cell.extra_explained for cell in cells)
    if high and is_over(extra, high, limit.grown_in_a_school, least):
        return Breach(Code.SCHOOL_GROWN, "students", expected, found, limit.grown_in_a_school, school)
    return None


def _grades(cells: Iterable[Cell], limits: RosterLimits) -> Iterator[Breach]:
    """Judge single grades. Those outside the ladder are left out: students enter and leave them at any time.

    Nobody knows who will be in an entering class. In a small school it may be empty.
    """
    limit, least = limits.new_year, limits.least_in_a_grade
    for cell in cells:
        if cell.grade not in LADDER:
            continue
        is_lost = cell.moves_up and not cell.found
        if is_over(cell.missing, cell.low, limit.fewer_in_a_grade, limits.least_lost if is_lost else least):
            code = Code.GRADE_SHRUNK if cell.found else Code.GRADE_LOST
            share = limit.fewer_in_a_grade
        elif cell.high and is_over(cell.extra, cell.high, limit.grown_in_a_grade, least):
            code, share = Code.GRADE_GROWN, limit.grown_in_a_grade
        else:
            continue
        yield Breach(code, "students", cell.expected, cell.found, share, cell.school, cell.grade)

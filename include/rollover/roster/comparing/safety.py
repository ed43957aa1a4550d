"""Judge what a set would change: over which limits it is, and what seems to be wrong with it.

Three seasons. The first import has no live roster to be compared with: what counts is how much of it is in error,
whether its students are in classes, and how large the last set was, if the roster was emptied since. A set of the live
school year may remove and change fixed shares. The first set of a new year is expected to be last year's students moved
up a grade:

- who was in a grade of a school is expected in the next one, where the school has it;
- a school's lowest grade, and kindergarten, is expected as large as last year's: whoever feeds it;
- who was in a school's last grade is expected to be gone from it, unless the school has a further grade now.

Counts are compared, and people only where that explains a number: whoever is in the set in another school is not
missing, so that a school that closes, merges or gives up a grade is distinguished from one that was left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from rollover.config import RosterLimits
from rollover.roster.comparing.tally import TYPES, Flow, Tally
from rollover.roster.model import GRADES

LADDER = GRADES[: GRADES.index("13") + 1]
"""The grades that follow one another. Nobody moves up from the others (ungraded, postsecondary, other)."""
FIRST_COMPULSORY = LADDER.index("KG")
"""What comes before is a choice of the parents: how many were in pre-kindergarten says little about kindergarten."""
LAST_REGULAR = LADDER.index("12")
"""Who is in grade 13 stayed on; nobody else is expected to."""
OFFERED_SHARE = 0.05
"""A school has a grade if the grade is at least this share of its largest: a grade mistyped is none."""
CLASS_SHARE = 0.02
"""Fewer of a district's students are no graduating class: a few who stay for a 13th year."""

Place = tuple[str | None, str | None]
"""A school and a grade."""


class Season(StrEnum):
    FIRST = "first import"
    DURING_THE_YEAR = "during the year"
    NEW_YEAR = "new year"


class Code(StrEnum):
    """What is over a limit, or worth knowing. Stable: they are in the ledger, and docs and people go by them."""

    EMPTIED = "emptied"
    REMOVED = "removed"
    CHANGED = "changed"
    HALF_SET = "half_set"
    SCHOOL_LOST = "school_lost"
    SCHOOL_SHRUNK = "school_shrunk"
    SCHOOL_GROWN = "school_grown"
    SCHOOL_CLOSED = "school_closed"
    SCHOOL_ADDED = "school_added"
    SCHOOL_REKEYED = "school_rekeyed"
    GRADE_LOST = "grade_lost"
    GRADE_SHRUNK = "grade_shrunk"
    GRADE_GROWN = "grade_grown"
    GROWN = "grown"
    STALE_YEAR = "stale_year"
    SAME_CONTENT = "same_content"
    SEEN_BEFORE = "seen_before"
    PROMOTED_TWICE = "promoted_twice"
    PROMOTED_IN_YEAR = "promoted_in_year"
    GRADUATES = "graduates"
    SECTION_IDS_REUSED = "section_ids_reused"
    REKEYED = "rekeyed"
    IDS_REASSIGNED = "ids_reassigned"
    OTHER_DISTRICT = "other_district"
    CUT_OFF = "cut_off"
    OTHER_STATUS = "other_status"
    ROWS_KEPT_OUT = "rows_kept_out"
    WITHOUT_ENROLLMENT = "without_enrollment"


@dataclass(frozen=True)
class Breach:
    """A number that is over its limit, or, as a warning, one that is worth knowing. Numbers and places, no person.

    ``limit`` is a share of ``expected``. ``found`` is what there is in its place; for shares of people in a wrong
    state (gone, re-keyed, in their old grade, …) it is how many they are, of the ``expected`` that were looked at.
    """

    code: Code
    what: str
    expected: int
    found: int
    limit: float
    school: str | None = None
    grade: str | None = None


@dataclass(frozen=True)
class Cell:
    """Students of one grade in one school (of the district: school None).

    ``expected`` moved up or came in; between ``low`` and ``high`` a number is as likely, since cohorts differ in size
    and schools take in students in other grades than their first. ``explained`` are those who are in another school
    of the set instead (a missing number) or come from one (a number too many).
    """

    school: str | None
    grade: str | None
    expected: int
    low: int
    high: int
    found: int
    missing_explained: int = 0
    extra_explained: int = 0
    moves_up: bool = False
    """Whether it is last year's class of the grade below; else its students come in from anywhere."""

    @property
    def missing(self) -> int:
        return self.low - self.found - self.missing_explained

    @property
    def extra(self) -> int:
        return self.found - self.high - self.extra_explained


@dataclass(frozen=True)
class Numbers:
    """Everything that is judged. ``years`` is how many school years the set is ahead of the live roster;
    ``seen_before`` what became of an earlier drop of the same files, if there was one."""

    season: Season
    years: int
    tally: Tally
    directory_schools: frozenset[str] = frozenset()
    seen_before: str | None = None
    kept_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By file: how many rows it has, and how many of them are kept out for errors."""
    without_enrollment: int = 0
    """Students of the set who are in no class of it."""
    cut_off: Sequence[str] = ()
    """Files that end inside a row."""
    other_status: Mapping[str, int] = field(default_factory=dict)
    """By file: rows with a status that nobody has said the meaning of."""
    before: Mapping[str, int] = field(default_factory=dict)
    """By type, the rows of the last set that was applied. For a roster that was emptied since."""

    def staged(self, kind: str) -> int:
        return self._rows(kind, lambda flow: flow.is_staged)

    def live(self, kind: str) -> int:
        return self._rows(kind, lambda flow: flow.is_live)

    def changed(self, kind: str, *changes: str) -> int:
        return self._rows(kind, lambda flow: flow.change in changes)

    def _rows(self, kind: str, wanted: Callable[[Flow], bool]) -> int:
        return sum(flow.rows for flow in self.tally.flows if flow.kind == kind and wanted(flow))

    @cached_property
    def students(self) -> tuple[Flow, ...]:
        return tuple(flow for flow in self.tally.flows if flow.kind == "students")

    def students_by(self, place: Callable[[Flow], Place], wanted: Callable[[Flow], bool]) -> Counter[Place]:
        """Students by school and grade."""
        found: Counter[Place] = Counter()
        for flow in self.students:
            if wanted(flow):
                found[place(flow)] += flow.rows
        return found


def judge(numbers: Numbers, limits: RosterLimits) -> tuple[list[Breach], list[Breach]]:
    """What is over its limit, and what is worth knowing, in a fixed order."""
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
    told_by_emptied = {(code, kind) for code in (Code.REMOVED, Code.HALF_SET) for kind in emptied}
    if "enrollments" in emptied:
        told_by_emptied.add((Code.WITHOUT_ENROLLMENT, "students"))
    kept = [breach for breach in found if (breach.code, breach.what) not in told_by_emptied]
    return sorted(kept, key=_order), sorted(notes, key=_order)


def _order(breach: Breach) -> tuple[int, str, str, int]:
    grade = GRADES.index(breach.grade) if breach.grade in GRADES else -1
    return list(Code).index(breach.code), breach.what, breach.school or "", grade


# Any season


def _whose(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Few of the schools are known: these may be another district's files."""
    schools = numbers.tally.schools
    known = numbers.directory_schools | {school_id for school_id, school in schools.items() if school.is_live}
    staged = {school_id for school_id, school in schools.items() if school.is_staged}
    most = min(len(known), len(staged))
    if most and len(known & staged) < limits.known_schools * most:
        yield Breach(Code.OTHER_DISTRICT, "schools", most, len(known & staged), limits.known_schools)


def _seen_before(numbers: Numbers) -> Iterator[Breach]:
    """Files that were dropped before, and are not what is live: an old export, or what a person did not want."""
    if numbers.seen_before:
        yield Breach(Code.SEEN_BEFORE, numbers.seen_before, 0, numbers.staged("students"), 0)


def _incomplete(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Much of a set is in error, or a part of it is missing: also a first import can be looked at by that."""
    for file in numbers.cut_off:
        yield Breach(Code.CUT_OFF, file, 0, 0, 0)
    for file, rows in numbers.other_status.items():
        yield Breach(Code.OTHER_STATUS, file, numbers.kept_out.get(file, (rows, 0))[0], rows, 0)
    for file, (rows, kept_out) in numbers.kept_out.items():
        if _over(kept_out, rows, limits.rows_kept_out, limits.least_rows):
            yield Breach(Code.ROWS_KEPT_OUT, file, rows, kept_out, limits.rows_kept_out)
    students, alone = numbers.staged("students"), numbers.without_enrollment
    if _over(alone, students, limits.without_enrollment, limits.least_rows):
        yield Breach(Code.WITHOUT_ENROLLMENT, "students", students, alone, limits.without_enrollment)


def _fewer_than_before(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """The roster is empty now, and was not before: the set is held against the one that was."""
    for kind, before in numbers.before.items():
        field, staged = _limit_of(kind), numbers.staged(kind)
        share = getattr(limits.new_year.fewer, field, None) if field else None
        if share is not None and _over(before - staged, before, share, limits.least_rows):
            yield Breach(Code.HALF_SET, kind, before, staged, share)


def _emptied(numbers: Numbers) -> Iterator[Breach]:
    """A missing or empty file never means that everything is deleted, however little that is."""
    for kind in TYPES:
        if kind != "other_orgs" and (live := numbers.live(kind)) and not numbers.staged(kind):
            yield Breach(Code.EMPTIED, kind, live, 0, 0)


def _people(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Who has another id now, and ids that stand for others now."""
    for kind, live, rekeyed in _rekeyed(numbers):
        if _over(rekeyed, live, limits.rekeyed, limits.least_rows):
            yield Breach(Code.REKEYED, kind, live, rekeyed, limits.rekeyed)
    if schools := sum(flow.rekeyed for flow in numbers.tally.flows if flow.kind == "schools"):
        yield Breach(Code.SCHOOL_REKEYED, "schools", numbers.live("schools"), schools, 0)
    for kind, reassigned in sorted(numbers.tally.ids_reassigned.items()):
        kept = numbers.changed(kind, "changed", "unchanged")
        if _over(reassigned, kept, limits.ids_reassigned, limits.least_rows):
            yield Breach(Code.IDS_REASSIGNED, kind, kept, reassigned, limits.ids_reassigned)


def _rekeyed(numbers: Numbers) -> Iterator[tuple[str, int, int]]:
    for kind in ("students", "educators", "guardians"):
        rekeyed = sum(flow.rekeyed for flow in numbers.tally.flows if flow.kind == kind)
        yield kind, numbers.live(kind), rekeyed


def _rekeyed_few(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    for kind, live, rekeyed in _rekeyed(numbers):
        if rekeyed and not _over(rekeyed, live, limits.rekeyed, limits.least_rows):
            yield Breach(Code.REKEYED, kind, live, rekeyed, limits.rekeyed)


def _schools_that_came(numbers: Numbers) -> Iterator[Breach]:
    staged = _by_school(numbers.students_by(_staged_place, _is_staged))
    for school_id, school in numbers.tally.schools.items():
        if school.is_staged and not school.is_live:
            yield Breach(Code.SCHOOL_ADDED, "students", 0, staged[school_id], 0, school_id)


def _schools_that_closed(numbers: Numbers, limits: RosterLimits, found: list[Breach]) -> Iterator[Breach]:
    """Schools without students now, whose students are in other schools."""
    lost = {breach.school for breach in found if breach.code is Code.SCHOOL_LOST}
    staged = _by_school(numbers.students_by(_staged_place, _is_staged))
    for school_id, students in _by_school(numbers.students_by(_live_place, _is_live)).items():
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
        if _over(removed, live, share := getattr(limit.removed, field), limits.least_rows):
            yield Breach(Code.REMOVED, kind, live, removed, share)
        if _over(
            changed := numbers.changed(kind, "changed"), live, share := getattr(limit.changed, field), limits.least_rows
        ):
            yield Breach(Code.CHANGED, kind, live, changed, share)
    live, staged = numbers.live("students"), numbers.staged("students")
    if live and _over(staged - live, live, limit.grown, limits.least_rows):
        yield Breach(Code.GROWN, "students", live, staged, limit.grown)


def _limit_of(kind: str) -> str | None:
    """The limit that goes for a type."""
    return {"other_orgs": None, "guardian_links": "guardians"}.get(kind, kind)


def _places_in_year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Schools and grades that lost their students: who moved within the district is not lost."""
    limit = limits.during_the_year
    live = numbers.students_by(_live_place, _is_live)
    removed = numbers.students_by(_live_place, lambda flow: flow.change == "removed")
    staged = numbers.students_by(_staged_place, _is_staged)
    live_of, removed_of, staged_of = _by_school(live), _by_school(removed), _by_school(staged)
    reported = set()
    for school, students in live_of.items():
        least = limits.least_in_a_school if staged_of[school] else limits.least_lost
        if school and _over(removed_of[school], students, limit.removed_of_a_school, least):
            reported.add(school)
            code = Code.SCHOOL_SHRUNK if staged_of[school] else Code.SCHOOL_LOST
            left = students - removed_of[school]
            yield Breach(code, "students", students, left, limit.removed_of_a_school, school)
    for (school, grade), students in live.items():
        gone = removed[school, grade]
        least = limits.least_in_a_grade if staged[school, grade] else limits.least_lost
        if school and school not in reported and _over(gone, students, limit.removed_of_a_grade, least):
            code = Code.GRADE_SHRUNK if staged[school, grade] else Code.GRADE_LOST
            yield Breach(code, "students", students, students - gone, limit.removed_of_a_grade, school, grade)
    arrived = _by_school(numbers.students_by(_staged_place, has_moved))
    for school, students in live_of.items():
        grown = staged_of[school] - arrived[school] - students
        if school and _over(grown, students, limit.grown, limits.least_in_a_school):
            yield Breach(Code.SCHOOL_GROWN, "students", students, staged_of[school], limit.grown, school)


def _grades_in_year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Everybody is a grade up, or down: another year's set that says it is of this year."""
    limit = limits.during_the_year.in_another_grade
    for code, steps in ((Code.PROMOTED_IN_YEAR, 1), (Code.STALE_YEAR, -1)):
        yield from _in_wrong_grade(numbers, limits, code, steps, limit)


# A new year


def _sizes(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Types that are much smaller than they were, and people who were to return and are not there."""
    limit = limits.new_year
    for kind in TYPES:
        field = _limit_of(kind)
        if field is None or field in ("schools", "sessions", "students"):
            continue
        live, staged = numbers.live(kind), numbers.staged(kind)
        if _over(live - staged, live, share := getattr(limit.fewer, field), limits.least_rows):
            yield Breach(Code.HALF_SET, kind, live, staged, share)
    for kind in ("educators", "guardians"):
        live, gone = numbers.live(kind), numbers.changed(kind, "removed")
        if _over(gone, live, share := getattr(limit.gone, kind), limits.least_rows):
            yield Breach(Code.REMOVED, kind, live, gone, share)


def _year(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """What shows that a set is not of the year that it says it is of."""
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
    if _over(reused := numbers.tally.section_ids_reused, classes, limit.section_ids_reused, limits.least_rows):
        yield Breach(Code.SECTION_IDS_REUSED, "classes", classes, reused, limit.section_ids_reused)


def _sections_reused_few(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    classes, limit = numbers.staged("classes"), limits.new_year.section_ids_reused
    reused = numbers.tally.section_ids_reused
    if reused and not _over(reused, classes, limit, limits.least_rows):
        yield Breach(Code.SECTION_IDS_REUSED, "classes", classes, reused, limit)


def _in_wrong_grade(numbers: Numbers, limits: RosterLimits, code: Code, steps: int, limit: float) -> Iterator[Breach]:
    """Returning students who are so many grades up, in the district, else in single schools of it.

    Only of those from kindergarten on: before it, children stay in a program for a year or for three.
    """
    returning: Counter[str | None] = Counter()
    wrong: Counter[str | None] = Counter()
    for flow in numbers.students:
        if flow.change not in ("changed", "unchanged"):
            continue
        before, now = _rung(flow.live_grade), _rung(flow.grade)
        if before is not None and now is not None and min(before, now) >= FIRST_COMPULSORY:
            returning[flow.school] += flow.rows
            wrong[flow.school] += flow.rows if now - before == steps else 0
    if _over(wrong.total(), returning.total(), limit, limits.least_rows):
        yield Breach(code, "students", returning.total(), wrong.total(), limit)
        return
    for school, students in returning.items():
        if school and _over(wrong[school], students, limit, limits.least_in_a_school):
            yield Breach(code, "students", students, wrong[school], limit, school)


def _graduates(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Students of last year's last grade who are students still; also where the district grows by a grade, since only
    a person can know that."""
    live: Counter[str | None] = Counter()
    still: Counter[str | None] = Counter()
    for flow in numbers.students:
        if flow.is_live and flow.live_grade in LADDER:
            live[flow.live_grade] += flow.rows
            still[flow.live_grade] += flow.rows if flow.is_staged else 0
    classes = [grade for grade in LADDER if live[grade] and live[grade] >= CLASS_SHARE * live.total()]
    if classes and _over(still[classes[-1]], live[classes[-1]], limits.new_year.graduates, limits.least_rows):
        last = classes[-1]
        yield Breach(Code.GRADUATES, "students", live[last], still[last], limits.new_year.graduates, grade=last)


def _cohorts(numbers: Numbers, limits: RosterLimits) -> Iterator[Breach]:
    """Students against last year's counts moved up: in the district, in each school, in each of its grades."""
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
    if _over(low - found, low, limit.fewer.students, least):
        yield Breach(Code.HALF_SET, "students", expected, found, limit.fewer.students)
    if _over(found - high, high, limit.grown, least):
        yield Breach(Code.GROWN, "students", expected, found, limit.grown)
    leaving = _leaving(numbers)
    continuing = [flow for flow in numbers.students if flow.is_live and flow.live_grade not in leaving]
    to_return = sum(flow.rows for flow in continuing)
    gone = sum(flow.rows for flow in continuing if flow.change == "removed")
    if _over(gone, to_return, limit.gone.students, least):
        yield Breach(Code.REMOVED, "students", to_return, gone, limit.gone.students)


def _school(school: str, cells: list[Cell], limits: RosterLimits) -> Breach | None:
    expected, found = sum(cell.expected for cell in cells), sum(cell.found for cell in cells)
    low, high = sum(cell.low for cell in cells), sum(cell.high for cell in cells)
    limit, least = limits.new_year, limits.least_in_a_school
    missing = low - found - sum(cell.missing_explained for cell in cells)
    if _over(missing, low, limit.fewer_in_a_school, least if found else limits.least_lost):
        code = Code.SCHOOL_SHRUNK if found else Code.SCHOOL_LOST
        return Breach(code, "students", expected, found, limit.fewer_in_a_school, school)
    extra = found - high - sum(cell.extra_explained for cell in cells)
    if high and _over(extra, high, limit.grown_in_a_school, least):
        return Breach(Code.SCHOOL_GROWN, "students", expected, found, limit.grown_in_a_school, school)
    return None


def _grades(cells: Iterable[Cell], limits: RosterLimits) -> Iterator[Breach]:
    """Single grades; without those outside the ladder, which a student enters and leaves at any time.

    Of an entering class nobody knows who would be in it: in a small school there may be none.
    """
    limit, least = limits.new_year, limits.least_in_a_grade
    for cell in cells:
        if cell.grade not in LADDER:
            continue
        is_lost = cell.moves_up and not cell.found
        if _over(cell.missing, cell.low, limit.fewer_in_a_grade, limits.least_lost if is_lost else least):
            code = Code.GRADE_SHRUNK if cell.found else Code.GRADE_LOST
            share = limit.fewer_in_a_grade
        elif cell.high and _over(cell.extra, cell.high, limit.grown_in_a_grade, least):
            code, share = Code.GRADE_GROWN, limit.grown_in_a_grade
        else:
            continue
        yield Breach(code, "students", cell.expected, cell.found, share, cell.school, cell.grade)


def school_cells(numbers: Numbers) -> list[Cell]:
    """Every school and grade that has students, or is expected to: last year's counts moved up, and what is there."""
    live = numbers.students_by(_live_place, _is_live)
    staged = numbers.students_by(_staged_place, _is_staged)
    left = numbers.students_by(_live_place, lambda flow: flow.is_live and has_moved(flow))
    came = numbers.students_by(_staged_place, lambda flow: flow.is_live and has_moved(flow))
    live_in, staged_in = _by_grade(live), _by_grade(staged)
    cells = []
    for place, expected, low, high, below in _expectations(live, staged, numbers.years):
        school, grade = place
        found = staged[place]
        net = staged_in[grade] - live_in[grade]
        if below is not None:
            missing, extra = left[school, below], came[place]
        else:
            # Who was to come in is nobody by name: where the district has the grade in full, they are elsewhere.
            missing = low - found if -net < (low - found) / 2 else 0
            extra = found - high if net < (found - high) / 2 else 0
        missing, extra = max(0, min(missing, low - found)), max(0, min(extra, found - high))
        cells.append(Cell(school, grade, expected, low, high, found, missing, extra, below is not None))
    return cells


def district_cells(numbers: Numbers) -> list[Cell]:
    """The same for the district as a whole, as if it were one school."""
    live = _of_one_school(numbers.students_by(_live_place, _is_live))
    staged = _of_one_school(numbers.students_by(_staged_place, _is_staged))
    return [
        Cell(None, grade, expected, low, high, staged[None, grade])
        for (_, grade), expected, low, high, _ in _expectations(live, staged, numbers.years)
    ]


def _expectations(
    live: Counter[Place], staged: Counter[Place], years: int
) -> Iterator[tuple[Place, int, int, int, str | None]]:
    """Each place with the number expected, the smallest and the largest that is as likely, and the grade that moves up
    into it (None: its students come in)."""
    had, has = _offered(live), _offered(staged)
    for school, grade in sorted({*live, *staged, *_moved_up(live, years)}, key=repr):
        same, below = live[school, grade], _below(grade, years)
        if below is None or (school, below) not in had:
            yield (school, grade), same, same, same, None
            continue
        up = live[school, below]
        if (school, grade) in had:
            yield (school, grade), up, min(up, same), max(up, same), below
        elif (school, grade) in has:
            yield (school, grade), up, 0, max(up, same), below
        else:
            yield (school, grade), 0, 0, 0, below


def _moved_up(live: Counter[Place], years: int) -> Iterator[Place]:
    for school, grade in live:
        rung = _rung(grade)
        if rung is not None and rung >= FIRST_COMPULSORY and rung + years <= LAST_REGULAR:
            yield school, LADDER[rung + years]


def _below(grade: str | None, years: int) -> str | None:
    """The grade whose students are in `grade` so many years later; None where they come from elsewhere."""
    rung = _rung(grade)
    if rung is None or rung > LAST_REGULAR or rung - years < FIRST_COMPULSORY:
        return None
    return LADDER[rung - years]


def _offered(students: Counter[Place]) -> set[Place]:
    """The grades that schools have, by their students."""
    largest: Counter[str | None] = Counter()
    for (school, _), count in students.items():
        largest[school] = max(largest[school], count)
    return {place for place, count in students.items() if count and count >= OFFERED_SHARE * largest[place[0]]}


def _leaving(numbers: Numbers) -> set[str | None]:
    """The grades of last year whose students are expected to leave the district."""
    live = _of_one_school(numbers.students_by(_live_place, _is_live))
    had = {grade for _, grade in _offered(live)}
    rungs = {grade: _rung(grade) for _, grade in live}
    return {
        grade
        for grade, rung in rungs.items()
        if rung is not None and (rung + numbers.years > LAST_REGULAR or LADDER[rung + numbers.years] not in had)
    }


# Places


def _rung(grade: str | None) -> int | None:
    return LADDER.index(grade) if grade in LADDER else None


def _staged_place(flow: Flow) -> Place:
    return flow.school, flow.grade


def _live_place(flow: Flow) -> Place:
    return flow.live_school, flow.live_grade


def _is_staged(flow: Flow) -> bool:
    return flow.is_staged


def _is_live(flow: Flow) -> bool:
    return flow.is_live


def has_moved(flow: Flow) -> bool:
    """Whether the rows are in another school than before."""
    return flow.change == "changed" and flow.school != flow.live_school


def _by_school(places: Counter[Place]) -> Counter[str | None]:
    return _summed((school, count) for (school, _), count in places.items())


def _by_grade(places: Counter[Place]) -> Counter[str | None]:
    return _summed((grade, count) for (_, grade), count in places.items())


def _of_one_school(places: Counter[Place]) -> Counter[Place]:
    found: Counter[Place] = Counter()
    for (_, grade), count in places.items():
        found[None, grade] += count
    return found


def _summed(counts: Iterable[tuple[str | None, int]]) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for key, count in counts:
        found[key] += count
    return found


def _over(found: int, of: int, limit: float, least: int) -> bool:
    """Whether so many are more than a share of `of`, and enough to matter."""
    return found >= least and found > limit * of

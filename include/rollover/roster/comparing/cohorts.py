"""Computes how many students each grade of each school should have in a new year: last year's, moved up a grade.

- Students of a grade of a school are expected in the next grade, if the school has it.
- A school's lowest grade, and kindergarten, is expected to be as large as last year's, wherever its students come from.
- Students of a school's last grade are expected to leave it, unless the school has a further grade now.

Counts are compared; people are compared only to explain a number: a student who is in another school of the set is not
missing. So a school that closes, merges or gives up a grade is not mistaken for a missing one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rollover.roster.comparing.numbers import (
    Numbers,
    Place,
    by_grade,
    has_moved,
    is_live,
    is_staged,
    live_place,
    of_one_school,
    staged_place,
)
from rollover.roster.model import GRADES

LADDER = GRADES[: GRADES.index("13") + 1]
"""The grades that follow one another. Nobody moves up from the others (ungraded, postsecondary, other)."""
FIRST_COMPULSORY = LADDER.index("KG")
"""Pre-kindergarten is voluntary, so its size says little about the size of kindergarten."""
LAST_REGULAR = LADDER.index("12")
"""Students of grade 12 are expected to leave. Those in grade 13 stayed on."""
OFFERED_SHARE = 0.05
"""A school offers a grade if it is at least this share of its largest grade. Fewer students are typing errors."""
CLASS_SHARE = 0.02
"""A graduating class has at least this share of a district's students. Fewer are students who stay for a 13th year."""


@dataclass(frozen=True)
class Cell:
    """Students of one grade in one school (of the district: school None).

    ``expected`` is the number that moved up or came in. Any number from ``low`` to ``high`` is as likely, since cohorts
    differ in size, and schools also take in students in other grades than their first. ``missing_explained`` are in
    another school of the set; ``extra_explained`` come from one.
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
    """Whether its students were in the grade below last year. If not, they come from anywhere."""

    @property
    def missing(self) -> int:
        return self.low - self.found - self.missing_explained

    @property
    def extra(self) -> int:
        return self.found - self.high - self.extra_explained


def school_cells(numbers: Numbers) -> list[Cell]:
    """Return a cell for each school and grade that has students, or should have them."""
    live = numbers.students_by(live_place, is_live)
    staged = numbers.students_by(staged_place, is_staged)
    left = numbers.students_by(live_place, lambda flow: flow.is_live and has_moved(flow))
    came = numbers.students_by(staged_place, lambda flow: flow.is_live and has_moved(flow))
    live_in, staged_in = by_grade(live), by_grade(staged)
    cells = []
    for place, expected, low, high, below in _expectations(live, staged, numbers.years):
        school, grade = place
        found = staged[place]
        net = staged_in[grade] - live_in[grade]
        if below is not None:
            missing, extra = left[school, below], came[place]
        else:
            # Nobody knows by name who should come in. If the district has the whole grade, they are in other schools.
            missing = low - found if -net < (low - found) / 2 else 0
            extra = found - high if net < (found - high) / 2 else 0
        missing, extra = max(0, min(missing, low - found)), max(0, min(extra, found - high))
        cells.append(Cell(school, grade, expected, low, high, found, missing, extra, below is not None))
    return cells


def district_cells(numbers: Numbers) -> list[Cell]:
    """Return a cell for each grade of the district, as if it were one school."""
    live = of_one_school(numbers.students_by(live_place, is_live))
    staged = of_one_school(numbers.students_by(staged_place, is_staged))
    return [
        Cell(None, grade, expected, low, high, staged[None, grade])
        for (_, grade), expected, low, high, _ in _expectations(live, staged, numbers.years)
    ]


def _expectations(
    live: Counter[Place], staged: Counter[Place], years: int
) -> Iterator[tuple[Place, int, int, int, str | None]]:
    """Yield for each place: the number expected, the smallest and the largest that are as likely, and the grade below
    that moves up into it (None if its students come from anywhere)."""
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
    """The places in which last year's students are expected."""
    for school, grade in live:
        rung = rung_of(grade)
        if rung is not None and rung >= FIRST_COMPULSORY and rung + years <= LAST_REGULAR:
            yield school, LADDER[rung + years]


def _below(grade: str | None, years: int) -> str | None:
    """The grade whose students are in `grade` so many years later; None if they come from elsewhere."""
    rung = rung_of(grade)
    if rung is None or rung > LAST_REGULAR or rung - years < FIRST_COMPULSORY:
        return None
    return LADDER[rung - years]


def _offered(students: Counter[Place]) -> set[Place]:
    """The grades that schools offer, judged by their students."""
    largest: Counter[str | None] = Counter()
    for (school, _), count in students.items():
        largest[school] = max(largest[school], count)
    return {place for place, count in students.items() if count and count >= OFFERED_SHARE * largest[place[0]]}


def leaving_grades(numbers: Numbers) -> set[str | None]:
    """The grades of last year whose students are expected to leave the district."""
    live = of_one_school(numbers.students_by(live_place, is_live))
    had = {grade for _, grade in _offered(live)}
    rungs = {grade: rung_of(grade) for _, grade in live}
    return {
        grade
        for grade, rung in rungs.items()
        if rung is not None and (rung + numbers.years > LAST_REGULAR or LADDER[rung + numbers.years] not in had)
    }


def rung_of(grade: str | None) -> int | None:
    """The position of a grade on the ladder; None if it is not on it."""
    return LADDER.index(grade) if grade in LADDER else None

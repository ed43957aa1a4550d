"""Holds the numbers by which a new roster is judged, and adds them up by school and grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rollover.roster.comparing.breaches import Season
from rollover.roster.comparing.tally import Flow, Tally

Place = tuple[str | None, str | None]
"""A school and a grade."""


@dataclass(frozen=True)
class Numbers:
    """Everything that is judged about a new roster.

    ``years`` is how many school years it is ahead of the live roster. ``seen_before`` says what happened to an earlier
    drop of the same files, if there was one.
    """

    season: Season
    years: int
    tally: Tally
    directory_schools: frozenset[str] = frozenset()
    seen_before: str | None = None
    rejected_rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By file: how many rows it has, and how many of them are rejected."""
    without_enrollment: int = 0
    """Students of the set who are in no class of it."""
    cut_off: Sequence[str] = ()
    """Files that end inside a row."""
    other_status: Mapping[str, int] = field(default_factory=dict)
    """By file: rows with a status whose meaning is unknown."""
    before: Mapping[str, int] = field(default_factory=dict)
    """By type: rows of the last set that was applied, for a roster that was emptied since."""

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


def staged_place(flow: Flow) -> Place:
    """The place of the rows in the new roster."""
    return flow.school, flow.grade


def live_place(flow: Flow) -> Place:
    """The place of the rows in the live roster."""
    return flow.live_school, flow.live_grade


def is_staged(flow: Flow) -> bool:
    return flow.is_staged


def is_live(flow: Flow) -> bool:
    return flow.is_live


def has_moved(flow: Flow) -> bool:
    """Whether the rows are in another school than before."""
    return flow.change == "changed" and flow.school != flow.live_school


def by_school(places: Counter[Place]) -> Counter[str | None]:
    return _summed((school, count) for (school, _), count in places.items())


def by_grade(places: Counter[Place]) -> Counter[str | None]:
    return _summed((grade, count) for (_, grade), count in places.items())


def of_one_school(places: Counter[Place]) -> Counter[Place]:
    """The counts of all schools by grade, as if they were one school."""
    found: Counter[Place] = Counter()
    for (_, grade), count in places.items():
        found[None, grade] += count
    return found


def _summed(counts: Iterable[tuple[str | None, int]]) -> Counter[str | None]:
    found: Counter[str | None] = Counter()
    for key, count in counts:
        found[key] += count
    return found


def is_over(found: int, of: int, limit: float, least: int) -> bool:
    """Whether `found` is more than the share `limit` of `of`, and at least `least`."""
    return found >= least and found > limit * of

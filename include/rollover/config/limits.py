"""Defines the limits over which a roster is reviewed: shares and numbers, with defaults for product files.

What each is for, and why it is what it is, stands beside it in ``include/products/*.yaml``.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Growth = Annotated[float, Field(ge=0)]
Rows = Annotated[int, Field(ge=1)]


class _Limits(BaseModel):
    """Limits that a district file may change one by one. The others are the product's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def with_changes(self, changes: Self | None) -> Self:
        """Return these limits with those in `changes` replaced."""
        if changes is None:
            return self
        named = {name: getattr(changes, name) for name in changes.model_fields_set}
        for name, value in named.items():
            mine = getattr(self, name)
            if isinstance(mine, _Limits):
                named[name] = mine.with_changes(value)
        return self.model_copy(update=named)


class TypeLimits(_Limits):
    """One share per type of row; guardians are the people and their links to students."""

    schools: Share
    sessions: Share
    courses: Share
    classes: Share
    students: Share
    educators: Share
    guardians: Share
    enrollments: Share


class RemovedInYear(TypeLimits):
    schools: Share = 0.10
    sessions: Share = 0.10
    courses: Share = 0.20
    classes: Share = 0.20
    students: Share = 0.10
    educators: Share = 0.10
    guardians: Share = 0.10
    enrollments: Share = 0.20


class ChangedInYear(TypeLimits):
    schools: Share = 0.75
    sessions: Share = 0.75
    courses: Share = 0.75
    classes: Share = 0.75
    students: Share = 0.75
    educators: Share = 0.75
    guardians: Share = 0.75
    enrollments: Share = 0.75


class DuringTheYear(_Limits):
    """Limits for a set of the school year that is live: fixed shares of what is live."""

    removed: RemovedInYear = RemovedInYear()
    changed: ChangedInYear = ChangedInYear()
    removed_of_a_school: Share = 0.25
    removed_of_a_grade: Share = 0.50
    grown: Growth = 0.50
    in_another_grade: Share = 0.50


class PeopleGone(_Limits):
    """The share of last year's people who are not in the new year's set, without students who left the last grade."""

    students: Share = 0.50
    educators: Share = 0.50
    guardians: Share = 0.60


class Fewer(_Limits):
    """By how much a type may be smaller than expected."""

    students: Share = 0.15
    educators: Share = 0.30
    guardians: Share = 0.40
    courses: Share = 0.45
    classes: Share = 0.40
    enrollments: Share = 0.40


class NewYear(_Limits):
    """Limits for the first set of a new school year: students compared with last year's counts moved up a grade."""

    gone: PeopleGone = PeopleGone()
    fewer: Fewer = Fewer()
    fewer_in_a_school: Share = 0.30
    fewer_in_a_grade: Share = 0.40
    grown: Growth = 0.25
    grown_in_a_school: Growth = 0.50
    grown_in_a_grade: Growth = 1.00
    in_old_grade: Share = 0.50
    two_grades_up: Share = 0.10
    graduates: Share = 0.10
    section_ids_reused: Share = 0.10
    classes_of_other_terms: Share = 0.02


class RosterLimits(_Limits):
    """The limits over which a roster is reviewed. The product files give the reason for each."""

    least_rows: Rows = 10
    least_in_a_school: Rows = 20
    least_in_a_grade: Rows = 15
    least_lost: Rows = 3
    rekeyed: Share = 0.01
    ids_reassigned: Share = 0.01
    known_schools: Share = 0.50
    rows_kept_out: Share = 0.05
    without_enrollment: Share = 0.10
    during_the_year: DuringTheYear = DuringTheYear()
    new_year: NewYear = NewYear()

"""Defines the limits that a new roster can be over, and a breach with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Season(StrEnum):
    """How a set relates to the live roster: there is none, it is of the same school year, or of the year before."""

    FIRST = "first import"
    DURING_THE_YEAR = "during the year"
    NEW_YEAR = "new year"


class Code(StrEnum):
    """The codes of limits and warnings. They are stable: the ledger and the docs use them."""

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
    """A number over its limit, or a warning. It has numbers and places, no person.

    ``limit`` is a share of ``expected``. ``found`` is the number in the new roster. For people in a wrong state (gone,
    re-keyed, in their old grade, …), ``found`` of the ``expected`` people are in that state.
    """

    code: Code
    what: str
    expected: int
    found: int
    limit: float
    school: str | None = None
    grade: str | None = None

"""Defines the parts of a roster format: files, their columns, and how they become the typed roster.

A format is one module that makes a :class:`Format` of these parts. Reading, cleaning, checking and shaping know no
format by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Severity = Literal["error", "warning"]
STATUS = "status"
"""The column in which a delta says whether a record exists or is deleted."""


class Kind(StrEnum):
    """The form of a value."""

    ID = "id"
    TEXT = "text"
    TEXTS = "texts"
    GRADE = "grade"
    GRADES = "grades"
    DATE = "date"
    DATETIME = "datetime"
    YEAR = "year"
    BOOLEAN = "boolean"
    ENUM = "enum"


@dataclass(frozen=True)
class Keeps:
    """Rows of the live roster that stay while a set says nothing about them."""

    table: str
    where: str
    """SQL over ``live_<table>`` and the roster tables that were shaped before."""
    columns: tuple[tuple[str, str], ...] = ()
    """If the set has the rows and only some columns stay: these columns, and SQL for their values, from the set's row
    ``r`` and the row ``live``."""


_STILL_THERE = "list_filter(live.school_ids, lambda org_id: list_contains(getvariable('orgs_there'), org_id))"
OTHER_SCHOOLS_TOO = (
    "school_ids",
    f"""CASE WHEN list_has_all(live.school_ids, r.school_ids) THEN {_STILL_THERE}
             ELSE r.school_ids || list_filter({_STILL_THERE}, lambda org_id: NOT list_contains(r.school_ids, org_id))
        END""",
)
"""For :attr:`Keeps.columns`: a person stays in the schools of the live roster; a new one comes before them."""


@dataclass(frozen=True)
class Column:
    """One column of a file."""

    name: str
    kind: Kind = Kind.TEXT
    required: bool = False
    """Whether the format demands a value."""
    instead: str | None = None
    """The substitute for a missing required value: then it is a warning, and the row is accepted."""
    values: tuple[str, ...] = ()
    extensible: bool = False
    """Whether the sender's own ``ext:`` values are allowed besides ``values``."""
    refers_to: str | None = None
    """The file in which the value, or each item of a list, must be an identity."""
    aliases: tuple[str, ...] = ()
    """Other headers that senders use for the column."""
    fills: tuple[str, ...] = ()
    """The roster table and column that it fills (``*``: the whole table), and a role if it fills the column for people
    of that role only. If a set lacks the column, the live values stay."""
    keeps: Keeps | None = None
    """Rows that also stay if the column is missing."""

    @property
    def is_free_text(self) -> bool:
        """Whether it holds any text, which is compared with no other value."""
        return self.kind is Kind.TEXT and self.refers_to is None

    @property
    def may_hold_a_comma(self) -> bool:
        return self.kind in (Kind.TEXTS, Kind.GRADES) or self.is_free_text


@dataclass(frozen=True)
class Rule:
    """A check of rows against other rows.

    A file's rule selects the ``row`` of every row that breaks it; it reads the accepted rows of its own file and of
    those before it, as views with the names of the files. A format's rule selects ``file`` and ``row``, and reads
    the shaped roster too, as ``roster_<table>``.
    """

    code: str
    severity: Severity
    column: str | None
    message: str
    sql: str
    file: str | None = None
    """The file whose rows are selected, if it is not the rule's own file."""


@dataclass(frozen=True)
class File:
    """One file of a set."""

    name: str
    columns: tuple[Column, ...]
    identity: str | None = None
    unique: bool = True
    """Whether an identity may stand in one row only."""
    required: bool = True
    ignored: tuple[str, ...] = ()
    """Columns of the format that are not read."""
    bulk_is_blank: tuple[str, ...] = ()
    """Columns that a delta fills, and a full set leaves blank."""
    replaced_by: tuple[str, ...] = ()
    """The columns that identify the live row that a row of a delta replaces; by default the identity."""
    live: str | None = None
    """SQL that yields the file's columns from the live roster (``live_<table>``), on which a delta is laid."""
    keeps: Keeps | None = None
    """Rows that stay if the file is missing."""
    roster_id: str | None = None
    """SQL over a row: its id in the roster; by default `delta_key`."""
    live_ids: str = ""
    """SQL that yields the live records of the file's kind: ``id``, and ``said``, the id as the file has it."""
    stays: tuple[Keeps, ...] = ()
    """The live rows that stay if a row of a full file is rejected. The SQL reads ``lost_<stem>``, which has an ``id``
    and what the file ``said`` for each of these rows (:mod:`rollover.roster.validating.rejected_rows`)."""
    rules: tuple[Rule, ...] = ()
    order: tuple[str, ...] = ()
    """All columns in the format's order, if that is not `columns` and then `ignored`."""

    @property
    def stem(self) -> str:
        """The file's name without ``.csv``: its name in SQL."""
        return self.name.removesuffix(".csv")

    @property
    def header(self) -> tuple[str, ...]:
        """The names of all columns, in the format's order."""
        return self.order or (*(column.name for column in self.columns), *self.ignored)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def delta_key(self) -> tuple[str, ...]:
        return self.replaced_by or ((self.identity,) if self.identity else ())


@dataclass(frozen=True)
class Format:
    """A roster format."""

    name: str
    label: str
    """Its name for people."""
    files: tuple[File, ...]
    """In the order in which references point: a file refers to itself and to those before it."""
    shapes: Mapping[str, str]
    """By roster table, in the order of :data:`ROSTER_TABLES`: SQL that yields ``file``, ``row`` and the table's
    columns from the accepted rows of the files; a file that is not in the set has none."""
    rules: tuple[Rule, ...]
    own_columns: str
    """How the names of a sender's own columns begin."""
    fixed_order: bool
    """Whether the order of columns is fixed."""
    names_its_district: bool
    """Whether the district's own org is among its orgs."""
    tells_students: tuple[str, str]
    """The file and the column that identify students."""
    tells_year: tuple[str, str]
    """The file and the column that have the school year."""
    manifest_version: str | None = None
    """The format's version in the manifest; none for a format without a manifest, which is recognized by its files."""
    also_named: tuple[str, ...] = ()
    """Other versions in a manifest that are the same format: its later editions."""
    id_characters: str | None = None
    """The pattern of an identity; without one, anything is allowed."""
    grades: tuple[str, ...] | None = None
    """The words for grade levels, in any case; by default CEDS codes, in their exact spelling."""
    us_dates: bool = False
    """Whether dates are written month/day/year; else year-month-day."""
    unread: tuple[str, ...] = field(default=())
    """Files of the format that Rollover does not need and does not read."""

    def file(self, name: str) -> File:
        return next(file for file in self.files if file.name == name)


def same_header(name: str) -> str:
    """The normal form of a header: its letters and digits, in lower case."""
    return re.sub(r"[^0-9a-z]", "", name.lower())

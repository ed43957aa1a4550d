"""What a roster format is made of: files, their columns, and how they become the typed roster.

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
"""The column in which a delta says whether a record is there or gone."""


class Kind(StrEnum):
    """What a value must look like."""

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
    """Where the set has the rows, and only a part of them stays: columns, and SQL of their values, from the set's row
    ``r`` and the one that is ``live``."""


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
    """What is taken where a required value is missing: its absence is then a warning, and the row gets in."""
    values: tuple[str, ...] = ()
    extensible: bool = False
    """Whether ``ext:`` values of the sender's own are allowed beside ``values``."""
    refers_to: str | None = None
    """The file in which the value, or each item of a list, must be an identity."""
    aliases: tuple[str, ...] = ()
    """Other headers under which the column is seen."""
    fills: tuple[str, ...] = ()
    """The roster table and the column that it fills (``*``: all of the table), and where it does so for people of one
    role only, that role. A set without the column in its header says nothing about it, and what is live stays."""
    keeps: Keeps | None = None
    """Rows that stay as well where the column is not there."""

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
    """The file whose rows are selected, where it is not the one that the rule stands with."""


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
    """What tells which live row a row of a delta takes the place of; the identity, unless it is named."""
    live: str | None = None
    """SQL that yields the file's columns from the live roster (``live_<table>``): what a delta is laid over."""
    keeps: Keeps | None = None
    """Rows that stay where the file is not there."""
    roster_id: str | None = None
    """SQL over a row: the id under which the roster knows what the row is about; `delta_key`, unless it is named."""
    live_ids: str = ""
    """SQL that yields what of the live roster the file tells of: ``id``, and ``said``, the same as the file says it."""
    stays: tuple[Keeps, ...] = ()
    """What stays of the live roster where a row of a full file is kept out. The SQL reads ``lost_<stem>``, which has an
    ``id`` and what the file ``said`` for each of these rows (:mod:`rollover.roster.validating.kept_out`)."""
    rules: tuple[Rule, ...] = ()
    order: tuple[str, ...] = ()
    """All columns as the format orders them, where that is not `columns` and then `ignored`."""

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
    """As a person calls it."""
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
    """The file and the column that tell who is a student."""
    tells_year: tuple[str, str]
    """The file and the column that tell the school year."""
    manifest_version: str | None = None
    """What the manifest calls the format; none for a format without a manifest, which is known by its files."""
    also_named: tuple[str, ...] = ()
    """What a manifest also calls it: later editions of the same version."""
    id_characters: str | None = None
    """What an identity is made of, as a pattern; anything, where there is none."""
    grades: tuple[str, ...] | None = None
    """The words for grade levels, in any case; without any, CEDS codes, as they are spelled."""
    us_dates: bool = False
    """Whether dates are written month/day/year; else year-month-day."""
    unread: tuple[str, ...] = field(default=())
    """Files of the format that hold nothing that Rollover needs, and are not read."""

    def file(self, name: str) -> File:
        return next(file for file in self.files if file.name == name)


def same_header(name: str) -> str:
    """What two spellings of a header have in common: letters and digits, in lower case."""
    return re.sub(r"[^0-9a-z]", "", name.lower())

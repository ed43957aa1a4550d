"""Recognizes formats of other systems that districts send by mistake, so that the finding can name the right one.

Sources: Microsoft, "School Data Sync CSV files", formats v1, v2 and v2.1; Instructure, "Canvas SIS Import Format".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OtherFormat:
    """A format that is not read, and how it is recognized: by its files, or by columns of one of them."""

    label: str
    instead: str
    """The advice to its sender."""
    files: frozenset[str] = frozenset()
    """Names in lower case; at least :attr:`at_least` of them must exist."""
    at_least: int = 3
    with_columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By file: columns, in lower case, all of which it must have; a ``-`` before a name: it must not have that
    column."""


SEND = "Export OneRoster 1.1 or 1.2, or Clever, from the student information system itself"
OTHER_FORMATS = (
    OtherFormat(
        "Microsoft School Data Sync v1",
        f"{SEND}, not the files that are made for Microsoft.",
        files=frozenset(
            f"{name}.csv" for name in ("school", "section", "student", "teacher", "studentenrollment", "teacherroster")
        ),
    ),
    OtherFormat(
        "Microsoft School Data Sync v2 or v2.1",
        f"{SEND}: the files have the names of OneRoster's, but not their columns.",
        with_columns={
            "enrollments.csv": ("classsourcedid", "usersourcedid", "-sourcedid"),
            "roles.csv": ("usersourcedid", "orgsourcedid", "-sourcedid"),
            "users.csv": ("sourcedid", "activedirectorymatchid"),
            "relationships.csv": ("usersourcedid", "relationshipusersourcedid"),
        },
    ),
    OtherFormat(
        "a Canvas SIS import",
        f"{SEND}, not the files that are made for Canvas.",
        with_columns={
            "users.csv": ("user_id", "login_id"),
            "courses.csv": ("course_id", "short_name"),
            "enrollments.csv": ("user_id", "role", "-usersourcedid", "-student_id"),
            "accounts.csv": ("account_id", "parent_account_id"),
        },
    ),
)


def recognized(names: Collection[str], header: Callable[[str], Collection[str]]) -> tuple[OtherFormat, str] | None:
    """The other format of a set, and the file that shows it; None if no known format fits.

    `names` are the set's files in lower case; `header` gives the columns of one of them in lower case, none if the
    file cannot be read.
    """
    for other in OTHER_FORMATS:
        if len(found := other.files & set(names)) >= other.at_least:
            return other, min(found)
        for file, columns in other.with_columns.items():
            there = set(header(file)) if file in names else set()
            if there and all((name.removeprefix("-") in there) != name.startswith("-") for name in columns):
                return other, file
    return None

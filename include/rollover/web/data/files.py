"""Collects the drops of a tenant with their results, and the problems of the newest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, text

from rollover.roster import imports
from rollover.roster.formats import FILE_NAMES
from rollover.roster.imports import ImportState
from rollover.roster.reporting.report import problems_of
from rollover.roster.reporting.summary import Problem, ranked_problems

SHOWN_PROBLEMS = 3
ANOTHER_FILE = "another file"

# The drops first and then their numbers, so that the details of the others are not read.
DROPS = """
    SELECT i.import_id, i.state, i.school_year, i.format, i.found_at, i.changed_at, i.reason, i.decision, i.decided_by,
           i.decided_at, coalesce(jsonb_array_length(d.files), 0) AS files, dates.files_from, dates.files_to,
           (SELECT sum(value::bigint) FROM jsonb_each_text(i.details -> 'rows')) AS rows,
           (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(i.details -> 'errors')) AS errors,
           (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(i.details -> 'warnings')) AS warnings
    FROM (SELECT * FROM ledger.imports ORDER BY found_at DESC, import_id DESC OFFSET :first LIMIT :most) i
    LEFT JOIN ledger.drops d ON d.drop_id = i.import_id
    CROSS JOIN LATERAL (
        SELECT to_timestamp(min((file ->> 'modified')::bigint)) AS files_from,
               to_timestamp(max((file ->> 'modified')::bigint)) AS files_to
        FROM jsonb_array_elements(d.files) AS file
    ) dates
    ORDER BY i.found_at DESC, i.import_id DESC
"""


@dataclass(frozen=True)
class Drop:
    """A drop and its import: dates of the files on the district's server, and numbers (None before it is read)."""

    import_id: str
    state: ImportState
    school_year: str | None
    format: str | None
    found_at: datetime
    changed_at: datetime
    reason: str | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None
    files: int
    files_from: datetime | None
    files_to: datetime | None
    rows: int | None
    errors: int
    warnings: int


def drops(connection: Connection, *, first: int = 0, most: int = 25) -> list[Drop]:
    """Some of the drops of the session's tenant, newest first."""
    rows = connection.execute(text(DROPS), {"first": first, "most": most}).mappings()
    return [Drop(**{**row, "state": ImportState(row["state"])}) for row in rows]


def worst_problems(connection: Connection, import_id: str) -> Sequence[Problem]:
    """The most important problems of a drop of the session's tenant."""
    return shown_problems(problems_of(connection, imports.load(connection, import_id)))[:SHOWN_PROBLEMS]


def shown_problems(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Problems, the most important first, with the names of files as :func:`shown_name` has them."""
    return tuple(
        replace(problem, places=tuple(place._replace(file=shown_name(place.file)) for place in problem.places))
        for problem in ranked_problems(problems)
    )


def shown_name(file: str) -> str:
    """The name of a file if a format has it. Any other was chosen by the district, and may name a person."""
    return file if file.lower() in FILE_NAMES else ANOTHER_FILE

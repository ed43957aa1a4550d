"""Collects what came in a drop: its files and their problems, and how it differs from the live roster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, exists, func, select

from rollover.config import District, Product
from rollover.database.tables.ledger import findings, imports
from rollover.markdown import unescaped
from rollover.roster.comparing.breaches import Breach
from rollover.roster.comparing.comparison import Comparison, SchoolCount, TypeCount
from rollover.roster.comparing.tally import TYPES
from rollover.roster.findings import CONSEQUENCES
from rollover.roster.imports import Import
from rollover.roster.model import GRADES
from rollover.roster.reporting.listing import listed_import
from rollover.roster.reporting.report import report_of
from rollover.roster.reporting.summary import ImportReport, Problem
from rollover.roster.review.in_words import TYPE_NAMES, in_words
from rollover.web.charts import Chart, across, bars
from rollover.web.data.files import shown_name, shown_problems

FINDINGS_HEADER = ("severity", "code", "file", "row", "column", "what is wrong and how to fix it")
CHARTED_SCHOOLS = 12


@dataclass(frozen=True)
class FileRow:
    """A file of a drop, as it lay on the district's server: None if it was in a zip, or is missing.

    Its numbers of rows are None before they are read.
    """

    name: str
    bytes: int | None
    modified: datetime | None
    rows: int | None
    rejected: int | None
    errors: int
    warnings: int
    is_read: bool


@dataclass(frozen=True)
class FindingRow:
    """One finding as the ledger has it, without any value of the file."""

    severity: str
    code: str
    file: str
    row: int | None
    column: str | None
    message: str


@dataclass(frozen=True)
class TypeRow:
    """How many rows of one type the live roster and the drop have, and what would change."""

    name: str
    count: TypeCount


@dataclass(frozen=True)
class SchoolRow:
    """The students of one school in the live roster and in the drop; `expected` follows from last year's grades."""

    school: str
    count: SchoolCount
    expected: int | None


@dataclass(frozen=True)
class DropView:
    """Everything about one drop, but for the list of its findings."""

    report: ImportReport
    decided_at: datetime | None
    decided_why: str | None
    """The reason that the person gave."""
    files: tuple[FileRow, ...]
    problems: tuple[Problem, ...]
    reasons: tuple[str, ...]
    """Why the set is in review, or was: a sentence for each limit that it is over."""
    warnings: tuple[str, ...]
    types: tuple[TypeRow, ...]
    schools: tuple[SchoolRow, ...]
    grades: Chart | None
    """Students by grade: expected from last year, and in the drop."""
    students: Chart | None
    """Students by school: live, and in the drop."""

    @property
    def found(self) -> Import:
        return self.report.found


def drop_exists(connection: Connection, import_id: str) -> bool:
    """Whether the session's tenant has a drop of that id."""
    return bool(connection.scalar(select(exists().where(imports.c.import_id == import_id))))


def drop(connection: Connection, import_id: str, district: District, product: Product) -> DropView:
    """Everything about a drop of the session's tenant. Raises Refused for an import that it does not have."""
    listed = listed_import(connection, import_id)
    report = report_of(connection, listed.found, district, product)
    seen = report.comparison
    schools = _schools(seen) if seen else ()
    return DropView(
        report=report,
        decided_at=listed.decided_at,
        decided_why=listed.decided_why,
        files=tuple(_files(connection, report)),
        problems=shown_problems(report.problems),
        reasons=_sentences(seen, seen.breaches) if seen else (),
        warnings=_sentences(seen, seen.warnings) if seen else (),
        types=tuple(_types(seen)) if seen else (),
        schools=schools,
        grades=_by_grade(seen) if seen else None,
        students=_by_school(schools) if schools else None,
    )


def findings_of(
    connection: Connection,
    import_id: str,
    *,
    code: str | None = None,
    file: str | None = None,
    first: int = 0,
    most: int | None = None,
) -> list[FindingRow]:
    """The findings of a drop of the session's tenant: errors first, causes before their consequences."""
    rows = connection.execute(_query(import_id, code, file).offset(first).limit(most))
    return [FindingRow(row.severity, row.code, shown_name(row.file), *row[3:]) for row in rows]


def findings_table(connection: Connection, import_id: str) -> Iterator[tuple[Any, ...]]:
    """All findings of a drop for a CSV file with `FINDINGS_HEADER`, as they are read. They name no person."""
    for row in connection.execute(_query(import_id, None, None).execution_options(yield_per=500)):
        yield (row.severity, row.code, shown_name(row.file), *row[3:])


def count_findings(connection: Connection, import_id: str, *, code: str | None = None, file: str | None = None) -> int:
    """How many findings of a drop the ledger keeps."""
    return connection.scalar(select(func.count()).select_from(_query(import_id, code, file).subquery())) or 0


def _query(import_id: str, code: str | None, file: str | None) -> Any:
    row = findings.c
    query = select(row.severity, row.code, row.file, row.row, row.column, row.message).where(row.import_id == import_id)
    if code is not None:
        query = query.where(row.code == code)
    if file is not None:
        query = query.where(row.file == file)
    is_caused = row.code.in_(CONSEQUENCES)
    return query.order_by(row.severity, is_caused, row.file, row.row.nulls_first(), row.code, row.finding_id)


def _files(connection: Connection, report: ImportReport) -> Iterator[FileRow]:
    """The files of a drop by name, with those in its zip and those that a finding names."""
    row = findings.c
    query = select(row.file, row.severity, func.count()).where(row.import_id == report.found.import_id)
    counted = {
        (file, severity): number
        for file, severity, number in connection.execute(query.group_by(*query.selected_columns[:2]))
    }
    details, read = report.found.details, report.found.details.fetched.files
    listed = {file.name: file for file in report.files}
    for name in sorted({*listed, *details.rows, *(file for file, _ in counted)}):
        on_server = listed.get(name)
        yield FileRow(
            name=shown_name(name),
            bytes=on_server.size if on_server else read[name].bytes if name in read else None,
            modified=datetime.fromtimestamp(on_server.modified, UTC) if on_server else None,
            rows=details.rows.get(name),
            rejected=report.found.rejected_rows.get(name, (0, None))[1],
            errors=counted.get((name, "error"), 0),
            warnings=counted.get((name, "warning"), 0),
            is_read=name not in details.fetched.files_ignored,
        )


def _sentences(seen: Comparison, breaches: Sequence[Breach]) -> tuple[str, ...]:
    return tuple(unescaped(in_words(breach, seen)) for breach in breaches)


def _types(seen: Comparison) -> Iterator[TypeRow]:
    for kind in TYPES:
        count = seen.types[kind]
        if count.live or count.staged:
            yield TypeRow(TYPE_NAMES.get(kind, kind), count)


def _schools(seen: Comparison) -> tuple[SchoolRow, ...]:
    """Students by school; those first whose number differs most from what was expected, else from the live roster."""
    expected = Counter[str | None]()
    for cohort in seen.cohorts:
        expected[cohort.school] += cohort.expected
    rows = [
        SchoolRow(
            "no school" if count.school is None else seen.names.get(count.school) or count.school,
            count,
            expected.get(count.school) if seen.cohorts else None,
        )
        for count in seen.schools
        if count.kind == "students"
    ]
    return tuple(sorted(rows, key=lambda row: (-abs(row.count.staged - _compared(row)), row.school)))


def _compared(row: SchoolRow) -> int:
    return row.count.live if row.expected is None else row.expected


def _by_grade(seen: Comparison) -> Chart | None:
    if not seen.cohorts:
        return None
    expected, found = Counter[str | None](), Counter[str | None]()
    for cohort in seen.cohorts:
        expected[cohort.grade] += cohort.expected
        found[cohort.grade] += cohort.found
    known = [grade for grade in GRADES if expected[grade] or found[grade]]
    others = sorted({*expected, *found} - {*GRADES}, key=repr)
    grades = [*known, *(grade for grade in others if expected[grade] or found[grade])]
    values = {
        f"expected from {seen.live_school_year or 'last year'}": [expected[grade] for grade in grades],
        f"in these files, {seen.school_year}": [found[grade] for grade in grades],
    }
    return bars("Students by grade: last year's, moved up, and this year's", [_grade(g) for g in grades], values)


def _grade(grade: str | None) -> str:
    return "none" if grade is None else grade.lstrip("0") or grade


def _by_school(schools: Sequence[SchoolRow]) -> Chart:
    shown = sorted(schools, key=lambda row: -max(row.count.live, row.count.staged))[:CHARTED_SCHOOLS]
    values = {
        "live now": [row.count.live for row in shown],
        "in these files": [row.count.staged for row in shown],
    }
    return across("Students by school: live now, and in these files", [row.school for row in shown], values)

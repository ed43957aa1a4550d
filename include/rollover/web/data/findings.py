"""Finds the schools that the findings of a drop are about, while the drop's rows are still in storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow.parquet as pq
from sqlalchemy import Connection, func, select
from upath import UPath

from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import findings
from rollover.roster.columnar import local_copy
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.formats import FORMATS
from rollover.roster.formats.spec import File, Format
from rollover.roster.imports import Import
from rollover.roster.imports.files import import_folder, typed_file
from rollover.roster.reading.columns import ROW
from rollover.roster.reporting.report import FINDINGS

SCHOOL_FILES = ("orgs", "schools")
"""The stems of the files that list schools, in all formats."""


@dataclass(frozen=True)
class SchoolFindings:
    """How many findings are in rows about a school. A row about several schools counts for each."""

    school: str
    school_id: str
    errors: int
    warnings: int


def by_school(connection: Connection, found: Import, storage: UPath) -> list[SchoolFindings] | None:
    """The findings of a drop by school, most errors first; None if its rows are no longer in storage.

    Only schools that the directory or the drop's comparison knows are named: what else stands in the column of a
    broken file may be anything.
    """
    spec = FORMATS.get(found.format or "")
    if spec is None:
        return None
    names = _known(connection, found)
    row = findings.c
    query = select(row.file, row.severity, func.array_agg(row.row)).where(
        row.import_id == found.import_id, row.row.isnot(None)
    )
    counted, is_there = Counter[tuple[str, str]](), False
    for name, severity, rows in connection.execute(query.group_by(row.file, row.severity)):
        file = next((file for file in spec.files if file.name == name), None)
        column = _school_column(spec, file) if file else None
        if file is None or column is None or not typed_file(storage, found.import_id, file.stem).exists():
            continue
        is_there = True
        places = _schools_of_rows(storage, found.import_id, file, column, set(rows))
        for place in rows:
            counted.update((school, severity) for school in {*places.get(place, ())} if school in names)
    if not is_there:
        return None
    of_schools = [
        SchoolFindings(names[school], school, counted[school, "error"], counted[school, "warning"])
        for school in {school for school, _ in counted}
    ]
    return sorted(of_schools, key=lambda each: (-each.errors, -each.warnings, each.school))


def with_ids(storage: UPath, import_id: str) -> UPath:
    """The list of findings that the district got: it names the ids of records, so it is personal data."""
    return import_folder(storage, import_id) / "report" / FINDINGS


def is_with_ids_there(storage: UPath, import_id: str) -> bool:
    """Whether the list with ids is still in storage."""
    return with_ids(storage, import_id).exists()


def _known(connection: Connection, found: Import) -> Mapping[str, str]:
    names = {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}
    seen = Comparison.of(found)
    return {**(seen.names if seen else {}), **names}


def _school_column(spec: Format, file: File) -> str | None:
    """The column of a file that names the school of a row."""
    lists = {each.name for each in spec.files if each.stem in SCHOOL_FILES}
    if file.name in lists:
        return file.identity
    return next((column.name for column in file.columns if column.refers_to in lists), None)


def _schools_of_rows(
    storage: UPath, import_id: str, file: File, column: str, rows: set[int]
) -> dict[int, tuple[str, ...]]:
    with local_copy(typed_file(storage, import_id, file.stem)) as path:
        typed = pq.read_table(path, columns=[ROW, column], filters=[(ROW, "in", rows)])
    said = zip(typed[ROW].to_pylist(), typed[column].to_pylist(), strict=True)
    return {row: tuple(_each(value)) for row, value in said}


def _each(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))

"""A set from its files to the roster that it makes, without a server or a database."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from upath import UPath

from rollover.calendar import JULY, MonthDay, SchoolYear
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar
from rollover.roster.findings import Findings
from rollover.roster.formats import SPELLING
from rollover.roster.imports.details import ReadAs
from rollover.roster.imports.files import fetched_folder, typed_file
from rollover.roster.reading.manifest import contents
from rollover.roster.reading.stage import not_said, read_all
from rollover.roster.staged import key_columns, value_columns, write_staged
from rollover.roster.validating.rules import CheckedSet
from rollover.roster.validating.shape import shape

IMPORT = "hero__springfield-il__0123456789ab"
Where = tuple[str, str, str, int | None, str | None]  # code, severity, file, row, column


@dataclass(frozen=True)
class Taken:
    """The result of reading a set: its findings, and its roster, which is None if it was refused before it had one or
    has no files to read."""

    findings: Findings
    tables: dict[str, pl.DataFrame] | None
    not_said: tuple[tuple[str, ...], ...]

    @property
    def found(self) -> set[Where]:
        return {(f.code, f.severity, f.file, f.row, f.column) for f in self.findings.kept}

    @property
    def codes(self) -> dict[str, int]:
        return {**self.findings.errors, **self.findings.warnings}

    @property
    def refused(self) -> set[str]:
        return set(self.findings.refusing)

    def ids(self, table: str) -> set[str]:
        assert self.tables is not None, self.codes
        return set(self.tables[table]["sourced_id"])

    def row(self, table: str, sourced_id: str) -> dict[str, Any]:
        assert self.tables is not None, self.codes
        return self.tables[table].row(by_predicate=pl.col("sourced_id") == sourced_id, named=True)


def take(
    files: Mapping[str, bytes],
    column_map: dict[str, dict[str, str]] | None = None,
    files_year: str = "2025-26",
    begins: MonthDay = JULY,
) -> Taken:
    """Read, check and shape a set as fetch would have left it."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="rollover-test-") as folder, columnar() as duck:
        storage = UPath(folder)
        source = fetched_folder(storage, IMPORT)
        source.mkdir(parents=True)
        names = []
        for name, data in files.items():
            if name.lower() in SPELLING:
                names.append(SPELLING[name.lower()])
                (source / SPELLING[name.lower()]).write_bytes(data)
        others = {name.lower() for name in files if name.lower() not in SPELLING}
        found = contents(source, names, others, findings)
        if found is None or not found.files:
            return Taken(findings, None, ())
        read = read_all(found, storage, IMPORT, ReadAs(column_map=column_map or {}))
        for each in read.values():
            findings.extend(each.findings)
        silent = not_said(found.format, read, found.deltas)
        usable = {file.name: file for file in found.files if read[file.name].usable}
        missing = [file.name for file in found.format.files if file.required and file.name not in usable]
        paths = {name: Path(typed_file(storage, IMPORT, file.stem).path) for name, file in usable.items()}
        refused = bool(findings.refusing)
        if refused and found.deltas:
            return Taken(findings, None, silent)
        checked = CheckedSet(duck, found.format, paths, (), findings, missing if refused else ())
        shape(duck, checked, SchoolYear.parse(files_year), begins=begins)
        if refused:
            return Taken(findings, None, silent)
        tables = {}
        for table in ROSTER_TABLES:
            target = Path(folder) / "staged.parquet"
            write_staged(duck, table, [], target)
            tables[table.name] = pl.read_parquet(target).sort(key_columns(table))
            assert tables[table.name].columns == value_columns(table)
        return Taken(findings, tables, silent)


__all__ = ["IMPORT", "Taken", "Where", "take"]

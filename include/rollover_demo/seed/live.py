"""Makes the live roster of the finished year, with the code that imports that year's files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import polars as pl
from sqlalchemy import Table
from upath import UPath

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.columnar import columnar
from rollover.roster.findings import Findings
from rollover.roster.imports.details import ReadAs
from rollover.roster.imports.files import fetched_folder, typed_file
from rollover.roster.reading.manifest import contents
from rollover.roster.reading.stage import read_all
from rollover.roster.staged import hashed, value_columns
from rollover.roster.validating.rules import CheckedSet
from rollover.roster.validating.shape import shape
from rollover_demo.seed.oneroster import files
from rollover_demo.seed.roster import Roster, grade_code

SEED_IMPORT = "seed"
"""The import that the seeded rows name as their source."""


def roster_frames(roster: Roster) -> dict[str, pl.DataFrame]:
    """Return the roster tables by name, without ``tenant_id``: what the files say, and people who had left before."""
    active = _shaped(roster)
    frames = {name: frame.with_columns(pl.lit("active").alias("status")) for name, frame in active.items()}
    frames["people"] = pl.concat([frames["people"], _departed(roster)], how="diagonal_relaxed")
    return {
        table.name: hashed(frames[table.name], table).with_columns(pl.lit(SEED_IMPORT).alias("import_id"))
        for table in ROSTER_TABLES
    }


def _shaped(roster: Roster) -> dict[str, pl.DataFrame]:
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="rollover-seed-") as folder, columnar() as duck:
        storage = UPath(folder)
        source = fetched_folder(storage, SEED_IMPORT)
        source.mkdir(parents=True)
        content = files(roster)
        for name, data in content.items():
            (source / name).write_bytes(data)
        found = contents(source, content, (), findings)
        assert found is not None
        read = read_all(found, storage, SEED_IMPORT, ReadAs())
        paths = {file.name: Path(typed_file(storage, SEED_IMPORT, file.stem).path) for file in found.files}
        shape(duck, CheckedSet(duck, found.format, paths, (), findings), roster.year)
        assert not findings.errors and not any(each.findings.errors for each in read.values())
        return {table.name: _rows(duck, table) for table in ROSTER_TABLES}


def _rows(duck: duckdb.DuckDBPyConnection, table: Table) -> pl.DataFrame:
    columns = ", ".join(f'"{name}"' for name in value_columns(table))
    frame: pl.DataFrame = duck.sql(f"SELECT {columns} FROM roster_{table.name}").pl()  # noqa: S608 - our own names
    return frame


def _departed(roster: Roster) -> pl.DataFrame:
    """Return people who left before the finished year: a later full set did not have them."""
    return pl.DataFrame(
        [
            {
                "sourced_id": person.id,
                "role": person.role,
                "given_name": person.given,
                "middle_name": person.middle,
                "family_name": person.family,
                "username": person.username,
                "email": person.email,
                "identifier": person.identifier,
                "birth_date": person.birth_date,
                "grade": grade_code(person.grade or 0),
                "school_ids": [person.school_id],
                "enabled": True,
                "status": "tobedeleted",
            }
            for person in roster.people
            if not person.active
        ],
        infer_schema_length=None,
    )

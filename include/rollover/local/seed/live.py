"""The live roster of the finished year, as an import of that year's files would have left it."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from rollover.calendar import SchoolYear
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.local.seed.oneroster import Row, rows
from rollover.local.seed.roster import Roster, grade_code
from rollover.roster.model import FILES, Column, Kind
from rollover.roster.staged import row_hash

SEED_IMPORT = "seed"
"""The import that the seeded rows say they came from."""


def roster_frames(roster: Roster) -> dict[str, pl.DataFrame]:
    """The roster tables by name, without ``tenant_id``: what the files say, and who had left before."""
    content = rows(roster)
    found: dict[str, list[dict[str, Any]]] = {
        file.table: [_row(file.columns, row) for row in content[file.name.removesuffix(".csv")]] for file in FILES
    }
    birth_dates = {row["sourced_id"]: row["birth_date"] for row in found.pop("birth_dates")}
    guardians: list[dict[str, Any]] = []
    for person in found["people"]:
        agents = person.pop("agent_ids")
        person["birth_date"] = birth_dates.get(person["sourced_id"])
        if person["role"] == "student":
            guardians += [{"student_id": person["sourced_id"], "guardian_id": guardian} for guardian in agents]
    found["guardians"] = guardians
    frames = {
        name: pl.DataFrame(table, infer_schema_length=None).with_columns(pl.lit("active").alias("status"))
        for name, table in found.items()
    }
    frames["people"] = pl.concat([frames["people"], _departed(roster)], how="diagonal_relaxed")
    return {
        table.name: frames[table.name].with_columns(
            row_hash(frames[table.name], table), pl.lit(SEED_IMPORT).alias("import_id")
        )
        for table in ROSTER_TABLES
    }


def _row(columns: tuple[Column, ...], row: Row) -> dict[str, Any]:
    return {column.target: _value(column.kind, row.get(column.name)) for column in columns}


def _value(kind: Kind, value: str | None) -> Any:
    """A file's value as the table has it; blank is null, or an empty list."""
    if kind in (Kind.REFERENCES, Kind.TEXTS, Kind.GRADES):
        return value.split(",") if value else []
    if not value:
        return None
    if kind is Kind.DATE:
        return date.fromisoformat(value)
    if kind is Kind.YEAR:
        return SchoolYear.ending_in(int(value)).key
    return value == "true" if kind is Kind.BOOLEAN else value


def _departed(roster: Roster) -> pl.DataFrame:
    """People who left before the finished year: a later full set did not hold them."""
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

"""Keeps the live records of rejected rows as they are: a rejected row changes nothing.

A full file replaces everything: a record that is not in it leaves the roster. A rejected row is in the file, though;
nobody said that the child has left. So the live record with its id stays unchanged, as long as the records that it
refers to are in the set or stay, too. The same goes for rows that are rejected because they depend on others.

Some rejected rows cannot be identified: the defect has blanked, cut off or moved the id. Any live record of the file's
kind may be theirs, so while there is such a row, nothing is removed that is missing from its file.

All findings are made before this, and no rejected row of the set is accepted after all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import duckdb
from sqlalchemy import Table

from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster.formats.spec import File, Keeps
from rollover.roster.reading.clean import NEVER_IN_ID
from rollover.roster.reading.text import BROKEN
from rollover.roster.staged import key_columns, value_columns
from rollover.roster.validating.rules import CheckedSet

REQUIRED = {
    "courses": {"org_id": "orgs"},
    "classes": {"course_id": "courses", "school_id": "orgs"},
    "guardians": {"student_id": "people", "guardian_id": "people"},
    "enrollments": {"class_id": "classes", "school_id": "orgs", "person_id": "people"},
}
"""By table: columns that must refer to a row of another table."""
SOME_OF = {"classes": {"term_ids": "academic_sessions"}, "people": {"school_ids": "orgs"}}
"""Columns with lists: at least one of their ids must exist; the others are left out."""
OPTIONAL = {
    "orgs": {"parent_id": "orgs"},
    "academic_sessions": {"parent_id": "academic_sessions"},
    "courses": {"school_year_session_id": "academic_sessions"},
}
_LIVE = re.compile(r"\blive_([a-z_]+)")

LoadLive = Callable[[Table], None]
"""Load the active live rows of a table into DuckDB, as ``live_<table>``, with every column."""
Shape = Callable[[Table], None]
"""Make ``roster_<table>`` again, of the accepted rows."""


@dataclass
class Stayed:
    """The live records that stay although the set does not have them."""

    rows: dict[str, int] = field(default_factory=dict)
    """By roster table: live rows that stay."""
    unnamed: dict[str, int] = field(default_factory=dict)
    """By file: the number of rejected rows that cannot be identified."""


def keep_live(
    duck: duckdb.DuckDBPyConnection,
    checked: CheckedSet,
    rejected: Mapping[str, int],
    unnamed: Mapping[str, int],
    load_live: LoadLive,
    shape: Shape,
) -> Stayed:
    """Add to ``roster_<table>`` the live rows that rejected rows are about.

    `rejected` is their number by full file, `unnamed` the number of rows that staging could not identify. Loads nothing
    if there are none.
    """
    stayed = Stayed()
    files = []
    for file in checked.format.files:
        is_about = rejected.get(file.name) or unnamed.get(file.name)
        if is_about and _find_lost(duck, file, unnamed.get(file.name, 0), stayed):
            files.append(file)
    _load(files, load_live)
    for file in files:
        if file.name in stayed.unnamed:
            duck.execute(f"INSERT INTO lost_{file.stem} {_not_accepted(file, file.live_ids)}")
    refer_again = False
    for table in ROSTER_TABLES if files else ():
        stay = [(file, keeps) for file in files for keeps in file.stays if keeps.table == table.name]
        _find_kept(duck, table, [keeps for _, keeps in stay if not keeps.columns])
        refer_again = _take_back(checked, table, [file for file, keeps in stay if not keeps.columns]) or refer_again
        if refer_again:
            shape(table)
        stayed.rows |= _add_kept(duck, checked, table)
        _keep_columns(duck, table, [keeps for _, keeps in stay if keeps.columns])
        if any(table.name in targets.values() for targets in SOME_OF.values()):
            duck.execute(f"SET VARIABLE {table.name}_there = (SELECT list(sourced_id) FROM roster_{table.name})")
    return stayed


def _load(files: list[File], load_live: LoadLive) -> None:
    """Load the tables that the files' SQL names."""
    named: Counter[str] = Counter()
    for file in files:
        named.update(keeps.table for keeps in file.stays)
        named.update(_LIVE.findall(" ".join((file.live_ids, *(keeps.where for keeps in file.stays)))))
    for table in ROSTER_TABLES:
        if named[table.name]:
            load_live(table)


def _find_lost(duck: duckdb.DuckDBPyConnection, file: File, unnamed: int, stayed: Stayed) -> bool:
    """Make ``lost_<stem>`` of the ids that rejected rows are about; returns whether there are any.

    Adds to `stayed` the number of rows that cannot be identified: `unnamed`, and those whose id cannot be right.
    """
    keys = file.delta_key
    is_named = " AND ".join(f"coalesce(NOT regexp_matches(\"{key}\", '{NEVER_IN_ID}|{BROKEN}'), false)" for key in keys)
    duck.execute(f"""
        CREATE OR REPLACE TEMP TABLE put_out AS
        SELECT {_roster_id(file)} AS id, "{keys[0]}" AS said, {is_named} AS is_named FROM read_{file.stem} r
        WHERE r."row" > 0 AND (r.kept_out OR r."row" IN (SELECT o."row" FROM out_{file.stem} o))
    """)
    named = _not_accepted(file, "SELECT id, said FROM put_out WHERE is_named")
    duck.execute(f"CREATE TABLE lost_{file.stem} AS {named}")
    if of_nobody := unnamed + _number(duck, "SELECT count(*) FROM put_out WHERE NOT is_named"):
        stayed.unnamed[file.name] = of_nobody
    return bool(of_nobody or _number(duck, f"SELECT count(*) FROM lost_{file.stem}"))


def _roster_id(file: File) -> str:
    return file.roster_id or " || chr(31) || ".join(f'"{key}"' for key in file.delta_key)


def _not_accepted(file: File, ids: str) -> str:
    """Those of `ids` for which no row was accepted; all of them if a file has several rows per id."""
    accepted = (
        f"ANTI JOIN (SELECT {_roster_id(file)} AS id FROM {file.stem}) accepted USING (id)" if file.unique else ""
    )
    return f"SELECT DISTINCT id, said FROM ({ids}) {accepted}"


def _find_kept(duck: duckdb.DuckDBPyConnection, table: Table, stay: list[Keeps]) -> None:
    """Make ``kept_<table>`` of the live rows that stay: the set does not have them, and their references exist."""
    name = table.name
    columns = ", ".join(f'live."{column}"' for column in value_columns(table))
    same = " AND ".join(f'r."{key}" = live."{key}"' for key in key_columns(table))
    about = " OR ".join(f"({keeps.where})" for keeps in stay) or "false"
    source = f"live_{name}" if stay else f"roster_{name}"
    duck.execute(f"""
        CREATE TABLE kept_{name} AS SELECT {columns} FROM {source} live
        WHERE ({about}) AND NOT EXISTS (FROM roster_{name} r WHERE {same})
    """)
    for column, target in REQUIRED.get(name, {}).items():
        duck.execute(f'DELETE FROM kept_{name} WHERE "{column}" NOT IN (SELECT sourced_id FROM roster_{target})')
    for column, target in SOME_OF.get(name, {}).items():
        there = f"lambda item: list_contains(getvariable('{target}_there'), item)"
        duck.execute(f'UPDATE kept_{name} SET "{column}" = list_filter("{column}", {there})')
        duck.execute(f'DELETE FROM kept_{name} WHERE len("{column}") = 0')
    for column, target in OPTIONAL.get(name, {}).items():
        duck.execute(f"""
            UPDATE kept_{name} SET "{column}" = NULL
            WHERE "{column}" NOT IN (SELECT sourced_id FROM roster_{target})
              AND "{column}" NOT IN (SELECT {key_columns(table)[0]} FROM kept_{name})
        """)


def _take_back(checked: CheckedSet, table: Table, files: list[File]) -> bool:
    """Let rows refer again to live rows that stay; returns whether any row does."""
    kept = f"SELECT {key_columns(table)[0]} FROM kept_{table.name}"
    taken = [
        checked.rows.take_back(file, f"SELECT said FROM lost_{file.stem} WHERE id IN ({kept})")
        for file in dict.fromkeys(files)
    ]
    return any(taken)


def _add_kept(duck: duckdb.DuckDBPyConnection, checked: CheckedSet, table: Table) -> dict[str, int]:
    """Add ``kept_<table>`` to the roster; returns the number of rows by table, if there are any."""
    name = table.name
    rows = _number(duck, f"SELECT count(*) FROM kept_{name}")
    if not rows:
        return {}
    columns = ", ".join(f'"{column}"' for column in value_columns(table))
    if name == ROSTER_TABLES[-1].name:  # a view: see `shape`
        shaped = f"SELECT {columns} FROM ({checked.format.shapes[name]})"
        duck.execute(f"CREATE OR REPLACE VIEW roster_{name} AS {shaped} UNION ALL SELECT {columns} FROM kept_{name}")
    else:
        duck.execute(f"INSERT INTO roster_{name} ({columns}) SELECT {columns} FROM kept_{name}")
    return {name: rows}


def _keep_columns(duck: duckdb.DuckDBPyConnection, table: Table, parts: list[Keeps]) -> None:
    """Let parts of rows of the set be as they are live."""
    same = " AND ".join(f'r."{key}" = live."{key}"' for key in key_columns(table))
    for keeps in parts:
        values = ", ".join(f'"{column}" = {value}' for column, value in keeps.columns)
        duck.execute(f"""
            UPDATE roster_{table.name} r SET {values} FROM live_{table.name} live
            WHERE {same} AND r."row" IS NOT NULL AND ({keeps.where})
        """)


def _number(duck: duckdb.DuckDBPyConnection, query: str) -> int:
    row = duck.execute(query).fetchone()
    assert row is not None
    return int(row[0])

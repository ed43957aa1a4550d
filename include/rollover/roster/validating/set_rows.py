"""The rows of a set in DuckDB, as its rules read them.

Each file has the tables ``read_<stem>``, with every row; ``out_<stem>``, with the places of rejected rows; ``<stem>``,
with the rows that are accepted so far; and ``judged_<stem>``, with the rows whose references are checked. These include
rows that are rejected for something else, so that all defects of a row are found at once. A delta is laid over the live
roster, so that all rules see whole files; rows of the live roster have places below zero, and make no findings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

import duckdb

from rollover.roster.columnar import quoted
from rollover.roster.formats.spec import Column, File, Format, Kind

LIST_KINDS = (Kind.TEXTS, Kind.GRADES)
SQL_TYPES = {Kind.TEXTS: "VARCHAR[]", Kind.GRADES: "VARCHAR[]", Kind.DATE: "DATE", Kind.BOOLEAN: "BOOLEAN"}


class SetRows:
    """The tables and views of a set's files."""

    def __init__(
        self, duck: duckdb.DuckDBPyConnection, spec: Format, paths: Mapping[str, Path], deltas: Collection[str]
    ) -> None:
        """`paths` are the typed rows of the files that were read, by file name; `deltas` the names of deltas.

        With a delta, ``live_<table>`` must have the live roster.
        """
        self._duck = duck
        self._format = spec
        self._paths = paths
        self._deltas = deltas
        self.judged: list[File] = []
        """The files whose references are checked, so far."""
        self._dangling: dict[str, list[tuple[Column, str]]] = defaultdict(list)
        """By file: the columns with references to be left out, and the tables that name them."""

    def open(self, file: File) -> None:
        """Make the tables and views of a file; one that was not read is empty."""
        columns = columns_of(file)
        names = ", ".join(f'"{column.name}"' for column in columns)
        if file.name in self._paths:
            read = f'SELECT "row", kept_out, is_deleted, {names} FROM read_parquet({quoted(self._paths[file.name])})'
        else:
            nulls = ", ".join(f'NULL::{SQL_TYPES.get(c.kind, "VARCHAR")} AS "{c.name}"' for c in columns)
            read = f'SELECT NULL::INT AS "row", false AS kept_out, false AS is_deleted, {nulls} WHERE false'
        self._duck.execute(f'CREATE TABLE out_{file.stem} ("row" INT)')
        self._duck.execute(f"CREATE VIEW sent_{file.stem} AS {read}")
        self._duck.execute(f"CREATE VIEW read_{file.stem} AS {self._laid_over_live(file)}")
        self._accept(file)

    def begin_judging(self, file: File) -> None:
        """Make the view of the rows whose references are checked: all except repeated rows."""
        self._duck.execute(f"CREATE TABLE again_{file.stem} AS FROM out_{file.stem}")
        self.judged.append(file)
        self._accept(file)

    def remember(self, file: File) -> None:
        """Keep the identities of the accepted rows if other rows refer to them."""
        if any(column.refers_to == file.name for each in self._format.files for column in each.columns):
            self._duck.execute(f"""
                CREATE OR REPLACE TABLE ids_{file.stem} AS
                SELECT DISTINCT "{file.identity}" AS id FROM {file.stem} WHERE "{file.identity}" IS NOT NULL
            """)

    def leave_out(self, file: File, column: Column) -> str:
        """Leave out the references of a column that the table ``dangling`` names; returns the table that keeps them."""
        table = f"dangling_{file.stem}_{len(self._dangling[file.stem])}"
        items = "list(item) AS items" if column.kind in LIST_KINDS else "NULL AS items"
        self._duck.execute(f'CREATE TABLE {table} AS SELECT "row", {items} FROM dangling GROUP BY "row"')
        self._dangling[file.stem].append((column, table))
        self._accept(file)
        return table

    def take_back(self, target: File, said: str) -> bool:
        """Let rows refer again to those of `target` whose identities the query `said` yields; returns whether any does.

        Their references were left out, because these rows are rejected. Called after all rules.
        """
        if not self.number(f"SELECT count(*) FROM ({said})"):
            return False
        found = False
        self._duck.execute(f"SET VARIABLE taken_back = (SELECT list(said) FROM ({said}) of_target (said))")
        for file in self.judged:
            for column, dangling in self._dangling[file.stem]:
                if column.refers_to != target.name:
                    continue
                found = True
                if column.kind in LIST_KINDS:
                    kept = "list_filter(items, lambda item: NOT list_contains(getvariable('taken_back'), item))"
                    self._duck.execute(f"UPDATE {dangling} SET items = {kept}")
                else:
                    self._duck.execute(f"""
                        DELETE FROM {dangling} WHERE "row" IN (
                            SELECT r."row" FROM read_{file.stem} r
                            WHERE list_contains(getvariable('taken_back'), r."{column.name}")
                        )
                    """)
        return found

    def taken(self) -> dict[str, int]:
        """How many rows of each file that was read are accepted: they break no rule that rejects them."""
        return {
            file.name: self.number(
                f'SELECT count("row") FROM sent_{file.stem} WHERE NOT kept_out '
                f'AND "row" NOT IN (SELECT o."row" FROM out_{file.stem} o)'
            )
            for file in self._format.files
            if file.name in self._paths
        }

    def forget(self) -> None:
        """Free the memory that only the checks need."""
        self._duck.execute("DROP TABLE IF EXISTS broken; DROP TABLE IF EXISTS again; DROP TABLE IF EXISTS lost")
        for file in self._format.files:
            self._duck.execute(f"DROP TABLE IF EXISTS ids_{file.stem}")

    def number(self, query: str) -> int:
        """The number that a query yields; if the query makes a table, the number of its rows."""
        row = self._duck.execute(query).fetchone()
        assert row is not None
        return int(row[0])

    def _laid_over_live(self, file: File) -> str:
        """The rows of a file; for a delta, also the live rows that it does not name."""
        sent = f"FROM sent_{file.stem}"
        is_kept = file.name in self._deltas or file.name not in self._paths
        if not self._deltas or file.live is None or not is_kept:
            return sent
        self._duck.execute(f"""
            CREATE TABLE known_{file.stem} AS
            SELECT -(row_number() OVER ())::INT AS "row", false AS kept_out, false AS is_deleted, live.*
            FROM ({file.live}) live
        """)
        same = " AND ".join(f'said."{name}" = live."{name}"' for name in file.delta_key)
        return f"""
            {sent}
            UNION ALL BY NAME
            SELECT live.* FROM known_{file.stem} live
            ANTI JOIN (
                FROM sent_{file.stem} s WHERE NOT kept_out AND s."row" NOT IN (SELECT o."row" FROM out_{file.stem} o)
            ) said ON {same}
        """

    def _accept(self, file: File) -> None:
        """Make the view of the accepted rows, without the references that were found dangling."""
        values = {column.name: f'r."{column.name}"' for column in columns_of(file)}
        joins = ""
        for number, (column, dangling) in enumerate(self._dangling[file.stem]):
            joins += f' LEFT JOIN {dangling} d{number} ON d{number}."row" = r."row"'
            values[column.name] = _without(column, values[column.name], f"d{number}")
        chosen = ", ".join(f'{value} AS "{name}"' for name, value in values.items())
        rows = f'SELECT r."row", {chosen} FROM read_{file.stem} r {joins} WHERE NOT r.is_deleted AND r."row" NOT IN '
        self._duck.execute(f"""
            CREATE OR REPLACE VIEW {file.stem} AS {rows} (SELECT o."row" FROM out_{file.stem} o) AND NOT r.kept_out
        """)
        if file in self.judged:
            self._duck.execute(f"""
                CREATE OR REPLACE VIEW judged_{file.stem} AS {rows} (SELECT a."row" FROM again_{file.stem} a)
            """)


def columns_of(file: File) -> list[Column]:
    """The columns of typed rows."""
    return [column for column in file.columns if column.name not in file.bulk_is_blank]


def _without(column: Column, value: str, dangling: str) -> str:
    """A column's value without its dangling references."""
    kept = "NULL"
    if column.kind in LIST_KINDS:
        kept = f"list_filter({value}, lambda item: NOT list_contains({dangling}.items, item))"
    return f'CASE WHEN {dangling}."row" IS NULL THEN {value} ELSE {kept} END'

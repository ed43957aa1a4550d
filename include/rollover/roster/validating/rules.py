"""Checks the rules about a whole set in DuckDB: duplicates, references, and rows that contradict others.

Each file has the tables ``read_<stem>``, with every row; ``out_<stem>``, with the places of rejected rows; ``<stem>``,
with the rows that are accepted so far; and ``judged_<stem>``, with the rows whose references are checked. These include
rows that are rejected for something else, so that all defects of a row are found at once. A delta is laid over the live
roster, so that all rules see whole files; rows of the live roster have places below zero, and make no findings.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import duckdb

from rollover.roster.columnar import quoted
from rollover.roster.findings import KEPT_PER_CODE, Findings
from rollover.roster.formats.spec import Column, File, Format, Kind, Rule, Severity

LIST_KINDS = (Kind.TEXTS, Kind.GRADES)
SQL_TYPES = {Kind.TEXTS: "VARCHAR[]", Kind.GRADES: "VARCHAR[]", Kind.DATE: "DATE", Kind.BOOLEAN: "BOOLEAN"}


class CheckedSet:
    """The files of a set, checked in the order in which they refer to each other."""

    def __init__(
        self,
        duck: duckdb.DuckDBPyConnection,
        spec: Format,
        paths: Mapping[str, Path],
        deltas: Collection[str],
        findings: Findings,
        missing: Collection[str] = (),
    ) -> None:
        """`paths` are the typed rows of the files that were read, by file name; `deltas` the names of deltas. No
        findings are made about rows that depend on the `missing` files of a refused set.

        With a delta, ``live_<table>`` must have the live roster.
        """
        self._duck = duck
        self.format = spec
        self._paths = paths
        self._deltas = deltas
        self._findings = findings
        self._missing = missing
        self._judged: list[File] = []
        self._dangling: dict[str, list[tuple[Column, str]]] = defaultdict(list)
        """By file: the columns with references to be left out, and the tables that name them."""
        self._left_over: Counter[str] = Counter()
        """By file: the number of live rows that are removed because a delta deletes the records that they refer to."""

        self.repeated: dict[str, int] = {}
        """By file: the number of rows that repeat another row exactly; one of them is accepted."""

    def check_files(self) -> None:
        """Find every row that breaks a rule of its file, or depends on one that does."""
        for file in self.format.files:
            self._open(file)
            if file.name in self._paths and file.identity and file.unique:
                self._check_identity(file)
            self._begin_judging(file)
            self._check_file(file)
        self._report_left_over()
        self._refuse_empty()

    def check_roster(self) -> None:
        """Check the rules of the format, which read the shaped roster."""
        for rule in () if self._missing else self.format.rules:
            if rule.file is None or rule.file in self._paths:
                self._check_roster_rule(rule)

    def taken(self) -> dict[str, int]:
        """How many rows of each file that was read are accepted: they break no rule that rejects them."""
        return {
            file.name: self._number(
                f'SELECT count("row") FROM sent_{file.stem} WHERE NOT kept_out '
                f'AND "row" NOT IN (SELECT o."row" FROM out_{file.stem} o)'
            )
            for file in self.format.files
            if file.name in self._paths
        }

    def is_whole(self, query: str) -> bool:
        """Whether a query reads no file that is missing."""
        return not any(re.search(rf"\b{self.format.file(name).stem}\b", query) for name in self._missing)

    def take_back(self, target: File, said: str) -> bool:
        """Let rows refer again to those of `target` whose identities the query `said` yields; returns whether any does.

        Their references were left out, because these rows are rejected. Called after all rules.
        """
        if not self._number(f"SELECT count(*) FROM ({said})"):
            return False
        found = False
        self._duck.execute(f"SET VARIABLE taken_back = (SELECT list(said) FROM ({said}) of_target (said))")
        for file in self._judged:
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

    def forget(self) -> None:
        """Free the memory that only the checks need."""
        self._duck.execute("DROP TABLE IF EXISTS broken; DROP TABLE IF EXISTS again; DROP TABLE IF EXISTS lost")
        for file in self.format.files:
            self._duck.execute(f"DROP TABLE IF EXISTS ids_{file.stem}")

    def _check_file(self, file: File) -> None:
        """Check the references that reject rows, then those that are only left out: they may refer to one of these
        rows."""
        references = [column for column in file.columns if column.refers_to]
        required = [column for column in references if column.required and column.refers_to != file.name]
        for column in required:
            self._check_reference(file, column)
        self._check_rules(file, "error", of_others=False)
        self._remember(file)
        for column in references:
            if column not in required:
                self._check_reference(file, column)
        for target in self._check_rules(file, "error", of_others=True):
            self._check_again(target)
        self._check_rules(file, "warning")

    def _check_rules(self, file: File, severity: Severity, *, of_others: bool | None = None) -> list[File]:
        """Check a file's rules of a severity, on its own rows or those of others; returns the files with a broken
        rule."""
        broken = []
        for rule in file.rules:
            is_there = (file.name in self._paths or rule.file in self._paths) and self.is_whole(rule.sql)
            if is_there and rule.severity == severity and of_others in (None, rule.file is not None):
                target = self.format.file(rule.file) if rule.file else file
                if self._find(rule.code, severity, target, rule.column, rule.message, f"FROM ({rule.sql})"):
                    broken.append(target)
        return list(dict.fromkeys(broken))

    def _refuse_empty(self) -> None:
        for file in self.format.files:
            is_whole = file.name in self._paths and file.name not in self._deltas
            if file.required and is_whole and not self._number(f'SELECT count("row") FROM {file.stem}'):
                message = "Not a single row of the file can be taken. Fix its errors."
                self._findings.refuse("no_valid_rows", file.name, message)

    # Opening

    def _open(self, file: File) -> None:
        columns = _columns(file)
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
        values = {column.name: f'r."{column.name}"' for column in _columns(file)}
        joins = ""
        for number, (column, dangling) in enumerate(self._dangling[file.stem]):
            joins += f' LEFT JOIN {dangling} d{number} ON d{number}."row" = r."row"'
            values[column.name] = _without(column, values[column.name], f"d{number}")
        chosen = ", ".join(f'{value} AS "{name}"' for name, value in values.items())
        rows = f'SELECT r."row", {chosen} FROM read_{file.stem} r {joins} WHERE NOT r.is_deleted AND r."row" NOT IN '
        self._duck.execute(f"""
            CREATE OR REPLACE VIEW {file.stem} AS {rows} (SELECT o."row" FROM out_{file.stem} o) AND NOT r.kept_out
        """)
        if file in self._judged:
            self._duck.execute(f"""
                CREATE OR REPLACE VIEW judged_{file.stem} AS {rows} (SELECT a."row" FROM again_{file.stem} a)
            """)

    def _begin_judging(self, file: File) -> None:
        """Make the view of the rows whose references are checked: all except repeated rows."""
        self._duck.execute(f"CREATE TABLE again_{file.stem} AS FROM out_{file.stem}")
        self._judged.append(file)
        self._accept(file)

    def _remember(self, file: File) -> None:
        """Keep the identities of the accepted rows if other rows refer to them."""
        if any(column.refers_to == file.name for each in self.format.files for column in each.columns):
            self._duck.execute(f"""
                CREATE OR REPLACE TABLE ids_{file.stem} AS
                SELECT DISTINCT "{file.identity}" AS id FROM {file.stem} WHERE "{file.identity}" IS NOT NULL
            """)

    # Checking

    def _check_identity(self, file: File) -> None:
        """Reject rows whose identity an earlier row has. An exact repetition is no error."""
        identity = f'"{file.identity}"'
        sent = f'{file.stem} WHERE "row" > 0'
        # Hashes are compared faster than texts; two ids of one hash are distinguished below.
        if not self._number(f"SELECT count({identity}) - count(DISTINCT hash({identity})) FROM {sent}"):
            return
        values = ", ".join(f'"{column.name}"' for column in _columns(file))
        self._duck.execute(f"""
            CREATE OR REPLACE TEMP TABLE again AS
            SELECT "row", row_number() OVER same_id AS place, said = first_value(said) OVER same_id AS same
            FROM (
                SELECT "row", {identity} AS id, hash({values}) AS said FROM {sent}
                QUALIFY count(*) OVER (PARTITION BY {identity}) > 1
            )
            WINDOW same_id AS (PARTITION BY id ORDER BY "row")
        """)
        message = "The row is there already, word for word; it is taken once."
        repeated = 'SELECT "row" FROM again WHERE place > 1 AND same'
        if self._find("repeated", "warning", file, file.identity, message, repeated, put_out=True):
            self.repeated[file.name] = self._number("SELECT count(*) FROM broken")
        message = f"The {file.identity} stands for another row already; the first one counts. Give each its own."
        differing = 'SELECT "row" FROM again WHERE place > 1 AND NOT same'
        self._find("duplicate", "error", file, file.identity, message, differing)

    def _check_reference(self, file: File, column: Column, *, rows: str = "judged_") -> None:
        """Check references: a required one must resolve, of a list at least one; others are left out."""
        assert column.refers_to is not None
        if column.refers_to in self._missing:
            return
        target = self.format.file(column.refers_to)
        name = f'"{column.name}"'
        item = f"unnest({name})" if column.kind in LIST_KINDS else name
        found = self._number(f"""
            CREATE OR REPLACE TEMP TABLE dangling AS
            SELECT "row", item FROM (SELECT "row", {item} AS item FROM {rows}{file.stem}) named
            ANTI JOIN ids_{target.stem} known ON known.id = named.item
            WHERE item IS NOT NULL
        """)
        if not found:
            return
        self._duck.execute('CREATE OR REPLACE TEMP TABLE lost ("row" INT, depends BOOLEAN)')
        if column.required:
            self._put_out_dangling(file, column, target)
        self._leave_out_dangling(file, column, target)

    def _put_out_dangling(self, file: File, column: Column, target: File) -> None:
        """Reject rows that have no valid reference: it points to a rejected row, or to a row that does not exist."""
        if column.kind in LIST_KINDS:
            lost = f"""
                WITH counted AS (SELECT "row", count(*) AS items FROM dangling GROUP BY "row")
                SELECT d."row", item FROM dangling d WHERE d."row" IN (
                    SELECT j."row" FROM judged_{file.stem} j JOIN counted USING ("row")
                    WHERE len(j."{column.name}") = items
                )
            """
        else:
            lost = "FROM dangling"
        self._duck.execute(f"""
            CREATE OR REPLACE TEMP TABLE lost AS
            WITH rejected AS (
                SELECT DISTINCT "{target.identity}" AS id FROM read_{target.stem} r
                WHERE r.kept_out OR r."row" IN (SELECT o."row" FROM out_{target.stem} o)
            )
            SELECT l."row", bool_or(rejected.id IS NOT NULL) AS depends
            FROM ({lost}) l LEFT JOIN rejected ON rejected.id = l.item GROUP BY l."row"
        """)
        message = f"{column.name} refers to a row of {target.name} that was rejected. Fix that row."
        depending = 'SELECT "row" FROM lost WHERE depends'
        self._find("depends_on_rejected", "error", file, column.name, message, depending)
        message = (
            f"{column.name} refers to a row that is not in {target.name}, or is deleted there. "
            "Send that row too, or fix the reference."
        )
        self._find("reference", "error", file, column.name, message, 'SELECT "row" FROM lost WHERE NOT depends')

    def _leave_out_dangling(self, file: File, column: Column, target: File) -> None:
        table = f"dangling_{file.stem}_{len(self._dangling[file.stem])}"
        items = "list(item) AS items" if column.kind in LIST_KINDS else "NULL AS items"
        self._duck.execute(f'CREATE TABLE {table} AS SELECT "row", {items} FROM dangling GROUP BY "row"')
        self._dangling[file.stem].append((column, table))
        self._accept(file)
        message = f"{column.name} refers to a row that is not in {target.name}, or was rejected; it was left out."
        rest = f'SELECT "row" FROM {table} WHERE "row" NOT IN (SELECT l."row" FROM lost l)'
        self._find("optional_reference", "warning", file, column.name, message, rest)

    def _check_again(self, target: File) -> None:
        """Check again the rows that refer to newly rejected rows of a file."""
        self._remember(target)
        for file in self._judged:
            before = self._number(f"SELECT count(*) FROM out_{file.stem}")
            for column in file.columns:
                if column.refers_to == target.name:
                    self._check_reference(file, column, rows="")
            if self._number(f"SELECT count(*) FROM out_{file.stem}") > before:
                self._check_again(file)

    def _check_roster_rule(self, rule: Rule) -> None:
        broken = f'SELECT file, "row" FROM ({rule.sql}) WHERE "row" > 0'
        if not self._number(f"CREATE OR REPLACE TEMP TABLE broken AS {broken}"):
            return
        counts = "SELECT file, count(*) FROM broken GROUP BY file ORDER BY file"
        for name, count in self._duck.execute(counts).fetchall():
            first = self._duck.execute(
                f'SELECT "row" FROM broken WHERE file = ? ORDER BY "row" LIMIT {KEPT_PER_CODE}', [name]
            ).fetchall()
            self._add(rule.code, rule.severity, name, rule.column, rule.message, first, count)

    def _find(
        self,
        code: str,
        severity: Severity,
        file: File,
        column: str | None,
        message: str,
        broken: str,
        *,
        put_out: bool = False,
    ) -> bool:
        """Make a finding of every row that the query `broken` selects; an error, and `put_out`, rejects it.

        Returns whether there is any. Live rows among them are removed, too.
        """
        found = f'SELECT DISTINCT "row" FROM ({broken}) WHERE "row" IS NOT NULL'
        if not self._number(f"CREATE OR REPLACE TEMP TABLE broken AS {found}"):
            return False
        count = self._number('SELECT count(*) FROM broken WHERE "row" > 0')
        first = self._duck.execute(
            f'SELECT "row" FROM broken WHERE "row" > 0 ORDER BY "row" LIMIT {KEPT_PER_CODE}'
        ).fetchall()
        self._add(code, severity, file.name, column, message, first, count)
        if severity == "error" or put_out:
            self._duck.execute(f"INSERT INTO out_{file.stem} FROM broken")
            self._left_over[file.name] += self._number('SELECT count(*) FROM broken WHERE "row" < 0')
        return True

    def _add(
        self,
        code: str,
        severity: Severity,
        file: str,
        column: str | None,
        message: str,
        first: Iterable[tuple[int]],
        count: int,
    ) -> None:
        rows = [row for (row,) in first]
        if rows:
            self._findings.add(code, severity, file, message, column=column, rows=rows, count=count)

    def _report_left_over(self) -> None:
        for name, count in self._left_over.items():
            if count:
                message = (
                    f"{count} rows that are live refer to what the delta deletes, and go with it. "
                    "Say of them too that they are deleted."
                )
                self._findings.add("depends_on_deleted", "warning", name, message)

    def _number(self, query: str) -> int:
        """The number that a query yields; if the query makes a table, the number of its rows."""
        row = self._duck.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def _columns(file: File) -> list[Column]:
    """The columns of typed rows."""
    return [column for column in file.columns if column.name not in file.bulk_is_blank]


def _without(column: Column, value: str, dangling: str) -> str:
    """A column's value without its dangling references."""
    kept = "NULL"
    if column.kind in LIST_KINDS:
        kept = f"list_filter({value}, lambda item: NOT list_contains({dangling}.items, item))"
    return f'CASE WHEN {dangling}."row" IS NULL THEN {value} ELSE {kept} END'

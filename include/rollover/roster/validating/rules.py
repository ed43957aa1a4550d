"""Checks the rules about a whole set in DuckDB: duplicates, references, and rows that contradict others.

:mod:`rollover.roster.validating.set_rows` has the tables and views that they read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import duckdb

from rollover.roster.findings import KEPT_PER_CODE, Findings
from rollover.roster.formats.spec import Column, File, Format, Rule, Severity
from rollover.roster.validating.set_rows import LIST_KINDS, SetRows, columns_of


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
        self.rows = SetRows(duck, spec, paths, deltas)
        self._left_over: Counter[str] = Counter()
        """By file: the number of live rows that are removed because a delta deletes the records that they refer to."""

        self.repeated: dict[str, int] = {}
        """By file: the number of rows that repeat another row exactly; one of them is accepted."""

    def check_files(self) -> None:
        """Find every row that breaks a rule of its file, or depends on one that does."""
        for file in self.format.files:
            self.rows.open(file)
            if file.name in self._paths and file.identity and file.unique:
                self._check_identity(file)
            self.rows.begin_judging(file)
            self._check_file(file)
        self._report_left_over()
        self._refuse_empty()

    def check_roster(self) -> None:
        """Check the rules of the format, which read the shaped roster."""
        for rule in () if self._missing else self.format.rules:
            if rule.file is None or rule.file in self._paths:
                self._check_roster_rule(rule)

    def is_whole(self, query: str) -> bool:
        """Whether a query reads no file that is missing."""
        return not any(re.search(rf"\b{self.format.file(name).stem}\b", query) for name in self._missing)

    def _check_file(self, file: File) -> None:
        """Check the references that reject rows, then those that are only left out: they may refer to one of these
        rows."""
        references = [column for column in file.columns if column.refers_to]
        required = [column for column in references if column.required and column.refers_to != file.name]
        for column in required:
            self._check_reference(file, column)
        self._check_rules(file, "error", of_others=False)
        self.rows.remember(file)
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
            if file.required and is_whole and not self.rows.number(f'SELECT count("row") FROM {file.stem}'):
                message = "Not a single row of the file can be taken. Fix its errors."
                self._findings.refuse("no_valid_rows", file.name, message)

    def _check_identity(self, file: File) -> None:
        """Reject rows whose identity an earlier row has. An exact repetition is no error."""
        identity = f'"{file.identity}"'
        sent = f'{file.stem} WHERE "row" > 0'
        # Hashes are compared faster than texts; two ids of one hash are distinguished below.
        if not self.rows.number(f"SELECT count({identity}) - count(DISTINCT hash({identity})) FROM {sent}"):
            return
        values = ", ".join(f'"{column.name}"' for column in columns_of(file))
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
            self.repeated[file.name] = self.rows.number("SELECT count(*) FROM broken")
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
        found = self.rows.number(f"""
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
        table = self.rows.leave_out(file, column)
        message = f"{column.name} refers to a row that is not in {target.name}, or was rejected; it was left out."
        rest = f'SELECT "row" FROM {table} WHERE "row" NOT IN (SELECT l."row" FROM lost l)'
        self._find("optional_reference", "warning", file, column.name, message, rest)

    def _check_again(self, target: File) -> None:
        """Check again the rows that refer to newly rejected rows of a file."""
        self.rows.remember(target)
        for file in self.rows.judged:
            before = self.rows.number(f"SELECT count(*) FROM out_{file.stem}")
            for column in file.columns:
                if column.refers_to == target.name:
                    self._check_reference(file, column, rows="")
            if self.rows.number(f"SELECT count(*) FROM out_{file.stem}") > before:
                self._check_again(file)

    def _check_roster_rule(self, rule: Rule) -> None:
        broken = f'SELECT file, "row" FROM ({rule.sql}) WHERE "row" > 0'
        if not self.rows.number(f"CREATE OR REPLACE TEMP TABLE broken AS {broken}"):
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
        if not self.rows.number(f"CREATE OR REPLACE TEMP TABLE broken AS {found}"):
            return False
        count = self.rows.number('SELECT count(*) FROM broken WHERE "row" > 0')
        first = self._duck.execute(
            f'SELECT "row" FROM broken WHERE "row" > 0 ORDER BY "row" LIMIT {KEPT_PER_CODE}'
        ).fetchall()
        self._add(code, severity, file.name, column, message, first, count)
        if severity == "error" or put_out:
            self._duck.execute(f"INSERT INTO out_{file.stem} FROM broken")
            self._left_over[file.name] += self.rows.number('SELECT count(*) FROM broken WHERE "row" < 0')
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

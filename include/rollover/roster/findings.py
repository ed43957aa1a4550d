"""Collects the problems of a set so that the district can fix them: file, row, column, rule. Never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from rollover.database.tables import ledger
from rollover.roster.formats.spec import Severity

KEPT_PER_CODE = 1000
"""The most findings that are kept of one code and severity in one column of a file."""


CONSEQUENCES = frozenset({"depends_on_rejected", "no_valid_rows", "no_students", "district_kept_out"})
"""Codes of errors that other errors cause. The causes are shown first: fixing them removes these."""


class Finding(NamedTuple):
    """One broken rule. Row 1 is the header; None: the file as a whole."""

    code: str
    severity: Severity
    file: str
    row: int | None
    column: str | None
    message: str


class Unusable(Exception):
    """Raised for a set that must be refused. `message` goes to the district: what is wrong, how to fix it.

    `file` and `row` are the place, if it is not the drop as a whole.
    """

    def __init__(self, code: str, message: str, *, file: str | None = None, row: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.file = file
        self.row = row


class Findings:
    """Collects findings: every one is counted; of each code and severity, the first thousand in a column of a file are
    kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.refusing: list[str] = []
        """The codes of errors for which the whole set is refused."""
        self._counts: dict[Severity, Counter[str]] = {"error": Counter(), "warning": Counter()}
        self._kept_of: Counter[tuple[str | None, ...]] = Counter()
        self._columns: dict[tuple[str, str, str], tuple[int, int]] = {}
        """By code, file and column of :meth:`add_for_column`: the first row, and how many rows."""

    def add(
        self,
        code: str,
        severity: Severity,
        file: str,
        message: str,
        *,
        column: str | None = None,
        rows: Sequence[int | None] = (None,),
        count: int | None = None,
    ) -> None:
        """Add one finding per row. `message` says what is wrong and how to fix it, without the value.

        If only the first rows are given, `count` is the number of all.
        """
        self._counts[severity][code] += len(rows) if count is None else count
        self._keep(Finding(code, severity, file, row, column, message) for row in rows[:KEPT_PER_CODE])

    def add_for_column(self, code: str, file: str, column: str, row: int, count: int) -> None:
        """Count `count` rows, of which `row` is the first, for a warning that a column gets once."""
        first, before = self._columns.get((code, file, column), (row, 0))
        self._columns[code, file, column] = min(first, row), before + count

    def finish_columns(self, code: str, message: str) -> int:
        """Add the one warning of each column that was counted for `code`; `message` has ``{column}``, ``{count}``.

        Returns how many rows were counted, over all of them.
        """
        rows = 0
        for key in [key for key in self._columns if key[0] == code]:
            (_, file, column), (row, count) = key, self._columns.pop(key)
            self.add(code, "warning", file, message.format(column=column, count=count), column=column, rows=[row])
            rows += count
        return rows

    def _keep(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            place = (finding.code, finding.severity, finding.file, finding.column)
            if self._kept_of[place] < KEPT_PER_CODE:
                self._kept_of[place] += 1
                self.kept.append(finding)

    def refuse(self, code: str, file: str, message: str, *, column: str | None = None, row: int | None = None) -> None:
        """Add an error for which the whole set is refused."""
        self.add(code, "error", file, message, column=column, rows=[row])
        self.refusing.append(code)

    def extend(self, other: Findings) -> None:
        """Add everything that `other` has."""
        for severity, counts in other._counts.items():
            self._counts[severity] += counts
        self._keep(other.kept)
        self.refusing += other.refusing

    @property
    def errors(self) -> dict[str, int]:
        return {code: count for code, count in self._counts["error"].items() if count}

    @property
    def warnings(self) -> dict[str, int]:
        return {code: count for code, count in self._counts["warning"].items() if count}

    def store(self, connection: Connection, import_id: str, tenant_id: str) -> None:
        """Write the kept findings to the ledger, in the transaction that moves the import on.

        A set may be checked again: known findings are not written twice, and earlier ones stay.
        """
        rows = ledger.findings.c
        known = connection.execute(select(*(rows[name] for name in Finding._fields)).where(rows.import_id == import_id))
        there = {Finding(*row) for row in known}
        if new := [finding for finding in self.kept if finding not in there]:
            connection.execute(
                insert(ledger.findings),
                [{"tenant_id": tenant_id, "import_id": import_id, **finding._asdict()} for finding in new],
            )


def why_refused(refusing: Sequence[str]) -> str:
    """One line for the ledger: the errors for which the set was refused."""
    return f"refused for {', '.join(sorted(set(refusing)))}"


def added(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    """The sum of two steps' counts, by code."""
    return {code: first.get(code, 0) + second.get(code, 0) for code in {**first, **second}}

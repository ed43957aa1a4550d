"""What is wrong with a set, told so that the district can mend it: file, row, column, rule. Never a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import Connection, insert

from rollover.database.tables import ledger

KEPT_PER_CODE = 1000
Severity = Literal["error", "warning"]


class Finding(NamedTuple):
    """One broken rule. Row 1 is the header; None: the file as a whole."""

    code: str
    severity: Severity
    file: str
    row: int | None
    column: str | None
    message: str


class Findings:
    """Collects findings: every one is counted, the first thousand of each code are kept."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self._counts: dict[str, Counter[str]] = {"error": Counter(), "warning": Counter()}
        self._kept_of: Counter[str] = Counter()

    def add(
        self,
        code: str,
        severity: Severity,
        file: str,
        message: str,
        *,
        column: str | None = None,
        rows: Iterable[int | None] = (None,),
    ) -> None:
        """Add one finding per row. `message` says what is wrong and how to mend it, without the value."""
        for row in rows:
            self._counts[severity][code] += 1
            if self._kept_of[code] < KEPT_PER_CODE:
                self._kept_of[code] += 1
                self.kept.append(Finding(code, severity, file, row, column, message))

    @property
    def errors(self) -> dict[str, int]:
        return dict(self._counts["error"])

    @property
    def warnings(self) -> dict[str, int]:
        return dict(self._counts["warning"])

    def store(self, connection: Connection, import_id: str, tenant_id: str) -> None:
        """Write the kept findings to the ledger, in the transaction that moves the import on."""
        if self.kept:
            connection.execute(
                insert(ledger.findings),
                [{"tenant_id": tenant_id, "import_id": import_id, **f._asdict()} for f in self.kept],
            )


def why_rejected(errors: dict[str, int]) -> str:
    """One line for the ledger: how many errors of which kind."""
    total = sum(errors.values())
    kinds = ", ".join(f"{code} ({count})" for code, count in sorted(errors.items()))
    return f"{total} error{'s' if total != 1 else ''}: {kinds}"

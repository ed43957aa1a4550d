"""Collects the findings of one file of a set."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import polars as pl

from rollover.roster.findings import KEPT_PER_CODE, Findings
from rollover.roster.formats.spec import File, Severity


@dataclass(frozen=True)
class FileFindings:
    """Adds the findings of `file` to those of its set."""

    findings: Findings
    file: File

    def find(
        self,
        code: str,
        severity: Severity,
        message: str,
        rows: Sequence[int | None] | array[int] | pl.Series = (None,),
        *,
        column: str | None = None,
    ) -> None:
        """Make a finding of each of `rows`, which are places in the file: many, or none."""
        if len(rows):
            first = list(rows[:KEPT_PER_CODE])
            self.findings.add(code, severity, self.file.name, message, column=column, rows=first, count=len(rows))

    def unusable(self, code: str, message: str, *, column: str | None = None, row: int | None = None) -> None:
        """Add an error that the file cannot be used: a required one refuses the set; another one is left out."""
        if self.file.required:
            self.findings.refuse(code, self.file.name, message, column=column, row=row)
        else:
            self.find(code, "error", f"{message} The file was left out.", (row,), column=column)

    def count_for_column(self, code: str, column: str, rows: pl.Series) -> None:
        """Count `rows`, which may be empty, for a warning with one finding per column."""
        if not rows.is_empty():
            first = cast(int, rows.min())
            self.findings.add_for_column(code, self.file.name, column, first, len(rows))

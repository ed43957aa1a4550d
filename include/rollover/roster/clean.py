"""Turn the text of a file's columns into typed values, and find every value that breaks a rule.

A rule broken in a harmless way (case, a date as M/D/YYYY) is a warning and the value is mended; anything else
is an error. All of it works on columns: a rule is an expression, and rows are looked up only where it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

from rollover.roster.findings import Findings, Severity
from rollover.roster.model import GRADES, Column, File, Kind
from rollover.roster.read import ROW

ID_BYTES = 255
ID_CHARACTERS = r"^[0-9A-Za-z._/@-]+$"
ISO_DATE, US_DATE = "%Y-%m-%d", "%m/%d/%Y"
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)
EXTENSION = "ext:"
GRADE_WORDS = {**{str(n): f"{n:02d}" for n in range(1, 10)}, "K": "KG", **{g.upper(): g for g in GRADES}}
DELETED = "tobedeleted"


class _Batch:
    """One batch of one file on its way: what was read, and where findings go."""

    def __init__(self, frame: pl.DataFrame, file: File, findings: Findings) -> None:
        self.frame = frame
        self.file = file
        self._findings = findings

    def report(self, broken: pl.Series, code: str, severity: Severity, column: str | None, message: str) -> None:
        """Make a finding of every row where `broken` is true."""
        if broken.any():
            rows = self.frame[ROW].filter(broken).to_list()
            self._findings.add(code, severity, self.file.name, message, column=column, rows=rows)

    def where(self, expression: pl.Expr) -> pl.Series:
        return self.frame.select(expression.fill_null(False).alias("broken"))["broken"]


def clean(frame: pl.DataFrame, file: File, findings: Findings) -> pl.DataFrame:
    """One batch as typed columns by the names of the roster table, with ``row``.

    Rows that the sender marks as deleted are left out. A value that cannot be read is null and an error.
    """
    batch = _Batch(_without_deleted(frame, file, findings), file, findings)
    nul = pl.any_horizontal(pl.col([column.name for column in file.columns]).str.contains("\0", literal=True))
    batch.report(batch.where(nul), "nul", "error", None, "The row holds a NUL character. Export the file anew.")
    typed = [_typed(batch, column) for column in file.columns]
    return pl.DataFrame([batch.frame[ROW], *typed])


def _without_deleted(frame: pl.DataFrame, file: File, findings: Findings) -> pl.DataFrame:
    if "status" not in frame.columns or frame["status"].null_count() == frame.height:
        return frame
    batch = _Batch(frame, file, findings)
    status = pl.col("status").str.to_lowercase()
    deleted = batch.where(status == DELETED)
    message = "A full set holds only what is there: the row says tobedeleted and is left out. Leave status blank."
    batch.report(deleted, "status_deleted", "warning", "status", message)
    message = "status must be blank in a full set."
    batch.report(batch.where(status == "active"), "status_filled", "warning", "status", message)
    message = "status is none of OneRoster's, and must be blank in a full set."
    unknown = batch.where(~status.is_in(["active", DELETED]))
    batch.report(unknown, "status_unknown", "error", "status", message)
    return frame.filter(~deleted)


def _typed(batch: _Batch, column: Column) -> pl.Series:
    """One column's values. ``value`` is the text, null where it is empty."""
    value = batch.frame[column.name]
    if column.required and value.null_count():
        message = f"{column.name} is required. Fill it in."
        batch.report(value.is_null(), "value_missing", "error", column.name, message)
    return _READERS[column.kind](batch, column, value).alias(column.target)


def _identifier(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    message = f"{column.name} is longer than {ID_BYTES} characters."
    batch.report((value.str.len_bytes() > ID_BYTES).fill_null(False), "id_length", "error", column.name, message)
    message = f"{column.name} holds characters other than 0-9 A-Z a-z . _ / @ -"
    odd = (~value.str.contains(ID_CHARACTERS)).fill_null(False)
    batch.report(odd, "id_characters", "warning", column.name, message)
    return value


def _as_is(_batch: _Batch, _column: Column, value: pl.Series) -> pl.Series:
    return value


def _list(_batch: _Batch, _column: Column, value: pl.Series) -> pl.Series:
    parts = value.fill_null("").str.split(",").list.eval(pl.element().str.strip_chars())
    return parts.list.eval(pl.element().filter(pl.element() != ""))


def _date(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    read = value.str.to_date(ISO_DATE, strict=False)
    if read.null_count() > value.null_count():
        american = value.str.to_date(US_DATE, strict=False)
        message = f"{column.name} is not written YYYY-MM-DD; read as month/day/year."
        batch.report(read.is_null() & american.is_not_null(), "date_format", "warning", column.name, message)
        read = read.fill_null(american)
    plausible = read.is_between(FIRST_DATE, LAST_DATE).fill_null(False)
    message = f"{column.name} is not a date. Write it as YYYY-MM-DD."
    batch.report(value.is_not_null() & ~plausible, "bad_date", "error", column.name, message)
    return read.to_frame().select(pl.when(plausible).then(pl.first())).to_series()


def _year(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    """``2027``, the year in which the school year ends, as ``2026-27``."""
    read = value.str.contains(r"^(19|20|21)\d\d$")
    message = f"{column.name} is not the four digits of the year in which the school year ends."
    batch.report((~read).fill_null(False), "bad_year", "error", column.name, message)
    ends = value.to_frame("v").select(pl.when(read.fill_null(False)).then(pl.col("v")).cast(pl.Int32))["v"]
    return (ends - 1).cast(pl.String) + "-" + ends.cast(pl.String).str.slice(2)


def _boolean(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    words = _enum_values(batch, column, value, ("true", "false"), extensible=False)
    return (words == "true").alias(column.target)


def _enum(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    return _enum_values(batch, column, value, column.values, extensible=column.extensible)


def _enum_values(
    batch: _Batch, column: Column, value: pl.Series, values: tuple[str, ...], *, extensible: bool
) -> pl.Series:
    right = value.is_in(values)
    if extensible:
        right = right | value.str.starts_with(EXTENSION)
    if right.fill_null(True).all():
        return value
    meant = value.str.to_lowercase().replace_strict(
        {word.lower(): word for word in values}, default=None, return_dtype=pl.String
    )
    wrong = (~right).fill_null(False)
    choice = ", ".join(values)
    message = f"{column.name} is not spelled as one of: {choice}. Values are case-sensitive."
    batch.report(wrong & meant.is_not_null(), "value_spelling", "warning", column.name, message)
    message = f"{column.name} is none of: {choice}."
    batch.report(wrong & meant.is_null(), "bad_value", "error", column.name, message)
    return value.zip_with(~wrong, meant)


def _grade(batch: _Batch, column: Column, value: pl.Series) -> pl.Series:
    """One grade level; of several the first."""
    several = value.str.contains(",", literal=True).fill_null(False)
    message = f"{column.name} holds several grade levels; the first is taken."
    batch.report(several, "grades_several", "warning", column.name, message)
    first = value.str.split(",").list.first().str.strip_chars()
    right = first.is_in(GRADES).fill_null(True)
    if right.all():
        return first
    meant = first.str.to_uppercase().replace_strict(GRADE_WORDS, default=None, return_dtype=pl.String)
    message = f"{column.name} is not spelled as a CEDS grade level ({', '.join(GRADES)})."
    batch.report(~right & meant.is_not_null(), "grade_spelling", "warning", column.name, message)
    message = f"{column.name} is no CEDS grade level ({', '.join(GRADES)}); kept as it is."
    batch.report(~right & meant.is_null(), "grade_unknown", "warning", column.name, message)
    return meant.fill_null(first)


_READERS: dict[Kind, Callable[[_Batch, Column, pl.Series], pl.Series]] = {
    Kind.ID: _identifier,
    Kind.REFERENCE: _as_is,
    Kind.REFERENCES: _list,
    Kind.TEXT: _as_is,
    Kind.TEXTS: _list,
    Kind.GRADE: _grade,
    Kind.GRADES: _list,
    Kind.DATE: _date,
    Kind.YEAR: _year,
    Kind.BOOLEAN: _boolean,
    Kind.ENUM: _enum,
}

"""Converts the text of a file's columns to typed values, and finds every value that breaks a rule.

A broken identity, reference or required value is an error, and rejects the row. Anything else is a warning: the value
is fixed if its meaning is clear, and left blank if it is not. Everything works on columns: a rule is an expression, and
rows are looked up only if it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from rollover.roster.findings import Findings
from rollover.roster.formats.spec import STATUS, Column, File, Format, Kind, Severity
from rollover.roster.model import GRADES
from rollover.roster.reading.columns import IS_DELETED, KEPT_OUT, ROW
from rollover.roster.reading.dates import BIRTH_CENTURY_FROM, CENTURY_FROM, SHORT_YEAR, read_dates, understood
from rollover.roster.reading.of_file import FileFindings

ID_LENGTH = 255
NEVER_IN_ID = r'[\x00-\x1f\x7f"]'
"""Characters that an identity has only if its row is broken."""
# Not \d, which matches the digits of every script: numbers are computed from these only.
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z$"
YEAR = r"^((?:19|20|21)[0-9]{2})(?:[-/ ]((?:19|20|21)?[0-9]{2}))?$"
EXTENSION = "ext:"
BIRTH = ("people", "birth_date")
_ORDINALS = {1: "1ST", 2: "2ND", 3: "3RD"}
GRADE_WORDS = {
    **{str(n): f"{n:02d}" for n in range(1, 14)},
    **{f"GRADE{n}": f"{n:02d}" for n in range(1, 14)},
    **{_ORDINALS.get(n, f"{n}TH"): f"{n:02d}" for n in range(1, 14)},
    **{grade.upper(): grade for grade in GRADES},
    "0": "KG",
    "00": "KG",
    "K": "KG",
    "KINDER": "KG",
    "KINDERGARTEN": "KG",
    "-1": "PK",
    "PREK": "PK",
    "PREKINDERGARTEN": "PK",
    "TRANSITIONALKINDERGARTEN": "TK",
    "INFANTTODDLER": "IT",
    "PRESCHOOL": "PR",
    "POSTGRADUATE": "13",
    "POSTSECONDARY": "PS",
    "UNGRADED": "UG",
}
BOOLEAN_WORDS = {
    **dict.fromkeys(("TRUE", "T", "YES", "Y", "1"), "true"),
    **dict.fromkeys(("FALSE", "F", "NO", "N", "0"), "false"),
}
USERNAME = "username"
NO_USERNAME = "username_blank"
NO_USERNAME_MESSAGE = "{column} is blank in {count:,} rows; the sourcedId was taken in its place. Fill it in."
DELETED = "tobedeleted"
ACTIVE = "active"
OTHER_STATUS = "status_other"
OTHER_STATUS_MESSAGE = (
    "{column} is neither active nor tobedeleted in {count:,} rows, and nobody has said what it means. Leave it blank, "
    "and leave out who is not there any more; or tell the data team what it means."
)
FILLED = "bulk_filled"
FILLED_MESSAGE = (
    "{column} must be blank in a full set; it is filled in {count:,} rows. These rows are imported all the same."
)
"""One finding per column for all of these: it is the most common deviation, and harmless."""


class _Batch:
    """One batch of a file in work: its rows, which of them are in error, and the findings."""

    def __init__(self, frame: pl.DataFrame, file: File, spec: Format, findings: Findings) -> None:
        self.frame = frame
        self.file = file
        self.spec = spec
        self.kept_out = frame[KEPT_OUT]
        self.passed_over = frame[KEPT_OUT]
        """Rows that make no finding."""
        self.found = FileFindings(findings, file)

    def report(self, broken: pl.Series, code: str, severity: Severity, column: str | None, message: str) -> None:
        """Make a finding of every row for which `broken` is true; an error rejects the row."""
        broken = broken.fill_null(False) & ~self.passed_over
        if not broken.any():
            return
        self.found.find(code, severity, message, self.frame[ROW].filter(broken), column=column)
        if severity == "error":
            self.kept_out = self.kept_out | broken


def clean(frame: pl.DataFrame, file: File, spec: Format, findings: Findings, *, delta: bool) -> pl.DataFrame:
    """One batch as typed columns by the names of the file, with ``row``, ``kept_out`` and ``is_deleted``.

    A column that the file lacks is null. In a full set, rows that the sender marks as deleted are left out; in a delta,
    only the identity of such a row has to be valid.
    """
    if not delta:
        frame = _without_deleted(frame, file, spec, findings)
    batch = _Batch(frame, file, spec, findings)
    deleted = pl.repeat(False, frame.height, eager=True)
    if delta:
        deleted = _judge_delta(batch)
    always = (file.identity, *file.delta_key)
    typed = []
    for column in file.columns:
        if column.name not in file.bulk_is_blank:
            batch.passed_over = frame[KEPT_OUT] | (deleted if column.name not in always else False)
            typed.append(_typed(batch, column))
    return pl.DataFrame([frame[ROW], batch.kept_out.alias(KEPT_OUT), deleted.alias(IS_DELETED), *typed])


def _judge_delta(batch: _Batch) -> pl.Series:
    """Check the columns that a delta fills; returns the rows that say that their record is deleted."""
    columns = {column.name: column for column in batch.file.columns if column.name in batch.file.bulk_is_blank}
    status = _typed(batch, columns.pop(STATUS), required="error")
    for column in columns.values():
        _typed(batch, column, required="warning")
    return status.eq_missing(DELETED)


def _without_deleted(frame: pl.DataFrame, file: File, spec: Format, findings: Findings) -> pl.DataFrame:
    batch = _Batch(frame, file, spec, findings)
    for name in file.bulk_is_blank:
        if name not in frame.columns or frame[name].null_count() == frame.height:
            continue
        filled = frame[name].is_not_null()
        if name == STATUS:
            deleted = (frame[name].str.to_lowercase() == DELETED).fill_null(False)
            message = "A full set holds only what is there: the row says tobedeleted and is left out. Leave it blank."
            batch.report(deleted, "status_deleted", "warning", name, message)
            filled = filled & ~deleted
            filled = filled & ~_find_other_status(batch, filled)
        filled = filled.fill_null(False) & ~batch.passed_over
        batch.found.count_for_column(FILLED, name, frame[ROW].filter(filled))
    if STATUS not in file.bulk_is_blank or STATUS not in frame.columns:
        return frame
    return frame.filter((frame[STATUS].str.to_lowercase() != DELETED).fill_null(True))


def _find_other_status(batch: _Batch, filled: pl.Series) -> pl.Series:
    """The rows with an unknown status: if they were taken as active, they would go live."""
    is_known = batch.frame[STATUS].str.to_lowercase() == ACTIVE
    other = (filled & ~is_known).fill_null(False) & ~batch.passed_over
    batch.found.count_for_column(OTHER_STATUS, STATUS, batch.frame[ROW].filter(other))
    return other


def with_usernames(frame: pl.DataFrame, file: File, findings: Findings) -> pl.DataFrame:
    """The same rows; if a product does not need usernames, a person without one gets the id as username."""
    if USERNAME not in frame.columns or not file.identity or file.identity not in frame.columns:
        return frame
    blank = frame[USERNAME].is_null() & frame[file.identity].is_not_null() & ~frame[KEPT_OUT]
    if STATUS in frame.columns:  # a deleted person's other values do not matter
        blank = blank & frame[STATUS].str.to_lowercase().ne_missing(DELETED)
    FileFindings(findings, file).count_for_column(NO_USERNAME, USERNAME, frame[ROW].filter(blank))
    return frame.with_columns(pl.when(blank).then(pl.col(file.identity)).otherwise(USERNAME).alias(USERNAME))


def with_status(frame: pl.DataFrame, means: Mapping[str, str]) -> pl.DataFrame:
    """The same rows, with a district's own words for the status, in any case, replaced by their meaning."""
    if not means or STATUS not in frame.columns:
        return frame
    words = {word.lower(): meaning for word, meaning in means.items()}
    meant = pl.col(STATUS).str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.String)
    return frame.with_columns(meant.fill_null(pl.col(STATUS)).alias(STATUS))


def _typed(batch: _Batch, column: Column, *, required: Severity | None = None) -> pl.Series:
    """One column's values. ``value`` is the text, null if it is empty."""
    if column.name not in batch.frame.columns:
        value = pl.Series(column.name, [None], dtype=pl.String).new_from_index(0, batch.frame.height)
        missing = None
    else:
        value = batch.frame[column.name]
        missing = value.is_null() if value.null_count() else None
    if required is None and column.required:
        required = "error" if column.instead is None else "warning"
    if required and missing is not None:
        instead = f" '{column.instead}' was taken." if column.instead else ""
        message = f"{column.name} is required.{instead} Fill it in."
        batch.report(missing, "value_missing", required, column.name, message)
    if column.instead is not None and value.null_count():
        value = value.fill_null(column.instead)
    typed = _READERS[column.kind](batch, column, value, required or "warning")
    return typed.alias(column.name)


Reader = Callable[[_Batch, Column, pl.Series, Severity], pl.Series]


def _identifier(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    long = value.str.len_bytes() > ID_LENGTH
    if long.any():
        long = value.str.len_chars() > ID_LENGTH
        message = f"{column.name} is longer than {ID_LENGTH} characters."
        batch.report(long, "id_length", severity, column.name, message)
    if batch.spec.id_characters is None:
        odd = value.str.contains(NEVER_IN_ID)
    else:
        odd = ~value.str.contains(batch.spec.id_characters)
    if odd.any():
        broken = value.str.contains(NEVER_IN_ID)
        message = f"{column.name} holds a quote, a line break or another control character. Fix the quoting."
        batch.report(broken, "id_characters", severity, column.name, message)
        message = f"{column.name} holds characters other than these: 0-9 A-Z a-z . _ / @ - Use these only."
        batch.report(odd & ~broken, "id_characters", "warning", column.name, message)
        long = long | broken
    if severity == "error" or not long.any():
        return value
    return value.zip_with(~long.fill_null(False), value.clear(len(value)))


def _as_is(_batch: _Batch, _column: Column, value: pl.Series, _severity: Severity) -> pl.Series:
    return value


def _list(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    """The items between commas; no items if there is no value. An item that occurs twice counts once."""
    items = _items(value)
    if column.required:
        message = f"{column.name} is required. Fill it in."
        batch.report(items.list.len() == 0, "value_missing", severity, column.name, message)
    return items.list.unique(maintain_order=True).fill_null(pl.lit([], dtype=pl.List(pl.String)))


def _items(value: pl.Series) -> pl.Series:
    items = value.str.split(",").list.eval(pl.element().str.strip_chars())
    return items.list.eval(pl.element().filter(pl.element() != ""))


def _date(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    read = read_dates(value, us_dates=batch.spec.us_dates)
    if read.null_count() > value.null_count():
        odd = value.filter(read.is_null()).drop_nulls().unique()
        meant = understood(odd, BIRTH_CENTURY_FROM if column.fills == BIRTH else CENTURY_FROM)
        other = value.replace_strict(odd, meant, default=None, return_dtype=pl.Date)
        fixed = read.is_null() & other.is_not_null()
        short = value.str.contains(SHORT_YEAR).fill_null(False) & batch.spec.us_dates
        message = f"The year of {column.name} has two digits; it was understood. Write it as MM/DD/YYYY."
        batch.report(fixed & short, "date_format", "warning", column.name, message)
        message = f"{column.name} is not written {'month/day/year' if batch.spec.us_dates else 'YYYY-MM-DD'}; "
        message += "it was understood."
        batch.report(fixed & ~short, "date_format", "warning", column.name, message)
        read = read.fill_null(other)
    message = f"{column.name} is not a date. Write it as {'MM/DD/YYYY' if batch.spec.us_dates else 'YYYY-MM-DD'}."
    batch.report(value.is_not_null() & read.is_null(), "bad_date", severity, column.name, message)
    return read


def _instant(batch: _Batch, column: Column, value: pl.Series, _severity: Severity) -> pl.Series:
    message = f"{column.name} is not written as a moment in UTC, like 2026-08-01T12:00:00Z."
    batch.report(~value.str.contains(INSTANT), "bad_datetime", "warning", column.name, message)
    return value


def _year(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    """``2027``, the year in which the school year ends, as ``2026-27``."""
    parts = value.str.extract_groups(YEAR).struct.unnest()
    begins, ends = (parts[name].str.slice(-4).cast(pl.Int32) for name in parts.columns)
    spans = ends.is_not_null()
    fits = (ends % 100 == (begins + 1) % 100) & ((ends < 100) | (ends == begins + 1))
    begins = begins.to_frame("y").select(pl.when(spans).then(pl.col("y")).otherwise(pl.col("y") - 1)).to_series()
    read = begins.is_not_null() & (~spans | fits.fill_null(False))
    message = f"{column.name} is not written as one year of four digits, that in which it ends; it was understood."
    batch.report(read & spans, "year_format", "warning", column.name, message)
    message = f"{column.name} is not the four digits of the year in which the school year ends."
    batch.report(value.is_not_null() & ~read, "bad_year", severity, column.name, message)
    key = begins.cast(pl.String) + "-" + (begins + 1).cast(pl.String).str.slice(2)
    return key.zip_with(read, key.clear(len(key)))


def _boolean(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    words = _one_of(batch, column, value, severity, ("true", "false"), BOOLEAN_WORDS)
    return words == "true"


def _enum(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    words = {word.upper(): word for word in column.values}
    return _one_of(batch, column, value, severity, column.values, words)


def _one_of(
    batch: _Batch, column: Column, value: pl.Series, severity: Severity, values: tuple[str, ...], words: dict[str, str]
) -> pl.Series:
    right = value.is_in(values)
    if column.extensible:
        right = right | value.str.starts_with(EXTENSION)
    if right.fill_null(True).all():
        return value
    meant = value.str.to_uppercase().replace_strict(words, default=None, return_dtype=pl.String)
    wrong = (~right).fill_null(False)
    choice = ", ".join(values)
    message = f"{column.name} is not spelled as one of: {choice}. It was understood; values are case-sensitive."
    batch.report(wrong & meant.is_not_null(), "value_spelling", "warning", column.name, message)
    what = f"; '{column.instead}' was taken" if column.instead else "" if severity == "error" else "; it was left blank"
    message = f"{column.name} is none of: {choice}{what}."
    batch.report(wrong & meant.is_null(), "bad_value", severity, column.name, message)
    return value.zip_with(~wrong, meant.fill_null(column.instead) if column.instead else meant)


def _grade(batch: _Batch, column: Column, value: pl.Series, _severity: Severity) -> pl.Series:
    """One grade level: the first, if there are several."""
    several = value.str.contains(",", literal=True).fill_null(False)
    first = value
    if several.any():
        items = _items(value)
        message = f"{column.name} holds several grade levels; the first is taken."
        batch.report(items.list.len() > 1, "grades_several", "warning", column.name, message)
        first = items.list.first()
    right = (_are_grades(batch.spec, first) | (first == "")).fill_null(True)
    if right.all() and batch.spec.grades is None:
        return first
    meant = first.to_frame().select(_grade_words(pl.first())).to_series()
    message = f"{column.name} is not spelled as {_known_grades(batch.spec)}; it was understood."
    batch.report(~right & meant.is_not_null(), "grade_spelling", "warning", column.name, message)
    message = f"{column.name} is no grade level that is known; kept as it is."
    batch.report(~right & meant.is_null(), "grade_unknown", "warning", column.name, message)
    return meant.fill_null(first)


def _are_grades(spec: Format, value: pl.Series) -> pl.Series:
    if spec.grades is None:
        return value.is_in(GRADES)
    return value.str.replace_all(" ", "", literal=True).str.to_uppercase().is_in([each.upper() for each in spec.grades])


def _known_grades(spec: Format) -> str:
    words = GRADES if spec.grades is None else spec.grades
    return f"a grade level of {spec.label} ({', '.join(words)})"


def _grade_words(value: pl.Expr) -> pl.Expr:
    """The grade levels that words mean; null for others."""
    words = value.str.replace_all(r"\s", "").str.replace_all(r"([A-Za-z])-", "$1").str.to_uppercase()
    return words.replace_strict(GRADE_WORDS, default=None, return_dtype=pl.String)


def _grades(batch: _Batch, column: Column, value: pl.Series, severity: Severity) -> pl.Series:
    """Grade levels; other spellings are fixed."""
    items = _list(batch, column, value, severity)
    if value.null_count() == len(value):
        return items
    known = items.list.eval(pl.element().is_in(GRADES)).list.all()
    if known.all():
        return items
    fixed = items.list.eval(pl.coalesce(_grade_words(pl.element()), pl.element()))
    understood = fixed.list.eval(pl.element().is_in(GRADES)).list.all()
    message = f"{column.name} is not spelled as {_known_grades(batch.spec)}; it was understood."
    batch.report(~known & understood, "grade_spelling", "warning", column.name, message)
    message = f"{column.name} holds a grade level that is not known; kept as it is."
    batch.report(~understood, "grade_unknown", "warning", column.name, message)
    return fixed


_READERS: dict[Kind, Reader] = {
    Kind.ID: _identifier,
    Kind.TEXT: _as_is,
    Kind.TEXTS: _list,
    Kind.GRADE: _grade,
    Kind.GRADES: _grades,
    Kind.DATE: _date,
    Kind.DATETIME: _instant,
    Kind.YEAR: _year,
    Kind.BOOLEAN: _boolean,
    Kind.ENUM: _enum,
}

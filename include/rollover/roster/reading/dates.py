"""Reads dates as districts write them."""

from __future__ import annotations

from datetime import date

import polars as pl

# Not \d, which matches the digits of every script: numbers are computed from these only.
ISO_DATE = (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "%Y-%m-%d")
US_DATE = (r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$", "%m/%d/%Y")
"""The pattern of a date, and its format."""
# With other signs between year, month and day, without leading zeros, and with a midnight behind them. Days before
# months are not understood: nothing distinguishes them from months before days.
_MIDNIGHT = r"(?:[T ](?:0?0:00(?::00(?:\.0+)?)?|12:00(?::00)? ?AM)(?:Z|[+-]00:?00)?)?$"
LOOSE_YMD = r"^([0-9]{4})[-/.]?([0-9]{2})[-/.]?([0-9]{2})" + _MIDNIGHT
LOOSE_YMD_SHORT = r"^([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})" + _MIDNIGHT
LOOSE_MDY = r"^([0-9]{1,2})/([0-9]{1,2})/([0-9]{4}|[0-9]{2})" + _MIDNIGHT
SHORT_YEAR = r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}([^0-9]|$)"
CENTURY_FROM, BIRTH_CENTURY_FROM = 69, 31
"""The first year of two digits that is of the last century (POSIX); for births, chosen for students and parents."""
FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2199, 12, 31)


def read_dates(value: pl.Series, *, us_dates: bool) -> pl.Series:
    """Dates that are written as the format says; null for others."""
    pattern, written = US_DATE if us_dates else ISO_DATE
    no_dates = pl.repeat(None, len(value), dtype=pl.Date, eager=True)
    return _plausible(value.str.to_date(written, strict=False).zip_with(value.str.contains(pattern), no_dates))


def understood(value: pl.Series, century_from: int) -> pl.Series:
    """Dates in another form that can mean one day only; null for others."""
    read = _dates(value, LOOSE_YMD, "ymd").fill_null(_dates(value, LOOSE_YMD_SHORT, "ymd"))
    return read.fill_null(_dates(value, LOOSE_MDY, "mdy", century_from))


def _dates(value: pl.Series, pattern: str, order: str, century_from: int = 100) -> pl.Series:
    """Null if the text has another form, or if no roster can have that date. A two-digit year is in this century
    or, from `century_from` on, in the last."""
    parts = value.str.extract_groups(pattern).struct.unnest()
    parts.columns = list(order)
    year, month, day = (pl.col(part).cast(pl.Int32) for part in "ymd")
    short = pl.col("y").str.len_bytes() == 2
    year = pl.when(short & (year >= century_from)).then(year + 1900).when(short).then(year + 2000).otherwise(year)
    text = pl.format("{}-{}-{}", year, month, day)
    read = parts.select(pl.when(pl.all_horizontal(pl.all().is_not_null())).then(text)).to_series()
    return _plausible(read.str.to_date("%Y-%m-%d", strict=False))


def _plausible(value: pl.Series) -> pl.Series:
    is_plausible = pl.first().is_between(FIRST_DATE, LAST_DATE)
    return value.to_frame().select(pl.when(is_plausible).then(pl.first())).to_series()

"""The hash of a row, which is kept in the database from year to year."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

import polars as pl
import pytest

from rollover.database.tables.roster import enrollments, people
from rollover.roster.staged import ROW_HASH, hashed, value_columns

NULL, NEXT_ITEM, NEXT_VALUE = "\x1d", "\x1e", "\x1f"
PERSON = {
    **{"sourced_id": "a", "role": "student", "given_name": "Zoë", "family_name": "", "username": "u"},
    **{"birth_date": date(2015, 2, 3), "grade": "05", "school_ids": ["n", "s"], "enabled": True},
}
ENROLLMENT = {"sourced_id": "e", "class_id": "c", "school_id": "s", "person_id": "p", "role": "student"}


def said(value: Any) -> str:
    """A value as it is hashed."""
    match value:
        case None:
            return NULL
        case bool():
            return str(value).lower()
        case list():
            return NEXT_ITEM.join(value)
    return str(value)


@pytest.mark.parametrize(
    ("table", "row"), [(people, PERSON), (people, {**PERSON, "school_ids": []}), (enrollments, ENROLLMENT)]
)
def test_a_rows_hash_is_64_bits_of_the_md5_of_its_values(table: Any, row: dict[str, Any]) -> None:
    columns = value_columns(table)
    schema = {"birth_date": pl.Date, "school_ids": pl.List(pl.String), "enabled": pl.Boolean}
    frame = pl.DataFrame([row], schema={name: schema.get(name, pl.String) for name in columns})
    digest = hashlib.md5(NEXT_VALUE.join(said(row.get(name)) for name in columns).encode()).digest()
    assert hashed(frame, table)[ROW_HASH].to_list() == [int.from_bytes(digest[8:], "little") >> 1]

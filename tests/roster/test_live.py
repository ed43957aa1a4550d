"""Rows out of PostgreSQL, as they are."""

from __future__ import annotations

import csv
import io

import pytest
from psycopg import sql
from sqlalchemy import Engine, text

from rollover.database.session import tenant_session
from rollover.errors import DatabaseFailed
from rollover.roster import live


def test_rows_come_out_as_csv_whatever_is_in_them(engine: Engine, tenant_id: str) -> None:
    values = ("a", 'q"uote', "com,ma", "new\nline", "", None, "Zoë")
    rows = sql.SQL(", ").join(sql.SQL("({}, {})").format(sql.Literal(n), sql.Literal(v)) for n, v in enumerate(values))
    target = io.BytesIO()
    with tenant_session(engine, tenant_id) as connection:
        live.copy_out(connection, sql.SQL("SELECT * FROM (VALUES {}) v (n, value)").format(rows), target)
        assert connection.scalar(text("SELECT 1")) == 1, "the session goes on"
    read = list(csv.reader(io.StringIO(target.getvalue().decode(), newline="")))
    assert read == [[str(number), value or ""] for number, value in enumerate(values)]


def test_a_query_that_fails_on_its_way_fails_as_any_other(engine: Engine, tenant_id: str) -> None:
    """Nothing of what it was about is told, and the session is over."""
    for query in ("SELECT 10 / (500 - n) FROM generate_series(1, 1000) n", "SELECT nothing"):
        with (
            pytest.raises(DatabaseFailed, match=r"DivisionByZero|UndefinedColumn"),
            tenant_session(engine, tenant_id) as connection,
        ):
            live.copy_out(connection, sql.SQL(query), io.BytesIO())

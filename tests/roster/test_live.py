"""DuckDB: the live roster in it, every value as it is; and errors without values."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pytest
from sqlalchemy import Engine, insert, select, text

from rollover.database.session import tenant_session
from rollover.database.tables.roster import classes, people
from rollover.errors import NotRead
from rollover.roster.columnar import columnar, without_values
from rollover.roster.live import load_live, load_live_hashes

TEXTS = ("a", 'q"uote', "com,ma", "new\nline", "carriage\rreturn", "", None, "Zoë", "\\", "\\.", "'", "%", "x\ty")


def test_every_value_arrives_as_it_is(engine: Engine, tenant_id: str) -> None:
    facts = {"status": "active", "import_id": "x", "row_hash": -1, "class_type": "scheduled", "course_id": "c"}
    lists = [[], ["one"], ["a,b", 'c"d', "new\nline"]]
    rows = [
        {"sourced_id": f"{number}", "title": "t", "class_code": value, "school_id": "s", "location": value}
        | {"term_ids": lists[number % 3], "grades": [], "periods": ["1", "2"]}
        for number, value in enumerate(TEXTS)
    ]
    with tenant_session(engine, tenant_id) as connection, columnar() as duck:
        connection.execute(insert(classes), [{"tenant_id": tenant_id, **facts, **row} for row in rows])
        name = load_live(connection, duck, classes, ["sourced_id", "class_code", "term_ids", "row_hash", "status"])
        found = duck.execute(f"FROM {name} WHERE row_hash = -1 ORDER BY sourced_id::INT").fetchall()
    assert found == [(row["sourced_id"], row["class_code"], row["term_ids"], -1, "active") for row in rows]


@pytest.mark.parametrize("kept", ["birth_date", "enabled"])
def test_without_rows_the_columns_are_there(engine: Engine, tenant_id: str, kept: str) -> None:
    with tenant_session(engine, tenant_id) as connection, columnar() as duck:
        connection.execute(people.delete())
        name = load_live(connection, duck, people, ["sourced_id", kept])
        kinds = dict(duck.execute(f"SELECT column_name, column_type FROM (DESCRIBE {name})").fetchall())
    assert kinds == {"sourced_id": "VARCHAR", kept: {"birth_date": "DATE", "enabled": "BOOLEAN"}[kept]}


@pytest.mark.parametrize("hashes", [[], [0], [-1, 2**63 - 1, -(2**63), 7]])
def test_the_hashes_of_active_rows_arrive_as_they_are(engine: Engine, tenant_id: str, hashes: list[int]) -> None:
    row = {"tenant_id": tenant_id, "role": "student", "given_name": "g", "family_name": "f", "username": "u"}
    row |= {"school_ids": [], "enabled": True, "import_id": "x"}
    rows = [{**row, "sourced_id": str(n), "status": "active", "row_hash": number} for n, number in enumerate(hashes)]
    rows.append({**row, "sourced_id": "gone", "status": "tobedeleted", "row_hash": 5})
    with tenant_session(engine, tenant_id) as connection, columnar() as duck:
        connection.execute(insert(people), rows)
        load_live_hashes(connection, duck, people)
        found = duck.execute(
            "SELECT row_hash, format('({},{})', block, line) FROM live_hashes WHERE is_active ORDER BY 1"
        ).fetchall()
        inactive = duck.execute("SELECT row_hash FROM live_hashes WHERE NOT is_active").fetchall()
        places = select(people.c.row_hash, text("ctid::text")).where(people.c.status == "active")
        assert sorted(found) == sorted(tuple(row) for row in connection.execute(places))
    assert [number for number, _ in found] == sorted(hashes)
    assert inactive == [(5,)]


def failing_in_duckdb() -> None:
    with columnar() as duck:
        duck.execute("SELECT 'Ana'::INT")


def failing_in_polars() -> None:
    with without_values():
        pl.Series(["Ana"]).cast(pl.Int32)


def failing_in_arrow() -> None:
    with without_values():
        pa.array(["Ana"]).cast(pa.int32())


@pytest.mark.parametrize("work", [failing_in_duckdb, failing_in_polars, failing_in_arrow])
def test_what_a_library_fails_at_is_not_reported(work: Callable[[], None]) -> None:
    with pytest.raises(NotRead, match=r"Exception|Error|Invalid") as raised:
        work()
    assert "Ana" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_what_is_not_a_librarys_error_goes_on() -> None:
    with pytest.raises(KeyError), without_values():
        raise KeyError("x")

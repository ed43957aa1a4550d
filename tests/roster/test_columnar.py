"""Databases for joins: separate ones in one DuckDB, gone after their block, and not shared with a fork."""

from __future__ import annotations

import os
from contextvars import Context
from pathlib import Path

import duckdb
import pytest

from rollover.errors import NotRead
from rollover.roster.columnar import beside, columnar, in_one_duckdb


def databases(instance: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for (name,) in instance.execute("SELECT database_name FROM duckdb_databases()").fetchall()]


def test_two_databases_in_one_duckdb_do_not_see_each_other() -> None:
    with in_one_duckdb() as instance:
        before = databases(instance)
        with columnar() as one, columnar() as other:
            for connection, number in ((one, 1), (other, 2)):
                connection.execute(f"CREATE TABLE said AS SELECT {number} AS number; SET VARIABLE mine = {number}")
                connection.execute(f"CREATE TEMP TABLE aside AS SELECT {number} AS number")
            for connection, number in ((one, 1), (other, 2)):
                found = connection.execute("SELECT said.number, aside.number, getvariable('mine') FROM said, aside")
                assert found.fetchall() == [(number, number, number)]
            assert beside(other).execute("FROM said").fetchall() == [(2,)]
        assert databases(instance) == before
        with pytest.raises(NotRead), columnar() as third:
            third.execute("FROM said")


def test_a_database_is_gone_after_an_error_that_quotes_nothing() -> None:
    with in_one_duckdb() as instance:
        before = databases(instance)
        with pytest.raises(NotRead) as raised, columnar() as duck:
            duck.execute("CREATE TABLE said AS SELECT 'Zebrowski' AS name")
            duck.execute("SELECT CAST(name AS INT) FROM said")
        assert "Zebrowski" not in str(raised.value)
        assert databases(instance) == before


def test_what_does_not_fit_is_spilled_to_a_folder_that_goes_with_it() -> None:
    def spill() -> Path:
        with columnar() as duck:
            folder = Path(setting(duck, "temp_directory"))
            duck.execute("SET memory_limit = '20MB'; CREATE TABLE much AS SELECT uuid() AS id FROM range(2_000_000)")
            assert sum(path.stat().st_size for path in folder.iterdir()) > 10_000_000
            return folder

    folder = Context().run(spill)  # the tests of this folder share one DuckDB
    assert not folder.exists()


def setting(duck: duckdb.DuckDBPyConnection, name: str) -> str:
    return str(duck.execute("SELECT current_setting(?)", [name]).fetchall()[0][0])


def test_a_fork_has_a_duckdb_of_its_own() -> None:
    with in_one_duckdb():
        child = os.fork()
        if child == 0:
            try:
                with columnar() as duck:
                    ended = duck.execute("SELECT count(*) FROM range(1_000_000)").fetchall() == [(1_000_000,)]
            except BaseException:
                ended = False
            os._exit(0 if ended else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

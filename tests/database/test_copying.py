"""Rows of a COPY, many at once: all of them, in order, and an error that is the server's own."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import Engine, text

from rollover.database.copying import CopyOut, ahead
from rollover.database.session import tenant_session
from rollover.errors import DatabaseFailed, DatabaseUnavailable

ROWS = 20_000
LINES = f"COPY (SELECT n, repeat('x', n % 50) FROM generate_series(1, {ROWS}) n) TO STDOUT"
TENANT = "hero__riverside-ca"


@pytest.mark.parametrize("batch_bytes", [1, 1000, 1 << 20, 1 << 30])
def test_every_row_comes_once_and_in_order(engine: Engine, batch_bytes: int) -> None:
    with engine.connect() as connection:
        copy = CopyOut(connection, LINES, batch_bytes=batch_bytes)
        found = [
            bytes(batch.rows[start:end])
            for batch in copy
            for start, end in zip(batch.ends, batch.ends[1:], strict=False)
        ]
        assert connection.scalar(text("SELECT 1")) == 1
    assert found == [f"{n}\t{'x' * (n % 50)}\n".encode() for n in range(1, ROWS + 1)]
    assert copy.count == ROWS


def test_no_rows_and_blank_ones(engine: Engine) -> None:
    with engine.connect() as connection:
        none = CopyOut(connection, "COPY (SELECT 1 WHERE false) TO STDOUT")
        assert (list(none), none.count) == ([], 0)
        (blank,) = CopyOut(connection, "COPY (SELECT '' FROM generate_series(1, 3)) TO STDOUT")
    assert (bytes(blank.rows), blank.ends) == (b"\n\n\n", [0, 1, 2, 3])


@pytest.mark.parametrize("at", [1, 5_000, ROWS])
def test_an_error_among_the_rows_is_reported_without_its_values(
    engine: Engine, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    query = f"""COPY (SELECT CASE WHEN n = {at} THEN 'Ann Smith' ELSE '1' END::int, repeat('x', 50)
                FROM generate_series(1, {ROWS}) n) TO STDOUT"""
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(DatabaseFailed, match="SQLSTATE 22P02"),
        tenant_session(engine, TENANT) as connection,
    ):
        list(CopyOut(connection, query))
    assert "Ann" not in caplog.text


def test_who_stops_in_the_middle_leaves_the_connection_free(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        batches = iter(CopyOut(connection, LINES, batch_bytes=1000))
        next(batches)
        batches.close()
        connection.rollback()
        assert connection.scalar(text("SELECT 1")) == 1


def test_who_is_interrupted_while_rows_are_received_ahead_is_not_kept_waiting(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        received = ahead(iter(CopyOut(connection, LINES, batch_bytes=1000)), 8)
        next(received)
        with pytest.raises(KeyboardInterrupt) as interrupted:  # its traceback keeps what was under way
            received.throw(KeyboardInterrupt)
        connection.rollback()
        assert connection.scalar(text("SELECT 1")) == 1
        assert interrupted.traceback


def test_a_backend_that_is_gone_is_reported(engine: Engine, owner: Engine) -> None:
    with pytest.raises(DatabaseUnavailable), tenant_session(engine, TENANT) as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        batches = iter(CopyOut(connection, LINES.replace(str(ROWS), "5000000"), batch_bytes=1000))
        next(batches)
        with owner.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        list(batches)

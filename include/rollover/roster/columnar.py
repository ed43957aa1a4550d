"""Opens DuckDB over a set's Parquet files: joins and sorts in a fixed amount of memory, whatever the set's size."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from upath import UPath

from rollover.errors import NotRead
from rollover.storage import LOCAL, TEMPORARY

MEMORY = "400MB"
"""The memory that DuckDB may use before it spills to disk."""


@dataclass(frozen=True)
class _Opened:
    """The DuckDB of a process."""

    pid: int
    instance: duckdb.DuckDBPyConnection


_opened: ContextVar[_Opened | None] = ContextVar("opened", default=None)
_numbers = count()


@contextmanager
def columnar() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a separate database in memory, which is gone after the block; what does not fit spills to disk. It cannot
    load extensions for networks or other file formats."""
    with in_one_duckdb() as instance, without_values(), instance.cursor() as connection:
        name = f"work_{next(_numbers)}"
        connection.execute(f"ATTACH ':memory:' AS {name}; USE {name}")
        try:
            yield connection
        finally:
            connection.close()
            with suppress(duckdb.Error):  # it is gone with its DuckDB in any case
                instance.execute(f"DETACH {name}")


@contextmanager
def in_one_duckdb() -> Iterator[duckdb.DuckDBPyConnection]:
    """Within it, all databases that :func:`columnar` opens are in one DuckDB, and share its memory: to start one takes
    40 ms of processor time. Its folder to spill to is removed with it."""
    opened = _opened.get()
    if opened is not None and opened.pid == os.getpid():  # a fork has none of its threads
        yield opened.instance
        return
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}duckdb-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as instance:
            token = _opened.set(_Opened(os.getpid(), instance))
            try:
                yield instance
            finally:
                _opened.reset(token)


def beside(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Another connection to the same database, for another thread."""
    (name,) = connection.execute("SELECT current_database()").fetchall()[0]
    other = connection.cursor()
    other.execute(f"USE {name}")
    return other


@contextmanager
def without_values() -> Iterator[None]:
    """Raise errors of DuckDB, polars and Arrow by their type only, because their messages quote values."""
    try:
        yield
    except (duckdb.Error, pl.exceptions.PolarsError, pa.ArrowException) as error:
        raise NotRead(f"{type(error).__name__}; report this, nothing was changed.") from None


@contextmanager
def local_copy(path: UPath) -> Iterator[Path]:
    """The path of a file of storage on the local disk: the file itself if storage is local, else a copy that is removed
    after the block."""
    if path.protocol in LOCAL:
        yield Path(path.path)
        return
    with tempfile.NamedTemporaryFile(prefix=f"{TEMPORARY}copy-", suffix=path.suffix) as copy, path.open("rb") as stream:
        shutil.copyfileobj(stream, copy, 2**20)
        copy.flush()
        yield Path(copy.name)


def quoted(path: Path) -> str:
    """A path as a text in SQL."""
    return "'" + str(path).replace("'", "''") + "'"

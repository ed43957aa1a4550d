"""Opens DuckDB over a set's Parquet files: joins and sorts in a fixed amount of memory, whatever the set's size."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from upath import UPath

from rollover.errors import NotRead
from rollover.storage import LOCAL, TEMPORARY

MEMORY = "400MB"
"""The memory that DuckDB may use before it spills to disk."""


@contextmanager
def columnar() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a separate DuckDB in memory, with a folder to spill to, which is removed with it. It cannot load extensions
    for networks or other file formats."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}duckdb-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with without_values(), duckdb.connect(":memory:", config=settings) as connection:
            yield connection


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

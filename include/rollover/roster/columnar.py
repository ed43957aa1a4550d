"""DuckDB over a set's Parquet files: joins and sorts that keep to a fixed amount of memory, whatever the set's size."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

MEMORY = "300MB"
"""What DuckDB may use before it goes on on disk."""


@contextmanager
def columnar() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own, in memory, which spills to a folder that goes with it. It reads no other network or file
    format than it was built with."""
    with tempfile.TemporaryDirectory(prefix="rollover-") as folder:
        settings = {
            "memory_limit": MEMORY,
            "temp_directory": folder,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            yield connection

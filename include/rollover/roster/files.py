"""Where an import's files lie in storage, and how a file gets there: whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from upath import UPath


def fetched_folder(storage: UPath, import_id: str) -> UPath:
    """The files of a set as the district sent them (passwords blanked)."""
    return storage / "imports" / import_id / "files"


def fetched_file(storage: UPath, import_id: str, name: str) -> UPath:
    return fetched_folder(storage, import_id) / name


def staged_file(storage: UPath, import_id: str, table: str) -> UPath:
    """The typed rows of a set for one roster table, as Parquet."""
    return storage / "imports" / import_id / "staged" / f"{table}.parquet"


@contextmanager
def written_whole(path: UPath) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name at the end, replacing an older one.

    A killed writer leaves nothing under `path`; two writers at once do not mix, since each has its own
    temporary name. On an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        part.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise

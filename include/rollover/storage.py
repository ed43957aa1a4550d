"""Files in storage: whole or not at all, and read back as the storage gives them."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from upath import UPath

LOCAL = ("", "file", "local")


@contextmanager
def whole_file(path: UPath) -> Iterator[IO[bytes]]:
    """A stream that becomes `path` when the block ends well, replacing an older file of that name.

    A killed writer leaves nothing under `path`; two writers at once do not mix, since each has its own temporary
    name. On an error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("wb") as stream:
            yield stream
            if path.protocol in LOCAL:
                stream.flush()
                os.fsync(stream.fileno())
        # Not replace(): of a path with a protocol, universal-pathlib has rename only, and it replaces.
        part.rename(path)
        if path.protocol in LOCAL:
            _sync_folder(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise


def _sync_folder(folder: UPath) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_back(path: UPath) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size

"""Writes files to storage, whole or not at all, and reads them back."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from upath import UPath

from rollover.errors import StorageFailed

LOCAL = ("", "file", "local")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
CLOSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR})
TEMPORARY = "rollover-task-"
"""The first letters of a task's temporary files and folders, so that those of a killed task can be found."""
PART = re.compile(r"/\.[^/]+\.[0-9a-f]{8}\.part$")
MAKE_ROOM = "make room there, then do this again."
LET_US_IN = "let this account read and write there, or correct ROLLOVER_STORAGE, then do this again."


def storage_path(url: str) -> UPath:
    """The path of a URL. Storage is shared: what another process wrote or removed there is seen at once, so fsspec may
    not remember what it listed. Every path of storage is made here, or from one that was."""
    path = UPath(url)
    return path if path.protocol in LOCAL else UPath(url, use_listings_cache=False)


@contextmanager
def whole_file(path: UPath) -> Iterator[IO[bytes]]:
    """Open a stream that becomes `path` when the block ends without an error, replacing an older file of that name.

    A killed writer leaves nothing under `path`. Two writers at once do not mix, since each has its own temporary name.
    On an error the temporary file is removed. Raises StorageFailed if storage is full or denies access.
    """
    with _explained(path):
        make_folder(path.parent)
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
                sync_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


def make_folder(folder: UPath) -> None:
    """Make a folder, and those above it that are missing. On a local disk each new one survives a power cut."""
    missing = [] if folder.protocol not in LOCAL else [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def is_part(path: str) -> bool:
    """Whether a path is a part file of :func:`whole_file`, which a killed writer leaves behind."""
    return bool(PART.search(path))


def remove_parts(folder: UPath) -> None:
    """Remove what killed writers left below a folder. The caller is the only one who writes there."""
    if folder.exists():
        for part in list(folder.rglob(".*.part")):
            part.unlink(missing_ok=True)


@contextmanager
def _explained(path: UPath) -> Iterator[None]:
    """Raise StorageFailed, with the path and what to do, for errors that a retry cannot help. Others pass through."""
    try:
        yield
    except OSError as error:
        said = f"{path}: {os.strerror(error.errno) if error.errno else type(error).__name__}."
        if error.errno in FULL:
            raise StorageFailed(said, MAKE_ROOM) from error
        if error.errno in CLOSED or isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
            raise StorageFailed(said, LET_US_IN) from error
        raise


def sync_folder(folder: UPath) -> None:
    """Sync a local folder to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_back(path: UPath) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of a file. Raises StorageFailed if storage denies access."""
    digest, size = hashlib.sha256(), 0
    with _explained(path), path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size

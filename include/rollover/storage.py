"""Files in storage: whole or not at all, and read back as the storage gives them."""

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
"""How the temporary files and folders of a task begin: those that a killed task left can be found."""
PART = re.compile(r"/\.[^/]+\.[0-9a-f]{8}\.part$")
MAKE_ROOM = "make room there, then do this again."
LET_US_IN = "let this account read and write there, or correct ROLLOVER_STORAGE, then do this again."


@contextmanager
def whole_file(path: UPath) -> Iterator[IO[bytes]]:
    """A stream that becomes `path` when the block ends well, replacing an older file of that name.

    A killed writer leaves nothing under `path`; two writers at once do not mix, since each has its own temporary
    name. On an error the temporary file is removed. Raises StorageFailed where there is no room, or no way in.
    """
    with _told(path):
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
    """Make a folder and those above it that are missing; on a local disk each new one survives a power cut."""
    missing = [] if folder.protocol not in LOCAL else [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def is_part(path: str) -> bool:
    """Whether a path is what a writer leaves that was killed: :func:`whole_file` names it so."""
    return bool(PART.search(path))


def remove_parts(folder: UPath) -> None:
    """Remove what killed writers left below a folder. The caller is the only one who writes there."""
    if folder.exists():
        for part in list(folder.rglob(".*.part")):
            part.unlink(missing_ok=True)


@contextmanager
def _told(path: UPath) -> Iterator[None]:
    """Say where and what to do, of errors that are the same however often it is tried; others pass."""
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
    """Make a rename survive a power cut."""
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_back(path: UPath) -> tuple[str, int]:
    """SHA-256 and size in bytes of a file. Raises StorageFailed where there is no way in."""
    digest, size = hashlib.sha256(), 0
    with _told(path), path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size

"""Defines a district's outbox: the only folder on its SFTP server that Rollover writes to."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import cached_property
from typing import IO, TYPE_CHECKING, Protocol, Self

from upath import UPath

from rollover.errors import StorageFailed

if TYPE_CHECKING:
    import paramiko


class Outbox(Protocol):
    """The folder in which a step puts files for the district. Remote paths are absolute on the district's server."""

    def deliver(self, file: UPath, remote_path: str) -> None:
        """Put a file there, whole or not at all; replaces a file of that name."""

    def remove(self, remote_path: str) -> None:
        """Remove a file. Safe to run again: a file that is already gone is ignored."""

    def listing(self, remote_folder: str) -> list[str]:
        """List the files below a folder, as absolute paths; none if there is no such folder."""


class SftpOutbox:
    """An outbox over one SFTP session, which is opened for the first file: there may be none, or hundreds."""

    def __init__(self, connect: Callable[[], AbstractContextManager[paramiko.SFTPClient]]) -> None:
        self._connect, self._session = connect, ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def deliver(self, file: UPath, remote_path: str) -> None:
        with file.open("rb") as stream:
            put_file(self._client, stream, remote_path)

    def remove(self, remote_path: str) -> None:
        remove_file(self._client, remote_path)

    def listing(self, remote_folder: str) -> list[str]:
        return files_below(self._client, remote_folder)

    @cached_property
    def _client(self) -> paramiko.SFTPClient:
        return self._session.enter_context(self._connect())


def part_of(remote_path: str) -> str:
    """Return the path that a file of the outbox has while it is being uploaded."""
    folder, name = posixpath.split(remote_path)
    return posixpath.join(folder, f".{name}.part")


def put_file(sftp: paramiko.SFTPClient, local_stream: IO[bytes], remote_path: str) -> None:
    """Deliver a file: missing folders are made, and the file appears under its name when it is whole.

    Replaces a file of that name. Raises PermissionError outside an outbox, as a server would. Raises StorageFailed if
    the server reports a failure without a reason: SFTP has no error code for a full disk.
    """
    part = part_of(remote_path)
    try:
        _make_folders(sftp, posixpath.dirname(remote_path))
        sftp.putfo(local_stream, part)
        sftp.posix_rename(part, remote_path)
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        channel = sftp.get_channel()
        if error.errno is not None or channel is None or channel.closed:
            raise
        raise StorageFailed(
            f"{remote_path} cannot be delivered: the SFTP server says '{error}'.",
            "ask its operator whether the disk or the quota there is full, then clear this task.",
        ) from error


def remove_file(sftp: paramiko.SFTPClient, remote_path: str) -> None:
    """Remove a delivered file and its part file, and its folder if that is empty then. A missing file is ignored."""
    for path in (remote_path, part_of(remote_path)):
        with suppress(FileNotFoundError):
            sftp.remove(path)
    with suppress(OSError):
        sftp.rmdir(posixpath.dirname(remote_path))


def files_below(sftp: paramiko.SFTPClient, folder: str) -> list[str]:
    """List the files below a folder, as absolute paths; none if there is no such folder."""
    try:
        entries = sftp.listdir_attr(folder)
    except FileNotFoundError:
        return []
    found = []
    for entry in entries:
        path = posixpath.join(folder, entry.filename)
        found += files_below(sftp, path) if stat.S_ISDIR(entry.st_mode or 0) else [path]
    return sorted(found)


def _make_folders(sftp: paramiko.SFTPClient, folder: str) -> None:
    if folder in ("", "/"):
        return
    try:
        sftp.stat(folder)
    except FileNotFoundError:
        _make_folders(sftp, posixpath.dirname(folder))
        # Another delivery may make the folder at the same time: only its absence afterwards is an error.
        with suppress(OSError):
            sftp.mkdir(folder)
        sftp.stat(folder)

"""A district's outbox: the one folder on its SFTP server that Rollover writes to."""

from __future__ import annotations

import posixpath
from typing import Protocol

from upath import UPath


class Outbox(Protocol):
    """Where a step puts what the district is to find. Remote paths are absolute on the district's server."""

    def deliver(self, file: UPath, remote_path: str) -> None:
        """Put a file there, whole or not at all; replaces a file of that name."""

    def remove(self, remote_path: str) -> None:
        """Remove a file. Safe to run again: a file that is already gone is ignored."""

    def listing(self, remote_folder: str) -> list[str]:
        """List the files below a folder, as absolute paths; none if there is no such folder."""


def part_of(remote_path: str) -> str:
    """Where a file of the outbox is while it is uploaded."""
    folder, name = posixpath.split(remote_path)
    return posixpath.join(folder, f".{name}.part")

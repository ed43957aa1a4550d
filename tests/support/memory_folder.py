"""Where test servers keep their files: in memory if there is room, since a database of its own for each test makes and
deletes thousands of files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free there."""


def short_folder(prefix: str) -> Path:
    """Make a folder with a short path: that of a Unix socket may not be longer than 107 characters."""
    fits = os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=IN_MEMORY if fits else "/tmp"))

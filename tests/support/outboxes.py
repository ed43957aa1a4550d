"""Outboxes for tests: one that is a local folder, and one that keeps nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from upath import UPath


class NoOutbox:
    """Takes files and keeps none; `deliver` is called with each."""

    def __init__(self, deliver: Callable[[UPath, str], None] = lambda file, remote_path: None) -> None:
        self._deliver = deliver

    def deliver(self, file: UPath, remote_path: str) -> None:
        self._deliver(file, remote_path)

    def remove(self, remote_path: str) -> None:
        pass

    def listing(self, remote_folder: str) -> list[str]:
        return []


class FolderOutbox:
    """A district's outbox below a local folder. Delivering to a path in `broken` fails."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.broken: set[str] = set()

    def deliver(self, file: UPath, remote_path: str) -> None:
        if Path(remote_path).name in self.broken:
            raise OSError("no space left")
        target = self.root / remote_path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)

    def remove(self, remote_path: str) -> None:
        (self.root / remote_path.lstrip("/")).unlink(missing_ok=True)

    def listing(self, remote_folder: str) -> list[str]:
        below = self.root / remote_folder.lstrip("/")
        return sorted(f"/{path.relative_to(self.root)}" for path in below.rglob("*") if path.is_file())

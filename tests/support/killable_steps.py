"""Steps in a process of their own: killed at an instant, or with a storage that is full or closed to them."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from rollover.database.session import connect
from rollover.run import Run

Step = Callable[[Run], Any]
Patched = tuple[Any, str]
INSTANTS: tuple[Patched, ...] = (
    (psycopg.Cursor, "execute"),
    (psycopg.Cursor, "executemany"),
    (psycopg.Cursor, "copy"),
    (psycopg.ServerCursor, "execute"),
    (psycopg.Connection, "commit"),
    (os, "fsync"),
    (os, "unlink"),
    (os, "remove"),
)
"""Before each of these something may happen: every statement, SQLAlchemy's too, each commit, when a file is written:
before it is whole, and before its name lasts; and before one is removed."""

_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_READ_ONLY, _PRIVATE = 1, 1 << 18 | 1 << 14


@contextmanager
def before_each(do: Callable[[], None], instants: tuple[Patched, ...] = INSTANTS) -> Iterator[None]:
    """Do something right before each instant of what this process does in the block."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in instants]

    def watched(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            do()
            return original(*arguments, **options)

        return call

    try:
        for owner, name, original in originals:
            setattr(owner, name, watched(original))
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


class At:
    """Does something once, at the nth time it is called; `count` is how often it was called."""

    def __init__(self, nth: int, do: Callable[[], None]) -> None:
        self.count, self._nth, self._do = 0, nth, do

    def __call__(self) -> None:
        self.count += 1
        if self.count == self._nth:
            self._do()


def killed_at(instant: int, step: Step, run: Run) -> bool:
    """Run a step in a process that is killed at its nth instant; False if it got to its end."""
    child = os.fork()
    if child == 0:
        try:
            with before_each(At(instant, lambda: os.kill(os.getpid(), signal.SIGKILL))):
                step(_own(run))
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@dataclass(frozen=True)
class Ended:
    """How a step ended in its process: the kind of error and its text, and the files that it left."""

    error: str | None
    said: str
    files: list[str]


def with_storage(prepare: Callable[[Path], None], folder: Path, step: Step, run: Run) -> Ended:
    """Run a step in a process that has prepared `folder` for itself; what it mounts is gone with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        error: BaseException | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            prepare(folder)
            step(_own(run))
        except BaseException as raised:
            error = raised
        files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        said = [type(error).__name__ if error else None, str(error), files]
        os.write(writer, json.dumps(said).encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        content = stream.read()
    os.waitpid(child, 0)
    return Ended(*json.loads(content))


def small(size: int) -> Callable[[Path], None]:
    """A file system of its own with room for `size` bytes, in blocks of 4 KiB."""
    return lambda folder: _mount(folder, f"size={size},nr_inodes=10000", 0)


def read_only(folder: Path) -> None:
    _mount(folder, "size=4096", _READ_ONLY)


def no_file_larger_than(size: int) -> Callable[[Path], None]:
    """As a quota would have it."""
    return lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def can_mount() -> bool:
    """Whether this machine lets an ordinary process mount a file system for itself."""
    child = os.fork()
    if child == 0:
        try:
            small(4096)(Path("/tmp"))
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _mount(folder: Path, options: str, flags: int) -> None:
    """Mount what this process alone sees. An ordinary user may where the system has user namespaces."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(_NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USERS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if user != 0:
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    for source, target, kind, how, says in (
        (None, b"/", None, _PRIVATE, None),
        (b"none", str(folder).encode(), b"tmpfs", flags, options.encode()),
    ):
        if libc.mount(source, target, kind, how, says) != 0:
            raise OSError(ctypes.get_errno(), "mount")


def _own(run: Run) -> Run:
    """The run with an engine of this process's own."""
    return Run(**{**vars(run), "engine": connect(run.engine.url)})

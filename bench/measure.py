"""Measures work in a process of its own: its time, its peak memory, and facts about the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, text

from rollover.settings import HOME

SAMPLE_SECONDS = 0.05
SETTINGS = ("server_version", "shared_buffers", "max_wal_size", "fsync", "synchronous_commit", "wal_level")


@dataclass
class Clock:
    """Seconds by the name of what they were spent on: as a clock shows them, and of this process's processor time."""

    seconds: dict[str, float] = field(default_factory=dict)
    processor_seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        started, used = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.processor_seconds[name] = self.processor_seconds.get(name, 0.0) + time.process_time() - used


@dataclass(frozen=True)
class Measured:
    """What a process answered, its peak memory, and what the server did meanwhile."""

    answer: dict[str, Any]
    peak_bytes: int
    server_processor_seconds: float


def in_process(module: str, job: dict[str, Any], server_pid: int) -> Measured:
    """Run ``python -m module`` with a job as JSON on its standard input; its last line of output is its answer.

    The peak is that of resident memory as the kernel counts it; where the process started others, the highest sum
    that was seen. The server's own is not in it. Raises RuntimeError with the process's words where it fails.
    """
    server_before = _processor_seconds(server_pid)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        given.write(json.dumps(job).encode())
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
            [sys.executable, "-m", module], stdin=given, stdout=out, stderr=errors, cwd=HOME
        )
        together = _watch(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{module} failed ({process.returncode}): {errors.read().decode()[-4000:]}")
        answer = json.loads(out.read().splitlines()[-1])
    served = _processor_seconds(server_pid) - server_before
    return Measured(answer, max(used.ru_maxrss * 1024, together), served)


def _watch(pid: int) -> int:
    """Until a process ends: the most that it and the processes it started held together, 0 if it started none."""
    most = 0
    process = psutil.Process(pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        if children := process.children(recursive=True):
            most = max(most, sum(_resident(member) for member in (process, *children)))
        time.sleep(SAMPLE_SECONDS)
    return most


def _processor_seconds(pid: int) -> float:
    """Of a process, those it started, and those of them that have ended."""
    process = psutil.Process(pid)
    total = sum(process.cpu_times()[:4])
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:4])
    return float(total)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def machine(engine: Engine, packages: tuple[str, ...]) -> dict[str, Any]:
    """Return what the numbers depend on, for a measurement of the database."""
    with engine.connect() as connection:
        settings = {name: str(connection.scalar(text(f"SHOW {name}"))) for name in SETTINGS}
    return {**computer(), "postgresql": settings, "packages": {name: _version(name) for name in packages}}


def computer() -> dict[str, Any]:
    """Return what the numbers depend on, for any measurement."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""Reads what processes use: processor time with that of ended children, and memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def seconds(pid: int) -> float:
    """Processor seconds of a process, all that it started, and those of them that have ended.

    A process that ends while this is read is missing from the sum: read while little happens.
    """
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def memory(pid: int) -> int:
    """Bytes of a process and all that it started (PSS): what several of them share counts once."""
    return sum(_pss(process.pid) for process in _tree(pid))


def open_connections(port: int) -> int:
    """Connections that a server on a port of this machine has now."""
    suffix = f":{port:04X}"
    found = 0
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = (line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:])
            found += sum(row[1].endswith(suffix) and row[3] == "01" for row in rows)
    return found


def _tree(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(pid: int) -> int:
    with suppress(OSError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0

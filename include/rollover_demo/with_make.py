"""Ends a program that `make` runs when make alone is interrupted.

Ctrl-C reaches both. But a SIGINT that is sent to make alone, as an editor or a script does, stays there: GNU make stops
catching the signal and waits for its program to end by itself. So the program looks at make.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import psutil

EVERY_SECONDS = 0.5


def end_with_make() -> None:
    """Send this program SIGINT when the make that runs it was interrupted or is gone, unless it gets its own; without a
    make, do nothing. A second SIGINT would interrupt what the program does to end."""
    make = next((process for process in psutil.Process().parents() if process.name() in ("make", "gmake")), None)
    if make is not None and _catches_sigint(make.pid):
        threading.Thread(target=_watch, args=(make, _interruption()), daemon=True).start()


def _interruption() -> threading.Event:
    """Set when this program gets SIGINT; its handler is called as before."""
    handler, interrupted = signal.getsignal(signal.SIGINT), threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        if callable(handler):
            handler(number, frame)

    signal.signal(signal.SIGINT, note)
    return interrupted


def _watch(make: psutil.Process, interrupted: threading.Event) -> None:
    while make.is_running() and _catches_sigint(make.pid):
        time.sleep(EVERY_SECONDS)
    if not interrupted.wait(EVERY_SECONDS):  # Ctrl-C reaches both, but not at the same moment
        os.kill(os.getpid(), signal.SIGINT)


def _catches_sigint(pid: int) -> bool:
    """Whether a process has a handler for SIGINT, as Linux says; False on other systems."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)

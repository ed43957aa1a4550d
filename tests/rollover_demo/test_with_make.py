"""A program that make runs ends when make is interrupted: by Ctrl-C, which reaches both, or alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

PROGRAM = """
import signal, sys, time
from rollover_demo.with_make import end_with_make
signal.signal(signal.SIGINT, signal.default_int_handler)
end_with_make()
try:
    print("up", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped", flush=True)
    time.sleep(2)  # what it does to end
    print("ended", flush=True)
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("alone", [True, False], ids=["make alone", "Ctrl-C"])
def test_it_ends_with_make(tmp_path: Path, alone: bool) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "Makefile").write_text(f"demo:\n\t@{sys.executable} program.py\n")
    # Under `make test`, MAKEFLAGS and its like would make this make a nested one, which prints what it enters.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    make = subprocess.Popen(
        ["make", "demo"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert make.stdout is not None and make.stdout.readline() == "up\n"
    (program,) = [
        child for child in psutil.Process(make.pid).children(recursive=True) if "program.py" in child.cmdline()
    ]
    if alone:
        os.kill(make.pid, signal.SIGINT)
    else:
        os.killpg(make.pid, signal.SIGINT)
    begun = time.monotonic()
    assert make.stdout.readline() == "stopped\n"
    assert make.stdout.readline() == "ended\n", "it was interrupted while it ended"
    make.wait(10)
    assert time.monotonic() - begun < 10 and not program.is_running()

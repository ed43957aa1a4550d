"""What the benchmark of a season reads from outside, and the districts that it makes."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections import Counter

import pytest
from bench.season import districts, processor
from bench.season.districts import Kind
from bench.season.watching import waits

BURN = "import time\nwhile time.process_time() < 0.5: pass\n"
PARENT = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
print("ended", flush=True)
time.sleep(60)
"""


def test_the_processor_time_of_ended_children_is_counted() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert 0.5 <= processor.seconds(parent.pid) < 2
        assert processor.memory(parent.pid) > 1_000_000
    finally:
        parent.kill()
        parent.wait()
    assert processor.seconds(parent.pid) == 0


def test_the_connections_of_a_server_are_counted_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert processor.open_connections(port) == 0
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            time.sleep(0.1)
            assert processor.open_connections(port) == 2


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (set(), True),  # its run has not begun, or the scheduler has not come to its next task
        ({"scheduled"}, True),
        ({"queued", "deferred"}, True),
        ({"scheduled", "running"}, False),
        ({"awaiting_input"}, False),
        ({"deferred"}, False),
        ({"up_for_retry"}, False),
    ],
)
def test_a_tenant_waits_if_nothing_runs_and_nobody_outside_is_waited_for(states: set[str], expected: bool) -> None:
    assert waits(states) is expected


def test_most_districts_are_small_and_some_are_large() -> None:
    made = districts.make(90, faults=False)
    assert Counter(made.kinds.values()) == {Kind.SMALL: 87, Kind.LARGE: 3}
    assert {len(spec.schools) for spec in made.specs} == {1, 2, districts.LARGE_SCHOOLS}
    assert made.healthy == list(made.kinds)


def test_faults_are_spread_and_leave_the_large_ones_alone() -> None:
    made = districts.make(90, faults=True)
    counts = Counter(made.kinds.values())
    assert counts == {Kind.SMALL: 76, Kind.LARGE: 3, Kind.FAILS: 5, Kind.SILENT: 5, Kind.HEAVY: 1}
    assert len(made.healthy) == 80
    with pytest.raises(SystemExit):
        districts.make(11, faults=True)

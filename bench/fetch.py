"""Measures how fast files come over SFTP: ours, OpenSSH's client and Airflow's hook, from OpenSSH's server.

``make bench ARGS="fetch --megabytes 500 --files 2000"``. One large file, and many small ones; server and clients on
this machine. Ours hashes every byte that it takes, the others do not. Only ratios within one run carry over to another
machine. Writes ``var/bench/fetch.json``. Needs Debian's ``openssh-server`` and ``openssh-client``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rollover.settings import HOME
from rollover.sftp import transfer
from rollover_demo import openssh
from rollover_demo.openssh import OpenSsh

KEY = "ssh-ed25519"
CONNECTION = "bench_sftp"
WITHIN = 1.3
"""How much longer than OpenSSH's own client a transfer may take."""
OURS, PEER, AIRFLOW = "Rollover's transfer, with SHA-256", "OpenSSH's sftp", "Airflow's SFTPHook.retrieve_file"
ROW = b"%08d-4a0c-4b7e-9b1e-2f6d0c8e1a57,active,2025-08-01T00:00:00Z,class-%d,school-%d,student-%d,student,,,\r\n"


@dataclass(frozen=True)
class Work:
    """Files to fetch, and the folder where they go."""

    name: str
    unit: str
    paths: tuple[Path, ...]
    target: Path

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)

    def rate(self, seconds: float, share: float = 1.0) -> float:
        """Megabytes or files per second, when a share of the work was done."""
        return (self.bytes / 1e6 if self.unit == "MB/s" else len(self.paths)) * share / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="size of the large file")
    parser.add_argument("--files", type=int, default=2_000, help="number of small files")
    parser.add_argument("--kilobytes", type=int, default=10, help="size of a small file")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many counts")
    parser.add_argument(
        "--airflow-seconds", type=float, default=20.0, help="Airflow's hook gets about so long for each"
    )
    options = parser.parse_args()
    if openssh.program() is None or shutil.which("sftp") is None:
        sys.exit("OpenSSH's server and client are needed (Debian: openssh-server, openssh-client).")
    logging.disable(logging.INFO)
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    server = openssh.start(folder / "server")
    try:
        works = _works(folder, options.megabytes, options.files, options.kilobytes)
        measured = {work.name: _measure(work, server, folder, options.runs, options.airflow_seconds) for work in works}
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    _tell(measured)
    target = HOME / "var" / "bench" / "fetch.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"options": vars(options), "versions": _versions(), "cores": os.cpu_count(), "within": WITHIN}
    target.write_text(json.dumps({**facts, "measured": measured}, indent=2))
    print(f"written to {target.relative_to(HOME)}")


def _works(folder: Path, megabytes: int, files: int, kilobytes: int) -> tuple[Work, Work]:
    """Text as rosters have it, since Airflow's hook compresses."""
    rows = b"".join(ROW % (n, n % 997, n % 41, n * 7) for n in range(10_000))
    large = folder / "large" / "enrollments.csv"
    large.parent.mkdir()
    with large.open("wb") as out:
        left = megabytes * 1_000_000
        while left > 0:
            left -= out.write(rows[:left])
    small = folder / "small"
    small.mkdir()
    for n in range(files):
        start = n * 101 % (len(rows) // 2)
        (small / f"file-{n:05}.csv").write_bytes(rows[start : start + kilobytes * 1_000])
    return (
        Work(f"one file of {megabytes} MB", "MB/s", (large,), folder / "target"),
        Work(f"{files:,} files of {kilobytes} KB", "files/s", tuple(sorted(small.iterdir())), folder / "target"),
    )


def _measure(work: Work, server: OpenSsh, folder: Path, runs: int, airflow_seconds: float) -> dict[str, object]:
    """Rates and ratios. The two that are compared take turns, so that what else the machine does hits both."""
    expected = _sums(work.paths)
    ours: list[float] = []
    peer: list[float] = []
    for turn in range(runs):
        sides: list[tuple[list[float], Callable[[], None]]] = [
            (peer, lambda: _by_openssh(work, server, folder)),
            (ours, lambda: _by_rollover(work, server)),
        ]
        for seconds, act in sides if turn % 2 == 0 else reversed(sides):
            seconds.append(_timed(work, act))
            if _sums([work.target / path.name for path in work.paths]) != expected:
                raise RuntimeError(f"{work.name}: what came is not what was sent")
    best = {PEER: statistics.median(peer), OURS: statistics.median(ours)}
    rates = {name: work.rate(seconds) for name, seconds in best.items()}
    rates[AIRFLOW] = _rate_of_airflow(work, server, airflow_seconds)
    return {
        "unit": work.unit,
        "seconds": {PEER: peer, OURS: ours},
        "rates": rates,
        "times_as_long_as_openssh": {name: rates[PEER] / rate for name, rate in rates.items()},
    }


def _timed(work: Work, act: Callable[[], None]) -> float:
    shutil.rmtree(work.target, ignore_errors=True)
    work.target.mkdir()
    os.sync()
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _sums(paths: Sequence[Path]) -> list[str]:
    sums = []
    for path in paths:
        with path.open("rb") as stream:
            sums.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return sums


def _by_openssh(work: Work, server: OpenSsh, folder: Path) -> None:
    """A batch, as its manual has it."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[{server.host}]:{server.port} {server.host_keys[KEY]}\n")
    batch = folder / "batch"
    batch.write_text(f"get {work.paths[0].parent}/*.csv {work.target}/\n")
    options = {"IdentityFile": server.key_file, "IdentitiesOnly": "yes", "UserKnownHostsFile": known_hosts}
    said = [f"-o{name}={value}" for name, value in options.items()]
    command = ["sftp", "-q", "-F", "none", "-P", str(server.port), *said, "-b", str(batch)]
    subprocess.run(  # noqa: S603 - a program by its name, and files of ours
        [*command, f"{server.user}@{server.host}"], check=True, stdout=subprocess.DEVNULL
    )


def _by_rollover(work: Work, server: OpenSsh) -> None:
    login = transfer.Server(
        server.host, server.port, server.user, server.host_keys[KEY], private_key=server.key_file.read_text()
    )
    with ExitStack() as files:
        wanted = [
            transfer.Wanted(str(path), path.stat().st_size, files.enter_context((work.target / path.name).open("wb")))
            for path in work.paths
        ]
        transfer.download(login, wanted)


def _rate_of_airflow(work: Work, server: OpenSsh, seconds: float) -> float:
    """Of as much of the work as fits into some seconds: it may take minutes."""
    os.environ.setdefault("AIRFLOW_HOME", str(HOME))
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
    os.environ[f"AIRFLOW_CONN_{CONNECTION.upper()}"] = json.dumps(
        {
            "conn_type": "sftp",
            "host": server.host,
            "port": server.port,
            "login": server.user,
            "extra": {"private_key": server.key_file.read_text(), "host_key": server.host_keys[KEY]},
        }
    )
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    hook = SFTPHook(ssh_conn_id=CONNECTION)
    paths, sample = work.paths, work.bytes
    if len(paths) == 1:  # a tenth of it: a file cannot be left half fetched
        sample = work.bytes // 10
        part = paths[0].with_suffix(".part")
        with paths[0].open("rb") as source:
            part.write_bytes(source.read(sample))
        paths = (part,)
    done = 0

    def fetch() -> None:
        nonlocal done
        give_up = time.perf_counter() + seconds
        for path in paths:
            hook.retrieve_file(str(path), str(work.target / path.name))
            done += 1
            if time.perf_counter() > give_up:
                return

    taken = _timed(work, fetch)
    return work.rate(taken, sample / work.bytes if len(work.paths) == 1 else done / len(paths))


def _versions() -> dict[str, str]:
    said = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True)  # noqa: S607 - as on the PATH
    packages = ("asyncssh", "paramiko", "apache-airflow-providers-sftp", "cryptography")
    return {"OpenSSH": said.stderr.strip(), **{package: version(package) for package in packages}}


def _tell(measured: dict[str, dict[str, object]]) -> None:
    for name, of in measured.items():
        rates, ratios = of["rates"], of["times_as_long_as_openssh"]
        assert isinstance(rates, dict) and isinstance(ratios, dict)
        print(f"\n{name:40} {of['unit']:>10} {'times as long as OpenSSH':>26}")
        for side, rate in rates.items():
            print(f"  {side:38} {rate:10,.0f} {ratios[side]:26.2f}")
        reached = "reached" if ratios[OURS] <= WITHIN else "NOT reached"
        print(f"  within {WITHIN} of OpenSSH's own client: {reached}")


if __name__ == "__main__":
    main()

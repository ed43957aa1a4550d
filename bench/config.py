"""Measures what hundreds of districts cost before any work: reading files, running commands, parsing DAGs.

``make bench ARGS="config --districts 2000"``. Each measurement is a process of its own, as users and Airflow start it.
Writes ``var/bench/config.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import computer
from rollover.settings import HOME

PRODUCTS = ("hero", "imagine_math", "imagine_math_facts")
TIME_ZONES = ("America/Chicago", "America/New_York", "America/Denver", "America/Los_Angeles", "Asia/Tokyo")
DISTRICT = """\
district: {name}
name: District {number}
time_zone: {zone}
org_sourced_id: {name}-org
sftp_connection: district_sftp
products:
"""
TENANT = """\
  {product}:
    first_school_year: 2024-25
    folder: /{name}/{product}
    roster_format: oneroster_1_1
    roster_import: nightly
"""
LOAD = """
import sys, time
from rollover.lint import load_catalog
from rollover.settings import Settings
started = time.perf_counter()
known = load_catalog(Settings().districts, Settings().products, only=sys.argv[1] or None)
assert not known.problems, known.problems[0]
print(time.perf_counter() - started, len(known.tenants))
"""
PARSE = f"""
import sys, time
sys.path += [{str(HOME / "dags")!r}, {str(HOME / "plugins")!r}]
from airflow.dag_processing.dagbag import DagBag
started = time.perf_counter()
bag = DagBag(dag_folder=sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(time.perf_counter() - started, len(bag.dags))
"""


@dataclass(frozen=True)
class Measured:
    """The seconds of one measurement, and the number of tenants or DAGs."""

    what: str
    seconds: float
    count: int
    asked: float


def write_districts(folder: Path, districts: int) -> None:
    """District files with one, two or three products, in turn."""
    for number in range(districts):
        name = f"district-{number:04}-xx"
        zone = TIME_ZONES[number % len(TIME_ZONES)]
        tenants = (TENANT.format(name=name, product=product) for product in PRODUCTS[: 1 + number % len(PRODUCTS)])
        head = DISTRICT.format(name=name, number=number, zone=zone)
        (folder / f"{name}.yaml").write_text(head + "".join(tenants))


def measured(districts: int) -> list[Measured]:
    """Everything, on generated district files."""
    with tempfile.TemporaryDirectory(prefix="rollover-bench-") as scratch:
        folder = Path(scratch) / "districts"
        folder.mkdir()
        write_districts(folder, districts)
        environment = {**os.environ, "ROLLOVER_DISTRICTS": str(folder), "AIRFLOW_HOME": f"{scratch}/airflow"}
        found = [
            Measured("read all district files", *_measured(LOAD, "", environment), 2.0),
            Measured("read the one of a task", *_measured(LOAD, "district-0000-xx", environment), 0.1),
        ]
        for command in (["lint"], ["dates", "2026-27"]):
            seconds, lines = _command(command, environment)
            found.append(Measured(f"rollover {' '.join(command)}", seconds, lines, 4.0))
        parsed = [(path, *_measured(PARSE, str(path), environment)) for path in dag_files()]
        path, seconds, dags = max(parsed, key=lambda each: each[1])
        name = str(path.relative_to(HOME))
        found.append(Measured(f"parse the slowest DAG file, {name}", seconds, dags, 10.0))
        found.append(Measured("parse all DAG files", sum(each[1] for each in parsed), sum(e[2] for e in parsed), 0.0))
    return found


def dag_files() -> list[Path]:
    """The files that Airflow parses."""
    ignored = (HOME / "dags" / ".airflowignore").read_text().splitlines()
    return sorted(path for path in (HOME / "dags").rglob("*.py") if path.name not in ignored)


def _measured(script: str, argument: str, environment: Mapping[str, str]) -> tuple[float, int]:
    """The seconds and the number that a script prints last."""
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", script, argument], env=environment, cwd=HOME, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    seconds, count = done.stdout.splitlines()[-1].split()
    return float(seconds), int(count)


def _command(arguments: list[str], environment: Mapping[str, str]) -> tuple[float, int]:
    """Time a command, including the start of Python; return the lines that it prints too."""
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own command
        [str(Path(sys.executable).parent / "rollover"), *arguments],
        env=environment,
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-4000:])
    return time.perf_counter() - started, len(done.stdout.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--districts", type=int, default=2000)
    arguments = parser.parse_args()
    found = measured(arguments.districts)
    print(f"{'':<60} {'s':>8} {'of':>6} {'asked':>6}")
    for each in found:
        asked = f"{each.asked:>6.1f}" if each.asked else ""
        print(f"{each.what:<60} {each.seconds:>8.2f} {each.count:>6} {asked}")
    target = HOME / "var" / "bench" / "config.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    answer = {"machine": computer(), "districts": arguments.districts, "found": [asdict(each) for each in found]}
    target.write_text(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()

"""Measures what a season costs: tenants of mixed sizes, reset in one night, through the real scheduler.

``make bench ARGS="season --tenants 30 100 300"``. ``--faults`` has five tenants fail, five have an SFTP server that
does not answer, and one have fifty times the data. ``--parsed 10 2000`` puts so many further district files beside the
tenants, whose DAGs are parsed and stay paused. Prints tables as docs/bench.md has them; writes
``var/bench/season.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from typing import Any

from bench.measure import computer
from bench.season import districts, report
from bench.season.alone import SAMPLE, work_of
from bench.season.night import Night, play
from rollover.settings import HOME

TARGET = HOME / "var" / "bench" / "season.json"
SECONDS_FOR_ALL, SECONDS_EACH = 1200.0, 60.0
"""A night that takes longer than this ends: for all, and for each tenant."""


def main() -> None:
    options = _options()
    made = districts.make(max(*options.tenants, SAMPLE + 1), faults=options.faults)
    print("work alone, without Airflow", flush=True)
    load_before = os.getloadavg()[0]
    work = work_of(made, faults=options.faults)
    print("\n".join(report.of_work(work)), flush=True)
    nights: list[Night] = []
    for tenants in options.tenants:
        for parsed in options.parsed:
            print(f"a night of {tenants} tenants, {parsed} further district files", flush=True)
            made = districts.make(tenants, faults=options.faults)
            night = play(
                made,
                parsed=parsed,
                idle_seconds=options.idle,
                timeout=options.timeout or SECONDS_FOR_ALL + SECONDS_EACH * tenants,
                more=dict(said.split("=", 1) for said in options.set),
            )
            for kind, count in night.kinds.items():
                for name, used in vars(work[kind]).items():
                    night.work[name] = night.work.get(name, 0.0) + used * count
            nights.append(night)
            print("\n".join(report.of_night(night, made)), flush=True)
            _write(nights, load_before, options)
    print("\n".join(report.table(nights)))
    print(f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after; written to {TARGET.relative_to(HOME)}")
    if any(night.uncertified or not night.ended_as_made for night in nights):
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, nargs="+", default=[30])
    parser.add_argument("--parsed", type=int, nargs="+", default=[0], help="further district files, parsed, not run")
    parser.add_argument("--faults", action="store_true", help="11 of the tenants fail, wait in vain, or are heavy")
    parser.add_argument("--idle", type=float, default=60, help="seconds for which the idle services are measured")
    parser.add_argument("--timeout", type=float, help="seconds after which a night ends; default: by the tenants")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="environment of Airflow's processes")
    return parser.parse_args()


def _write(nights: list[Night], load_before: float, options: argparse.Namespace) -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    said: dict[str, Any] = {"machine": computer(), "load_before": load_before, "options": vars(options)}
    TARGET.write_text(json.dumps(said | {"nights": [asdict(night) for night in nights]}, indent=2))


if __name__ == "__main__":
    main()

"""Measures the work of each kind of tenant without Airflow, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from bench.season.districts import Kind, Made, named
from rollover.settings import HOME

SAMPLE = 3
"""So many small tenants are measured; their mean counts for each."""


@dataclass(frozen=True)
class Work:
    """Processor seconds of one tenant's steps: of the steps' own process, of PostgreSQL and of the SFTP server."""

    ours: float = 0.0
    postgres: float = 0.0
    sftp: float = 0.0

    @property
    def total(self) -> float:
        return self.ours + self.postgres + self.sftp


def work_of(made: Made, *, faults: bool) -> dict[str, Work]:
    """The work of a tenant of each kind, of at least SAMPLE + 1. Those that are made to fail count as if idle."""
    by_kind: dict[Kind, list[str]] = {}
    for spec in made.specs:
        by_kind.setdefault(made.kinds[named(spec)], []).append(spec.id)
    small = by_kind[Kind.SMALL][: SAMPLE + 1]  # the first one only warms up
    others = [by_kind[kind][0] for kind in (Kind.LARGE, Kind.HEAVY) if kind in by_kind]
    job = {"tenants": len(made.specs), "faults": faults, "districts": [*small, *others]}
    done = subprocess.run(
        [sys.executable, "-m", "bench.season.work"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=HOME,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    used = {spec_id: Work(**said) for spec_id, said in json.loads(done.stdout.splitlines()[-1]).items()}
    found = {Kind.SMALL.value: _mean([used[spec_id] for spec_id in small if spec_id in used])}
    found |= {kind.value: used[by_kind[kind][0]] for kind in (Kind.LARGE, Kind.HEAVY) if kind in by_kind}
    return found | dict.fromkeys((Kind.FAILS.value, Kind.SILENT.value), Work())


def _mean(several: list[Work]) -> Work:
    count = len(several)
    return Work(
        sum(each.ours for each in several) / count,
        sum(each.postgres for each in several) / count,
        sum(each.sftp for each in several) / count,
    )

"""Writes what was measured, as docs/bench.md has it."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from bench.season.alone import Work
from bench.season.districts import Made
from bench.season.night import Night
from bench.season.watching import Wait

MEGABYTE = 1_000_000


def of_work(work: dict[str, Work]) -> list[str]:
    return [
        f"  {kind:6} {each.total:7.2f} s: {each.ours:.2f} s ours, {each.postgres:.2f} s PostgreSQL, "
        f"{each.sftp:.2f} s SFTP"
        for kind, each in work.items()
        if each.total
    ]


def of_night(night: Night, made: Made) -> list[str]:
    """Everything about one night, in lines."""
    each = list(night.tenant_seconds.values())
    lines = [
        f"  {night.tenants} tenants ({', '.join(f'{count} {kind}' for kind, count in night.kinds.items())}) "
        f"in {night.wall:.0f} s",
        f"  certified: {len(made.healthy) - len(night.uncertified)} of {len(made.healthy)} that should be",
        *(f"    not certified: {tenant}: {why}" for tenant, why in night.uncertified.items()),
        *([f"  nothing went on {night.syncs} times until the sync was started"] if night.syncs else []),
        *([] if night.ended_as_made else ["    a tenant that was made to fail is certified"]),
        f"  tasks: {_by(night.tasks)}; of them begun: {_by(night.started)}; processes: {_by(night.starts)}",
        f"  processor: {_seconds(night.used)}; idle, a minute: {_seconds({n: 60 * s for n, s in night.idle.items()})}",
        f"  work {sum(night.work.values()):.0f} s, services {night.services:.0f} s, overhead {night.overhead:.0f} s: "
        f"{night.overhead / max(night.processes, 1):.2f} s per process; scheduler, tasks and API server: "
        f"{night.by_process:.2f} s per process, with the work",
        f"  at most: {night.peaks.running} tasks running; PSS of Airflow {_mega(night.peaks.airflow_bytes)} and of "
        f"PostgreSQL {_mega(night.peaks.postgres_bytes)}; connections: {night.peaks.product_connections} to the "
        f"product database, {night.peaks.metadata_connections} to Airflow's, {night.peaks.sftp_connections} SFTP",
    ]
    if each:
        lines.append(f"  a tenant's night: median {median(each):.0f} s, longest {max(each):.0f} s")
    if night.found_last is not None:
        lines.append(f"  the last drop was found after {night.found_last:.0f} s")
    healthy = _longest(night, made.healthy)
    if healthy:
        lines.append(
            f"  longest wait of a ready tenant: {healthy.seconds:.0f} s ({healthy.tenant}, {healthy.beside} at work; "
            f"median of the tenants' longest {median(_waits(night, made.healthy)):.0f} s); "
            f"processes begun meanwhile, at most {max(night.passed[tenant] for tenant in _known(night, made)):.1f} per "
            "tenant at work"
        )
    return lines


def table(nights: Iterable[Night]) -> list[str]:
    """The nights as a Markdown table; what is per tenant is the night's sum by its tenants."""
    lines = [
        "| Tenants | Further files | Tasks per tenant | Processes per tenant | Work per tenant | Overhead per tenant "
        "| Scheduler, tasks and API server, per process | Wall time | Wall time per tenant "
        "| Memory, Airflow | Memory, PostgreSQL "
        "| Database connections | SFTP connections | Longest wait |",
        "|" + "---:|" * 14,
    ]
    for night in nights:
        count = night.tenants
        lines.append(
            f"| {count} | {night.parsed:,} | {_of_tenants(night.tasks) / count:.1f} "
            f"| {_of_tenants(night.starts) / count:.1f} | {sum(night.work.values()) / count:.1f} s "
            f"| {night.overhead / count:.1f} s | {night.by_process:.2f} s | {night.wall:.0f} s "
            f"| {night.wall / count:.1f} s | {_mega(night.peaks.airflow_bytes)} | {_mega(night.peaks.postgres_bytes)} "
            f"| {night.peaks.product_connections} | {night.peaks.sftp_connections} "
            f"| {max((wait.seconds for wait in night.waits.values()), default=0.0):.0f} s |"
        )
    return lines


def _known(night: Night, made: Made) -> list[str]:
    return [tenant for tenant in made.healthy if tenant in night.waits]


def _waits(night: Night, tenants: Iterable[str]) -> list[float]:
    return [night.waits[tenant].seconds for tenant in tenants if tenant in night.waits]


def _longest(night: Night, tenants: Iterable[str]) -> Wait | None:
    waits = [night.waits[tenant] for tenant in tenants if tenant in night.waits]
    return max(waits, key=lambda wait: wait.seconds, default=None)


def _of_tenants(counts: dict[str, int]) -> int:
    """Those of the rollovers and imports; the DAGs that work for all are apart."""
    return counts.get("rollover", 0) + counts.get("roster_import", 0)


def _by(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _seconds(used: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in used.items())


def _mega(size: int) -> str:
    return f"{size / MEGABYTE:,.0f} MB"

"""Measures how long the server takes for each page: 2,000 tenants, three years of history, 200 questions open.

``make bench ARGS="pages"``. The pages' own application answers in this process, without a network; the rights of a
person who may see everything are looked up for each page. In between, tenants change, as they do while rollovers run.
Writes ``var/bench/pages.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastapi.testclient import TestClient
from sqlalchemy import Engine, text
from upath import UPath

from bench.many_tenants import catalog, fill, record_evidence
from bench.measure import computer
from rollover.archive.keys import Keys
from rollover.config import Catalog
from rollover.database import migrate
from rollover.database.session import connect
from rollover.settings import HOME
from rollover.tenant import Tenant
from rollover.web.app import create_app
from rollover.web.host import KEPT_CONNECTIONS, Host, Right, Visitor
from rollover_demo.postgres import LOGIN, PostgresServer

ASKED = 0.3
"""Seconds that 95 of 100 requests of a page may take at most."""
NOW = datetime(2026, 8, 10, 12, tzinfo=UTC)
CHANGED = 5
"""Tenants that change before each request."""
CHANGE = """
    INSERT INTO ledger.dag_states (tenant_id, dag_id, state, since)
    SELECT tenant_id, 'rollover__' || tenant_id, 'on', now() FROM directory.tenants ORDER BY random() LIMIT :changed
    ON CONFLICT (tenant_id) DO UPDATE SET since = excluded.since
"""
LAST_DROP = "SELECT import_id FROM ledger.imports WHERE tenant_id = :tenant ORDER BY found_at DESC LIMIT 1"
QUESTION = "SELECT question_id FROM ledger.questions WHERE tenant_id = :tenant LIMIT 1"


class Everyone(Visitor):
    """A person who may do everything."""

    id = "dana"
    name = "Dana"

    def look_up(self, tenants: Collection[Tenant], right: Right) -> Iterable[Tenant]:
        return tenants


@dataclass(frozen=True)
class Measured:
    """The seconds that the server took for one page; `processor` is this process' own work, at 95 of 100."""

    page: str
    median: float
    p95: float
    worst: float
    processor: float
    kilobytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=100, help="of each page")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    server = PostgresServer(folder / "postgres")
    try:
        server.create("bench")
        owner = connect(server.url("bench"))
        migrate.upgrade(owner)
        server.create_login()
        known = catalog(folder / "districts", given.tenants)
        fill(owner, known, UPath(folder / "storage"), open_items=200)
        host = _host(connect(server.url("bench", user=LOGIN), keep=KEPT_CONNECTIONS), known, folder)
        found = _measure(host, owner, known, given.requests)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    target = HOME / "var" / "bench" / "pages.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    said = {"machine": computer(), "tenants": given.tenants, "requests": given.requests, "asked": ASKED}
    target.write_text(json.dumps({**said, "found": [vars(each) for each in found]}, indent=2))


def _host(engine: Engine, known: Catalog, folder: Path) -> Host:
    return Host(
        visitor=Everyone,
        engine=lambda: engine,
        catalog=lambda: known,
        answer=lambda *_: None,
        answered_by=lambda _: {},
        text_of=lambda _: "| School | Rows |\n|---|---:|\n| North | 18 |",
        secret=lambda: "of the benchmark",
        clock=lambda: NOW,
        districts=folder / "districts",
        storage=UPath(folder / "storage"),
        keys=Keys(None),
        backup_days=None,
    )


def _measure(host: Host, owner: Engine, known: Catalog, requests: int) -> list[Measured]:
    """Each page for different tenants, in a random order that is the same each time."""
    chosen = random.Random(20_26)  # noqa: S311 - not a secret
    tenants = chosen.sample(known.tenants, min(requests, len(known.tenants)))
    record_evidence(host.engine(), tenants)
    with owner.connect() as connection:
        drops = [connection.scalar(text(LAST_DROP), {"tenant": tenant.id}) for tenant in tenants]
        asked = [(tenant, connection.scalar(text(QUESTION), {"tenant": tenant.id})) for tenant in known.tenants[:100]]
    pages = {
        "/season": ["/season"],
        "/season, filtered, third page": ["/season?waits_for=nobody&page=3"],
        "/season, searched": [f"/season?q={tenant.district}" for tenant in tenants],
        "/totals (the panel on Airflow's home)": ["/totals"],
        "/decisions": ["/decisions"],
        "/decisions/{tenant}/{question}": [f"/decisions/{tenant.id}/{n}" for tenant, n in asked if n is not None],
        "/tenants/{tenant}/dates/{year}": [f"/tenants/{tenant.id}/dates/2026-27" for tenant in tenants],
        "/tenants/{tenant}/drops/{import}": [
            f"/tenants/{t.id}/drops/{drop}" for t, drop in zip(tenants, drops, strict=True)
        ],
    }
    for part in ("", "/plan", "/drops", "/exports", "/proof", "/record", "/archive", "/archive/trends"):
        pages[f"/tenants/{{tenant}}{part}"] = [f"/tenants/{tenant.id}{part}" for tenant in tenants]
    client = TestClient(create_app(host))
    client.get("/season")  # what a server does once
    return list(_shown(_timed(client, owner, name, paths, requests) for name, paths in pages.items()))


def _shown(found: Iterable[Measured]) -> Iterator[Measured]:
    """Print each page's line as soon as it is measured."""
    print(f"{'':<44} {'median':>8} {'95 of 100':>10} {'worst':>8} {'processor':>9} {'kB':>6}")
    for each in found:
        judged = "met" if each.p95 <= ASKED else "NOT MET"
        times = f"{each.median:>6.3f} s {each.p95:>8.3f} s {each.worst:>6.3f} s {each.processor:>7.3f} s"
        print(f"{each.page:<44} {times} {each.kilobytes:>6}  {judged}", flush=True)
        yield each


def _timed(client: TestClient, owner: Engine, name: str, paths: Sequence[str], requests: int) -> Measured:
    seconds, worked, size = [], [], 0
    for n in range(requests):
        with owner.begin() as connection:
            connection.execute(text(CHANGE), {"changed": CHANGED})
        begun, before = time.perf_counter(), time.process_time()
        answer = client.get(paths[n % len(paths)])
        seconds.append(time.perf_counter() - begun)
        worked.append(time.process_time() - before)
        if answer.status_code != 200:
            raise RuntimeError(f"{paths[n % len(paths)]}: {answer.status_code} {answer.text[:500]}")
        size = max(size, len(answer.content))
    p95, processor = (statistics.quantiles(each, n=20, method="inclusive")[-1] for each in (seconds, worked))
    return Measured(name, statistics.median(seconds), p95, max(seconds), processor, round(size / 1000))


if __name__ == "__main__":
    main()

"""Watches a season from outside: memory, connections, and which tenants are ready and wait.

Once a second it asks Airflow's metadata what each tenant's tasks do. A tenant waits if no task of it runs although one
could: one is scheduled or queued, or nothing is and nobody outside is waited for (a person, a drop, the time of a
retry). So a run that the scheduler has not begun counts as waiting, and so does the start of a task's process.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from bench.season import processor
from rollover_demo.demo.services import DATABASE, METADATA
from rollover_demo.postgres import LOGIN

SECONDS = 1.0
SOCKETS_PER_SECOND = 5
MEMORY_EVERY = 5
"""Memory is read every so many seconds: the kernel walks through all of it."""
OUTSIDE = ("deferred", "awaiting_input", "up_for_retry")
READY = ("scheduled", "queued")
RUNNING = "running"
CONNECTIONS = """
SELECT count(*) FILTER (WHERE datname = :product AND usename = :login), count(*) FILTER (WHERE datname = :metadata)
FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
ROLLOVER_OF = "'^rollover__(.*)$'"
STATES = f"""
SELECT coalesce(substring(task.dag_id from {ROLLOVER_OF}), run.partition_key) AS tenant, task.state
FROM task_instance task JOIN dag_run run USING (dag_id, run_id)
WHERE task.state = ANY(:states) AND (task.dag_id LIKE 'rollover\\_\\_%' OR task.dag_id = 'roster_import')
"""  # noqa: S608 - our own words
ENDED = f"""
SELECT substring(dag_id from {ROLLOVER_OF}) FROM dag_run
WHERE state IN ('success', 'failed') AND dag_id LIKE 'rollover\\_\\_%'
"""  # noqa: S608 - our own words


@dataclass(frozen=True)
class Wait:
    """A time in which a tenant was ready and nothing of it ran; seconds since the epoch."""

    tenant: str
    began: float
    ended: float
    beside: int
    """The tenants whose rollover had not ended when it began."""

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Peaks:
    """The most that was seen at once."""

    airflow_bytes: int = 0
    postgres_bytes: int = 0
    product_connections: int = 0
    metadata_connections: int = 0
    sftp_connections: int = 0
    running: int = 0


@dataclass(frozen=True)
class Watched:
    """What is watched: the top processes of Airflow, PostgreSQL's, and the port of the SFTP server."""

    airflow: Mapping[str, int]
    postgres: int
    sftp_port: int


class Watching(threading.Thread):
    """Watches until it is stopped. `begin` says from when on, and whose waits count."""

    def __init__(self, metadata: Engine, watched: Watched) -> None:
        super().__init__(daemon=True)
        self.metadata, self.watched = metadata, watched
        self.peaks, self.waits = Peaks(), list[Wait]()
        self.error: Exception | None = None
        self._stopped = threading.Event()
        self._tenants: tuple[str, ...] = ()
        self._since: dict[str, tuple[float, int]] = {}

    def begin(self, tenants: list[str]) -> None:
        """From now on these tenants have work to do; all peaks start over."""
        self.peaks = Peaks()
        self._tenants = tuple(tenants)

    def stop(self) -> None:
        """Stop, and raise what ended the watching before, if anything did."""
        self._stopped.set()
        self.join()
        now = time.time()
        for tenant in list(self._since):
            self._end(tenant, now)
        if self.error:
            raise self.error

    def run(self) -> None:
        try:
            with self.metadata.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                tick = 0
                while not self._stopped.is_set():
                    started = time.monotonic()
                    self._look(connection)
                    if tick % MEMORY_EVERY == 0:
                        self._weigh()
                    tick += 1
                    self._count_sockets(started + SECONDS)
        except Exception as error:
            self.error = error

    def longest(self) -> dict[str, Wait]:
        """The longest wait of each tenant."""
        found: dict[str, Wait] = {}
        for wait in self.waits:
            if wait.tenant not in found or wait.seconds > found[wait.tenant].seconds:
                found[wait.tenant] = wait
        return found

    def _look(self, connection: Connection) -> None:
        names = {"product": DATABASE, "login": LOGIN, "metadata": METADATA}
        product, metadata = connection.execute(text(CONNECTIONS), names).one()
        states: dict[str, set[str]] = defaultdict(set)
        running = 0
        for tenant, state in connection.execute(text(STATES), {"states": [*READY, *OUTSIDE, RUNNING]}):
            states[tenant].add(state)
            running += state == RUNNING
        ended = set(connection.scalars(text(ENDED)))
        self.peaks.product_connections = max(self.peaks.product_connections, product)
        self.peaks.metadata_connections = max(self.peaks.metadata_connections, metadata)
        self.peaks.running = max(self.peaks.running, running)
        now, at_work = time.time(), [tenant for tenant in self._tenants if tenant not in ended]
        for tenant in self._tenants:
            if tenant not in ended and waits(states[tenant]):
                self._since.setdefault(tenant, (now, len(at_work)))
            else:
                self._end(tenant, now)

    def _end(self, tenant: str, now: float) -> None:
        if tenant in self._since:
            began, beside = self._since.pop(tenant)
            self.waits.append(Wait(tenant, began, now, beside))

    def _weigh(self) -> None:
        airflow = sum(processor.memory(pid) for pid in self.watched.airflow.values())
        self.peaks.airflow_bytes = max(self.peaks.airflow_bytes, airflow)
        self.peaks.postgres_bytes = max(self.peaks.postgres_bytes, processor.memory(self.watched.postgres))

    def _count_sockets(self, until: float) -> None:
        while True:
            now = processor.open_connections(self.watched.sftp_port)
            self.peaks.sftp_connections = max(self.peaks.sftp_connections, now)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 1 / SOCKETS_PER_SECOND))


def waits(states: set[str]) -> bool:
    if RUNNING in states:
        return False
    return not states.isdisjoint(READY) or states.isdisjoint(OUTSIDE)

"""What goes wrong in the middle of a season on a cluster, one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

DOWN_SECONDS = 6.0
POLL_SECONDS = 0.2
RUNNING = """
SELECT id::text, dag_id, run_id, task_id FROM task_instance WHERE state = 'running' AND dag_id LIKE 'rollover\\_\\_%'
"""
WORK = "SELECT count(*) FROM ledger.steps WHERE step = 'erase'"
APPLIED = "SELECT count(*) FROM ledger.imports WHERE state = 'applied'"
UNFINISHED = "SELECT count(*) FROM directory.tenants t WHERE NOT EXISTS (SELECT FROM ledger.rollovers r \
WHERE r.tenant_id = t.tenant_id AND r.state = 'certified')"


class Faults(threading.Thread):
    """Loses a worker, then restarts the broker, then both databases. `done` lists what happened, with how many tenants
    were unfinished; `lost` has the task instances that ran on the lost worker."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.done: dict[str, int] = {}
        self.lost: set[str] = set()
        self.error: Exception | None = None
        self._cluster, self._say = cluster, say
        self._over = threading.Event()

    def run(self) -> None:
        try:
            for what, when, do in (
                ("worker", self._a_step_runs_on_it, self._lose_worker),
                ("broker", lambda: self._count(WORK) >= 1, self._restart_broker),
                ("databases", lambda: self._count(APPLIED) >= 1, self._restart_databases),
            ):
                while not when():
                    if self._over.wait(POLL_SECONDS):
                        return
                left = self._count(UNFINISHED)
                self._say(f"fault: {what}")
                do()
                self.done[what] = left
                self._say(f"over: {what}")
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _count(self, query: str) -> int:
        return int(_scalar(self._cluster.owner, query))

    def _a_step_runs_on_it(self) -> bool:
        with self._cluster.metadata.connect() as connection:
            running = {row.id: row for row in connection.execute(text(RUNNING))}
        here = self._cluster.workers[0].task_instances() & running.keys()
        for each in here:
            self._say(f"on {self._cluster.workers[0].name} runs {running[each].dag_id} {running[each].task_id}")
        self.lost = here
        return bool(here)

    def _lose_worker(self) -> None:
        worker = self._cluster.workers.pop(0)
        self.lost |= worker.task_instances()
        worker.lose()
        self._over.wait(DOWN_SECONDS)
        self._cluster.add_worker()

    def _restart_broker(self) -> None:
        self._cluster.redis.stop()
        self._over.wait(DOWN_SECONDS)
        self._cluster.redis.start()

    def _restart_databases(self) -> None:
        """Without a checkpoint, as when a standby takes over: the metadata's, and the product's."""
        self._cluster.postgres.stop(self._cluster.postgres.IMMEDIATELY)
        self._cluster.stop_product()
        self._over.wait(DOWN_SECONDS)
        self._cluster.start_product()
        self._cluster.postgres.start()


def _scalar(engine: Engine, query: str) -> int:
    for _ in range(50):
        try:
            with engine.connect() as connection:
                return int(connection.scalar(text(query)) or 0)
        except DBAPIError:
            time.sleep(POLL_SECONDS)
    raise RuntimeError("the database did not come back")

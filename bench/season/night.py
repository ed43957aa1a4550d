"""Plays one night: all tenants reset at once, with a person who approves each plan as soon as it is asked about."""

from __future__ import annotations

import shutil
import tempfile
import time
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from bench.config import write_districts
from bench.season import districts, processor
from bench.season.districts import Kind, Made
from bench.season.watching import Peaks, Wait, Watched, Watching
from rollover.database.session import connect
from rollover.season.readiness import SHARED_DAGS
from rollover_demo.airflow_client import ApiError
from rollover_demo.demo.services import METADATA, Services, prepared, running

PRODUCTION = {
    # As in production, not as in the demo, which is in a hurry.
    "ROLLOVER_SETTLE_SECONDS": "300",
    "ROLLOVER_POLL_SECONDS": "30",
    "ROLLOVER_NOTICES_SCHEDULE": "*/15 * * * *",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "300",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    # The nightly sync would be another night's. It is started if a wake-up was lost and nothing goes on without it.
    "ROLLOVER_ROSTER_SYNC_SCHEDULE": "0 3 31 12 *",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "30",
}
READING_SECONDS = 15
"""How long a person reads a plan. An answer within seconds can reach Airflow while it still parks the task, and it
then asks again."""
STUCK_SECONDS = 300
"""After so long without any task at work, the sync is started."""
DAGS_OF_A_TENANT = f"rollover\\_\\_{districts.PRODUCT}\\_\\_{districts.PREFIX}%"
PARSED = "SELECT dag_id FROM dag WHERE NOT is_stale"
QUIET = """
SELECT count(*) FROM task_instance WHERE state IN ('scheduled', 'queued', 'running', 'up_for_retry', 'restarting')
"""
SWITCH_ON = "UPDATE dag SET is_paused = false WHERE dag_id LIKE :dags"
QUESTIONS = """
SELECT task.dag_id, task.run_id, task.task_id, task.map_index, asked.options
FROM hitl_detail asked JOIN task_instance task ON task.id = asked.ti_id
WHERE asked.responded_at IS NULL AND task.state = 'awaiting_input' AND task.dag_id LIKE :dags
  AND asked.created_at < now() - make_interval(secs => :reading)
"""
RUNS = "SELECT dag_id, state, start_date, end_date FROM dag_run WHERE dag_id LIKE :dags"
TASKS = """
SELECT CASE WHEN dag_id LIKE :dags THEN 'rollover' ELSE dag_id END AS dag, count(*) AS tasks,
  count(start_date) FILTER (WHERE state <> 'skipped' OR duration > 0) AS started
FROM (SELECT dag_id, start_date, state, duration FROM task_instance
      UNION ALL SELECT dag_id, start_date, state, duration FROM task_instance_history) tried
GROUP BY 1 ORDER BY 1
"""
STARTS = (
    "SELECT CASE WHEN dag_id LIKE :dags THEN 'rollover' ELSE dag_id END AS dag, dttm FROM log WHERE event = 'running'"
)
FAILED = "SELECT dag_id, task_id FROM task_instance WHERE state = 'failed' ORDER BY start_date"
STUCK = """
SELECT dag_id, task_id, state FROM task_instance
WHERE state IN ('scheduled', 'queued', 'running', 'deferred', 'awaiting_input', 'up_for_retry') AND dag_id LIKE :dags
"""
CERTIFIED = "SELECT tenant_id FROM ledger.rollovers WHERE state = 'certified'"
FOUND = "SELECT max(found_at) FROM ledger.imports"


@dataclass
class Night:
    """One night as it was measured. Times are seconds; processor seconds are by who used them."""

    tenants: int
    parsed: int
    kinds: dict[str, int]
    wall: float
    idle: dict[str, float]
    """Processor seconds per second while nothing was to do."""
    used: dict[str, float]
    peaks: Peaks
    tasks: dict[str, int]
    started: dict[str, int]
    starts: dict[str, int]
    """Processes started for tasks, by DAG: a task that was deferred, or tried again, starts more than one."""
    tenant_seconds: dict[str, float]
    """From the beginning of the night to the end of each tenant's run."""
    waits: dict[str, Wait]
    passed: dict[str, float]
    """Of each tenant's longest wait: the processes that started meanwhile, per tenant that was at work."""
    found_last: float | None
    """After how many seconds the last drop was in the ledger."""
    uncertified: dict[str, str]
    """The tenants that ought to be certified and are not, and where they are."""
    ended_as_made: bool
    """Whether the tenants that were made to fail have failed."""
    syncs: int
    """How often nothing went on until the sync was started: wake-ups were lost."""
    work: dict[str, float] = field(default_factory=dict)

    @property
    def processes(self) -> int:
        return sum(self.starts.values())

    @property
    def services(self) -> float:
        """What the services use in that time without anything to do."""
        return sum(self.idle.values()) * self.wall

    @property
    def by_process(self) -> float:
        """What the tasks and who starts them used per process, work and all; DAG processor and triggerer are apart."""
        used = sum(self.used[name] - self.idle[name] * self.wall for name in ("scheduler", "api-server"))
        return used / max(self.processes, 1)

    @property
    def overhead(self) -> float:
        return sum(self.used.values()) - self.services - sum(self.work.values())


def play(made: Made, *, parsed: int, idle_seconds: float, timeout: float, more: Mapping[str, str]) -> Night:
    """One night in a fresh Airflow and database. Ends when every tenant's run has ended, or after `timeout` seconds."""
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    try:
        files = districts.drops(made)
        with prepared(folder, made.specs) as (server, owner), districts.silent_servers(made, folder) as connections:
            districts.say_sizes(made, folder)
            write_districts(folder / "districts", parsed)
            if failing := made.of(Kind.FAILS):
                districts.let_fail(owner, failing)
            environment = {**PRODUCTION, **connections, **more}
            with running(folder, made.specs, server, owner, more=environment) as services:
                night = _Night(services, connect(server.url(METADATA)), made, parsed, timeout)
                return night.play(files, idle_seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Night:
    def __init__(self, services: Services, metadata: Engine, made: Made, parsed: int, timeout: float) -> None:
        self._services, self._metadata, self._made = services, metadata, made
        self._parsed, self._timeout = parsed, timeout
        postmaster = int((services.folder / "postgres" / "postmaster.pid").read_text().split()[0])
        self._watched = Watched(services.airflow.processes, postmaster, services.sftp.port)
        self._watching = Watching(metadata, self._watched)
        self._syncs = 0

    def play(self, files: dict[str, bytes], idle_seconds: float) -> Night:
        self._wait_for_dags()
        for dag_id in SHARED_DAGS:
            self._services.api.set_paused(dag_id, False)
        self._wait_until_quiet()
        self._watching.start()
        idle = self._idle(idle_seconds)
        districts.upload(self._services, files)
        began, before = time.time(), self._used()
        self._watching.begin(list(self._made.kinds))
        with self._metadata.begin() as connection:
            connection.execute(text(SWITCH_ON), {"dags": DAGS_OF_A_TENANT})
        self._until_ended(began + self._timeout)
        wall, used = time.time() - began, _difference(self._used(), before)
        self._watching.stop()
        return self._measured(began, wall, idle, used)

    def _wait_for_dags(self) -> None:
        expected = {f"rollover__{tenant_id}" for tenant_id in self._made.kinds} | set(SHARED_DAGS)
        # A generated district has one, two or three products in turn.
        count = len(expected) + sum(1 + n % 3 for n in range(self._parsed))

        def parsed() -> bool:
            with self._metadata.connect() as connection:
                found = set(connection.scalars(text(PARSED)))
            return expected <= found and len(found) >= count

        self._services.api.wait_for("the DAGs", parsed, timeout=120 + self._parsed, poll=2)
        if errors := self._services.api.import_errors():
            raise RuntimeError(f"DAG files do not load: {'; '.join(errors.values())}")

    def _wait_until_quiet(self) -> None:
        """Until what a fresh Airflow does once is done: nothing runs for ten seconds."""
        quiet_since = deadline = time.monotonic()
        deadline += 600
        while time.monotonic() - quiet_since < 10:
            with self._metadata.connect() as connection:
                if connection.scalar(text(QUIET)):
                    quiet_since = time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError("Airflow has not been quiet for ten seconds")
            time.sleep(1)

    def _idle(self, seconds: float) -> dict[str, float]:
        before = self._used()
        time.sleep(seconds)
        return {name: used / seconds for name, used in _difference(self._used(), before).items()}

    def _used(self) -> dict[str, float]:
        used = {name: processor.seconds(pid) for name, pid in self._watched.airflow.items()}
        used["postgres"] = processor.seconds(self._watched.postgres)
        return used | {"sftp": processor.seconds(self._services.sftp.process.pid)}

    def _until_ended(self, deadline: float) -> None:
        said, moved_at = 0.0, time.time()
        asked = {"dags": DAGS_OF_A_TENANT, "reading": READING_SECONDS}
        while time.time() < deadline:
            with self._metadata.connect() as connection:
                questions = connection.execute(text(QUESTIONS), asked).mappings().all()
                runs = connection.execute(text(RUNS), {"dags": DAGS_OF_A_TENANT}).all()
                if questions or connection.scalar(text(QUIET)):
                    moved_at = time.time()
            ended = {run.dag_id for run in runs if run.state in ("success", "failed")}
            if time.time() - said > 60:
                said = time.time()
                print(f"  {len(runs)} runs began, {len(ended)} of {len(self._made.kinds)} ended", flush=True)
            if len(ended) == len(self._made.kinds):
                return
            for question in questions:
                self._answer(dict(question))
            if time.time() - moved_at > STUCK_SECONDS:
                self._services.api.trigger("roster_sync")
                self._syncs, moved_at = self._syncs + 1, time.time()
            time.sleep(1)

    def _answer(self, question: dict[str, Any]) -> None:
        chosen = [option for option in question["options"] if option != "Reject"]
        named = {name: question[name] for name in ("dag_id", "task_id", "map_index")}
        try:
            self._services.api.answer({"task_instance": named | {"dag_run_id": question["run_id"]}}, *chosen)
        except ApiError as error:
            print(f"  not answered, asked again: {error}", flush=True)

    def _measured(self, began: float, wall: float, idle: dict[str, float], used: dict[str, float]) -> Night:
        dags = {"dags": DAGS_OF_A_TENANT}
        with self._metadata.connect() as connection:
            tasks = connection.execute(text(TASKS), dags).all()
            runs = connection.execute(text(RUNS), dags).all()
            starts = [(row.dag, row.dttm.timestamp()) for row in connection.execute(text(STARTS), dags)]
            where = _where(connection)
        with self._services.owner.connect() as connection:
            certified = set(connection.scalars(text(CERTIFIED)))
            found = connection.scalar(text(FOUND))
        times = sorted(moment for _, moment in starts)
        longest = self._watching.longest()
        kinds = list(self._made.kinds.values())
        failed = self._made.of(Kind.FAILS, Kind.SILENT)
        return Night(
            tenants=len(kinds),
            parsed=self._parsed,
            kinds={kind.value: kinds.count(kind) for kind in Kind if kind in kinds},
            wall=wall,
            idle=idle,
            used=used,
            peaks=self._watching.peaks,
            tasks={row.dag: row.tasks for row in tasks},
            started={row.dag: row.started for row in tasks},
            starts=_counts(dag for dag, moment in starts if moment >= began),
            tenant_seconds={
                run.dag_id.removeprefix("rollover__"): run.end_date.timestamp() - began for run in runs if run.end_date
            },
            waits=longest,
            passed={
                tenant: (bisect(times, wait.ended) - bisect(times, wait.began)) / max(wait.beside, 1)
                for tenant, wait in longest.items()
            },
            found_last=found.timestamp() - began if found else None,
            uncertified={t: where.get(t, "not begun") for t in self._made.healthy if t not in certified},
            syncs=self._syncs,
            ended_as_made=certified.isdisjoint(failed),
        )


def _where(connection: Connection) -> dict[str, str]:
    """Where the run of each tenant stands or has failed."""
    open_ones = connection.execute(text(STUCK), {"dags": DAGS_OF_A_TENANT}).all()
    found = {row.dag_id.removeprefix("rollover__"): f"{row.task_id} is {row.state}" for row in open_ones}
    failed = connection.execute(text(FAILED)).all()
    return found | {row.dag_id.removeprefix("rollover__"): f"{row.task_id} failed" for row in failed}


def _difference(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: used - before[name] for name, used in now.items()}


def _counts(names: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found

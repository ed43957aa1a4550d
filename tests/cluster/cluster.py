"""A cluster: a control machine with Airflow's four processes, two workers, and the servers between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from rollover.archive.keys import Keys
from rollover.database.session import connect
from rollover_demo.airflow import LocalAirflow
from rollover_demo.airflow_client import ApiError
from rollover_demo.demo.season import Season
from rollover_demo.demo.services import METADATA, USERS, Services, neighbours, prepared
from rollover_demo.postgres import PostgresServer
from rollover_demo.seed.specs import DistrictSpec, TenantSpec
from rollover_demo.snapshot import snapshot
from tests.cluster.faults import Faults
from tests.cluster.machines import KEYS, Machine, Supervisor, Worker, nothing_left
from tests.cluster.servers import S3, Postgres, Redis

START_SECONDS = 300.0
"""How long Airflow may take to start on a busy machine."""
SMALLER = 8
"""A school of a cluster's season has this fraction of the demo's students."""


@dataclass
class Cluster:
    """Everything that runs. `shared` is the environment that is the same on every machine."""

    folder: Path
    owner: Engine
    metadata: Engine
    product: PostgresServer
    postgres: Postgres
    redis: Redis
    s3: S3
    shared: dict[str, str]
    workers: list[Worker] = field(default_factory=list)
    made: int = 0

    def add_worker(self) -> None:
        """A worker on a new machine, installed from nothing."""
        self.made += 1
        worker = Worker(Machine(self.folder / f"worker-{self.made}", self.folder), self.shared)
        worker.start()
        self.workers.append(worker)

    def stop_product(self) -> None:
        self.product.stop("immediate")

    def start_product(self) -> None:
        """Start it again, on its socket."""
        before = self.product.socket_folder
        self.product = PostgresServer(self.product.folder)
        assert self.product.socket_folder == before


@dataclass(frozen=True)
class After:
    """What is left after the season, with the servers that hold it still running. `restarted` names the processes of
    Airflow that ended by themselves, `preloaded` the workers that had loaded what tasks need."""

    cluster: Cluster
    faults: Faults
    restarted: list[str]
    preloaded: list[str]
    all_stopped: bool


def small(spec: DistrictSpec) -> DistrictSpec:
    """The district with fewer students, and without past years."""
    tenants = tuple(_small(tenant) for tenant in spec.tenants)
    return replace(spec, tenants=tenants)


def _small(tenant: TenantSpec) -> TenantSpec:
    schools = tuple(replace(school, students=school.students // SMALLER) for school in tenant.schools)
    return replace(tenant, schools=schools, past_years=0, events_per_student=10)


@contextmanager
def season_on_a_cluster(
    folder: Path, specs: tuple[DistrictSpec, ...], say: Callable[[str], None], *, timeout: float
) -> Iterator[After]:
    """Play a season on a cluster while it fails in parts; then stop Airflow, and hand over what is left."""
    with ExitStack() as stack:
        product, owner = stack.enter_context(prepared(folder, specs))
        for spec in specs:
            for tenant in spec.tenants:
                Keys(folder / KEYS).make(tenant.id)
        snapshot(owner, folder / "before")
        postgres, redis, s3 = Postgres(folder / "debian"), Redis(folder / "redis"), S3(folder / "s3")
        for server in (postgres, redis, s3):
            stack.callback(server.stop)
            server.start()
        postgres.create(METADATA)
        near = stack.enter_context(neighbours(folder, specs, product))
        control = Machine(folder / "control", folder)
        shared = near.environment | s3.settings | _settings(redis, s3)
        airflow = LocalAirflow(
            control.folder / "airflow",
            postgres.url(METADATA, driver="psycopg2"),
            environment=shared | control.environment,
            users=USERS,
            home=control.home,
        )
        everywhere = {name: value for name, value in airflow.environment.items() if name not in control.environment}
        metadata = connect(postgres.url(METADATA))
        cluster = Cluster(folder, owner, metadata, product, postgres, redis, s3, everywhere)
        stack.callback(lambda: cluster.product.stop())  # not the one of the beginning: it was started again
        faults = Faults(cluster, say)
        supervisor = Supervisor(airflow, cluster.workers)
        with stopping(airflow, cluster, supervisor, faults):
            api = airflow.start(timeout=START_SECONDS)
            services = Services(folder, specs, owner, airflow, api, near.sftp, near.sftp_accounts)
            for _ in range(2):
                cluster.add_worker()
            supervisor.start()
            season = Season(services, say, answer_approvals=True)
            season.begin()
            faults.start()
            play(season, say, time.monotonic() + timeout)
            assert season.wait_for_mails()
            preloaded = [worker.name for worker in cluster.workers if worker.has_loaded("_duckdb")]
        say(f"started again: {', '.join(supervisor.restarted) or 'nothing'}")
        snapshot(owner, folder / "after")
        yield After(cluster, faults, supervisor.restarted, preloaded, nothing_left(airflow, cluster.workers))


@contextmanager
def stopping(airflow: LocalAirflow, cluster: Cluster, supervisor: Supervisor, faults: Faults) -> Iterator[None]:
    """Stop everything of Airflow at the end, also after a failure."""
    try:
        yield
    finally:
        for thread in (faults, supervisor):
            if thread.is_alive():
                thread.stop()
        for worker in cluster.workers:
            worker.stop()
        airflow.stop()


def play(season: Season, say: Callable[[str], None], deadline: float) -> None:
    """Play the season to its end. While a database is away, the people wait and look again."""
    while True:
        try:
            season.run(timeout=max(1.0, deadline - time.monotonic()))
            return
        except (DBAPIError, ApiError, httpx.HTTPError) as error:
            if time.monotonic() > deadline:
                raise
            say(f"the people wait: {type(error).__name__}")
            time.sleep(1)


def _settings(redis: Redis, s3: S3) -> dict[str, str]:
    """What docs/deploy.md says of a cluster, with times for a test."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": redis.url,
        "AIRFLOW__CELERY__CELERY_CONFIG_OPTIONS": "rollover.adapter.celery_settings.CELERY_CONFIG",
        "AIRFLOW__CELERY__TASK_ACKS_LATE": "True",
        "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
        # When a task that a lost worker never began is sent again; until then a task may wait for a worker.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "ROLLOVER_STORAGE": s3.url,
        # Four tasks run at once: what comes every minute in the demo would take half of the places.
        "ROLLOVER_ROSTER_SYNC_SCHEDULE": "*/2 * * * *",
        "ROLLOVER_NOTICES_SCHEDULE": "*/2 * * * *",
    }

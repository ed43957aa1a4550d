"""What happens once when a process of Airflow starts: pools are made, modules are imported that every task needs, and
district files are watched.

Airflow forks: the scheduler its workers, a worker each task, and the DAG processor a process for each file. What was
imported before is there at once, in memory that all of them share. Importing takes most of the time of a short task.
"""

from __future__ import annotations

import json
import logging
import sys
from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rollover.adapter.district_watch import start_watching
from rollover.settings import HOME, Settings

log = logging.getLogger(__name__)

POOLS = HOME / "pools.json"
"""As `airflow pools import` reads it."""
FOR_DAG_FILES = (
    "airflow.sdk.definitions.decorators",
    "rollover.adapter.asking",
    "rollover.adapter.importing",
    "rollover.adapter.stepping",
    "rollover.adapter.waiting",
)
FOR_TASKS = (
    *FOR_DAG_FILES,
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.providers.sftp.hooks.sftp",
    "psycopg",
    "rollover.yearend.steps",
    "rollover.roster.intake.fetch",
    "rollover.roster.reading.stage",
    "rollover.roster.validating.validate",
    "rollover.roster.comparing.compare",
    "rollover.roster.applying.apply",
    "rollover.roster.reporting.report",
    "rollover.roster.review.decision",
    "rollover.roster.verifying.verify",
)


class ProcessStart:
    """Airflow calls it in its scheduler, DAG processor and triggerer, before they begin, and in each task."""

    @hookimpl
    def on_starting(self, component: Any) -> None:
        from airflow.jobs.job import Job

        if not isinstance(component, Job):  # a task, which is a fork of the scheduler
            return
        match sys.argv[1:2]:
            case ["scheduler"]:
                make_missing_pools()
                preload(FOR_TASKS)
            case ["dag-processor"]:
                preload(FOR_DAG_FILES)
                start_watching(Settings().districts)


def make_missing_pools() -> None:
    """Make the pools that Airflow does not have yet. One that it has stays as an operator has set it."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        known = {pool.pool for pool in Pool.get_pools(session=session)}
        for name, pool in json.loads(POOLS.read_text()).items():
            if name not in known:
                Pool.create_or_update_pool(name, **pool, session=session)
                log.info("made the pool %s with %s slots", name, pool["slots"])


def preload(modules: tuple[str, ...]) -> None:
    """Import modules. One that cannot be imported is left to the task that needs it, whose log then says why."""
    for name in modules:
        try:
            import_module(name)
        except Exception:
            log.exception("%s is not imported before the tasks", name)


class ProcessStartPlugin(AirflowPlugin):
    name = "process_start"
    listeners: list[object] = [ProcessStart()]  # noqa: RUF012 - as Airflow declares it

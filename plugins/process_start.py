"""What happens once when a process of Airflow starts: pools are made, modules are imported that every task needs, and
district files are watched.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rollover.adapter.district_watch import start_watching
from rollover.adapter.preloading import FOR_DAG_FILES, FOR_TASKS, preload
from rollover.settings import HOME, Settings

log = logging.getLogger(__name__)

POOLS = HOME / "pools.json"
"""As `airflow pools import` reads it."""


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


class ProcessStartPlugin(AirflowPlugin):
    name = "process_start"
    listeners: list[object] = [ProcessStart()]  # noqa: RUF012 - as Airflow declares it

"""What a process of Airflow imports before it forks: what was imported then is there at once, in memory that all share.

The scheduler forks its workers, a worker each task, and the DAG processor a process for each file. Importing takes most
of the time of a short task.
"""

from __future__ import annotations

import logging
from importlib import import_module

log = logging.getLogger(__name__)

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


def preload(modules: tuple[str, ...]) -> None:
    """Import modules. One that cannot be imported is left to the task that needs it, whose log then says why."""
    for name in modules:
        try:
            import_module(name)
        except Exception:
            log.exception("%s is not imported before the tasks", name)

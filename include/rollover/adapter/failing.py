"""Logs the failure of a DAG run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


def on_failure(context: Context) -> None:
    """Log that a run failed and how to go on. Names ids only: an exception's text stays in the task's own log."""
    run = context["dag_run"]
    log.error(
        "%s failed in its run %s. Steps that are done are not repeated; a pause of the roster sync stays too. "
        "Read the log of the failed task, fix what it says, and clear that task: the run goes on from there.",
        run.dag_id,
        run.run_id,
    )

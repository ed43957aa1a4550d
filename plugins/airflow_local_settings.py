"""Airflow's cluster policy: of the imports that wait for a place, those of the largest districts go first.

A rollover's DAG knows the size of its district. The imports of all districts are one DAG, so each run's is looked up
when Airflow makes its tasks. Airflow finds this module by its name, as `plugins/` is on its path.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rollover.tenant import IMPORT_DAG

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

__all__ = ["task_instance_mutation_hook"]  # Airflow takes any other name for one of its settings

log = logging.getLogger(__name__)


def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None = None) -> None:
    """Give a task of an import the weight of its district. Never raises: the scheduler would end."""
    if dag_run is None or task_instance.dag_id != IMPORT_DAG or not dag_run.partition_key:
        return
    try:
        from rollover.adapter.weights import weight_of  # every command of Airflow loads this module

        task_instance.priority_weight = weight_of(dag_run.partition_key)
    except Exception as error:
        log.warning("%s: its size is not known (%s), so it waits its turn", dag_run.run_id, type(error).__name__)

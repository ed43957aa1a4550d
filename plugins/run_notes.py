"""Writes the note of a run when it ends: the result of a rollover, or of a roster import and its files.

It runs in the scheduler, which stores the note in the transaction in which it stores the run's state. What the tasks
returned is read in a session of its own, so that nothing that goes wrong here can harm the scheduler's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rollover.season.run_note import TASKS, has_note, note_of

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)


class RunNotes:
    """Airflow calls it for every run of every DAG; those of other DAGs cost a comparison of their id."""

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:
        write_note(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        write_note(dag_run)


def write_note(dag_run: DagRun) -> None:
    """Set the note of a run that has ended. A note is not worth a run: whatever goes wrong is only logged."""
    if not has_note(dag_run.dag_id):
        return
    try:
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None:
            return
        results, failed = _results(dag_run), _failed(dag_run)
        with session.no_autoflush:  # the scheduler decides when its changes are written
            note = note_of(dag_run.dag_id, results, failed, dag_run.note)
            if note is not None and note != dag_run.note:
                dag_run.note = note
    except Exception as error:  # its text may quote a value
        log.warning("no note for the run %s of %s: %s", dag_run.run_id, dag_run.dag_id, type(error).__name__)


def _results(dag_run: DagRun) -> dict[tuple[str, int], Any]:
    """The results of the tasks that a note is made of."""
    from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(XComModel).where(
        XComModel.dag_id == dag_run.dag_id,
        XComModel.run_id == dag_run.run_id,
        XComModel.key == XCOM_RETURN_KEY,
        XComModel.task_id.in_(TASKS),
    )
    with create_session(scoped=False) as session:
        return {(row.task_id, row.map_index): XComModel.deserialize_value(row) for row in session.scalars(query)}


def _failed(dag_run: DagRun) -> list[str]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    query = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == dag_run.dag_id,
        TaskInstance.run_id == dag_run.run_id,
        TaskInstance.state == TaskInstanceState.FAILED,
    )
    with create_session(scoped=False) as session:
        return list(session.scalars(query))


class RunNotesPlugin(AirflowPlugin):
    name = "run_notes"
    listeners: list[object] = [RunNotes()]  # noqa: RUF012 - as Airflow declares it

"""Writes the notes of runs: how a rollover or a roster import stands, while it goes on or waits and when it has ended.

Airflow's tasks cannot write a note. So it is written

* in the scheduler, when a run begins or ends, in the transaction in which Airflow stores the run's state, and
* in the API server, when a task has reported that it is done or waits: see `NotesWhileRunning`.

What a note says is read from the ledger. At the end of the nightly `roster_sync` the scheduler also records whether the
DAG of each tenant is switched on. Nothing that goes wrong here can harm a run.
"""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from rollover.season.run_note import has_note, with_note
from rollover.tenant import IMPORT_DAG

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

NIGHTLY_DAG = "roster_sync"
REPORTED = re.compile(r"/execution/task-instances/([0-9a-f-]{36})/state$")
"""The path on which a task reports its state to the API server."""
MOST_AT_ONCE = 50
"""Notes that wait to be written; what is more is left to the next task."""


class RunNotes:
    """Airflow calls it for every run of every DAG; those of other DAGs cost a comparison of their id."""

    @hookimpl
    def on_dag_run_running(self, dag_run: DagRun, msg: str) -> None:
        if dag_run.dag_id == IMPORT_DAG:  # its id does not say which district it is about
            write_note(dag_run, has_ended=False)

    @hookimpl
    def on_dag_run_success(self, dag_run: DagRun, msg: str) -> None:
        write_note(dag_run)
        after_the_night(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        write_note(dag_run)
        after_the_night(dag_run)


def write_note(dag_run: DagRun, *, has_ended: bool = True) -> None:
    """Set the note of a run that begins or has ended, in the caller's transaction. Never raises."""
    if not has_note(dag_run.dag_id):
        return
    try:
        from sqlalchemy.orm import object_session

        from rollover.adapter.noting import in_own_thread

        session = object_session(dag_run)
        if session is None:
            return
        dag_id, run_id, key = dag_run.dag_id, dag_run.run_id, dag_run.partition_key
        text = in_own_thread(lambda: _text(dag_id, run_id, key, has_ended=has_ended))
        with session.no_autoflush:  # the scheduler decides when its changes are written
            _set(dag_run, text)
    except Exception as error:  # its text may quote a value
        log.warning("no note for the run %s of %s: %s", dag_run.run_id, dag_run.dag_id, type(error).__name__)


def write_note_of_task(task_instance_id: UUID) -> None:
    """Set the note of the run of a task, if the run is still under way. Never raises.

    The run's row is locked while its note is written, and the scheduler leaves a locked run for the next round: two who
    wrote the first note of a run at the same time would be an error for one of them.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    try:
        with create_session(scoped=False) as session:
            task = session.get(TaskInstance, task_instance_id)
            if task is None or not has_note(task.dag_id):
                return
            dag_id, run_id, key = task.dag_id, task.run_id, task.dag_run.partition_key
        text = _text(dag_id, run_id, key, has_ended=False)
        with create_session(scoped=False) as session:
            _do_not_wait_long(session)
            this = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            run = session.scalars(this.with_for_update(of=DagRun)).one()
            if run.state == DagRunState.RUNNING:
                _set(run, text)
    except Exception as error:  # its text may quote a value
        log.warning("no note after the task %s: %s", task_instance_id, type(error).__name__)


def _do_not_wait_long(session: Session) -> None:
    from sqlalchemy import text

    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL lock_timeout = '5s'"))


def _set(dag_run: DagRun, text: str | None) -> None:
    note = text and with_note(text, dag_run.note)
    if note and note != dag_run.note:
        dag_run.note = note


def _text(dag_id: str, run_id: str, partition_key: str | None, *, has_ended: bool) -> str | None:
    """What the note of a run says. Reads Airflow's database in a session of its own."""
    from rollover.adapter.noting import RunOf, text_of

    failed = _failed(dag_id, run_id) if has_ended else []
    imports = _import_ids(dag_id, run_id) if dag_id == IMPORT_DAG else []
    return text_of(RunOf(dag_id, partition_key or "", imports, failed, has_ended))


def _import_ids(dag_id: str, run_id: str) -> list[str]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from rollover.adapter.importing import IMPORTS

    query = select(XComModel).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.key == IMPORTS,
    )
    with create_session(scoped=False) as session:
        found = session.scalars(query).one_or_none()
        return list(XComModel.deserialize_value(found)) if found else []


def _failed(dag_id: str, run_id: str) -> list[str]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    query = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.state == TaskInstanceState.FAILED,
    )
    with create_session(scoped=False) as session:
        return list(session.scalars(query))


def after_the_night(dag_run: DagRun) -> None:
    """Record which tenants' DAGs are switched on, at the end of a run of `roster_sync`. Never raises."""
    if dag_run.dag_id != NIGHTLY_DAG:
        return
    try:
        from rollover.adapter.noting import in_own_thread

        in_own_thread(record_dag_states)
    except Exception as error:
        log.warning("which DAGs are switched on was not recorded: %s", type(error).__name__)


def record_dag_states() -> None:
    """Record in the ledger whether Airflow has each tenant's DAG, and whether it is switched on."""
    from airflow.utils.session import create_session

    from rollover.adapter import noting, runs
    from rollover.season import readiness

    tenants = runs.catalog().tenants
    with create_session(scoped=False) as session:
        paused = readiness.paused_dags(session.connection(), [tenant.dag_id for tenant in tenants])
    noting.record_dag_states(tenants, paused)


class NotesWhileRunning:
    """Middleware of the API server: after a task has reported its state, the note of its run is written.

    The task does not wait for it. A note that is not written because the database does not answer is no loss: the next
    task's report, and the end of the run, write it again.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="run-notes")
        self.waiting: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reported = REPORTED.search(scope["path"]) if scope["type"] == "http" and scope["method"] == "PATCH" else None
        if reported is None:
            await self.app(scope, receive, send)
            return
        status = 0

        async def note_status(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self.app(scope, receive, note_status)
        if 200 <= status < 300 and len(self.waiting) < MOST_AT_ONCE:
            work = asyncio.get_running_loop().run_in_executor(self.pool, write_note_of_task, UUID(reported.group(1)))
            self.waiting.add(work)
            work.add_done_callback(self.waiting.discard)


class RunNotesPlugin(AirflowPlugin):
    name = "run_notes"
    listeners: list[object] = [RunNotes()]  # noqa: RUF012 - as Airflow declares it
    fastapi_root_middlewares = [  # noqa: RUF012
        {"name": "Notes of runs", "middleware": NotesWhileRunning, "args": [], "kwargs": {}}
    ]

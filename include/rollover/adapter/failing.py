"""Records in the ledger that a task about one tenant failed, and logs that a run failed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rollover.adapter import connections
from rollover.calendar import SchoolYear
from rollover.database.session import tenant_session
from rollover.ledger import failures
from rollover.roster.imports import queue
from rollover.tenant import IMPORT_DAG, ROLLOVER_DAGS, SEPARATOR, Tenant, rollover_id

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

IMPORT_DROPS = "import_drops"
"""The task of `roster_import` that works on a tenant's imports, oldest first. It returns those that are left, and each
is one index of the mapped tasks."""
AT_WORK = "at_work"
"""The key under which it says in XCom which import it works on now: if its process is killed, nobody else knows."""
EXPIRY_DAG = "archive_expiry"
DUE = "due"
"""The task of `archive_expiry` whose result lists the rollovers; each is one index of the mapped tasks."""

_where: tuple[BaseException, str] | None = None
"""The last error in a part of a task, and the part. A task runs in a process of its own."""


@contextmanager
def at(part: str) -> Iterator[None]:
    """Within it a task takes a step, or a stage of an import. A failure is recorded as one of that part."""
    global _where
    try:
        yield
    except Exception as error:
        _where = (error, part)
        raise


def _part_of(error: object) -> str | None:
    return _where[1] if _where is not None and _where[0] is error else None


@dataclass(frozen=True)
class About:
    """What a failed task was about; no id if it was about the tenant's imports, and had not begun with one."""

    tenant: Tenant
    rollover_id: str | None = None
    import_id: str | None = None


def on_task_failure(context: Context) -> None:
    """Record that a task has failed for good. Airflow calls it in the worker; for a killed task in the DAG processor,
    without an exception."""
    record(context)


def on_failure(context: Context) -> None:
    """Log that a run failed and how to go on. Names ids only: an exception's text stays in the task's own log.

    Airflow reports a killed task only sometimes, so a failure that no task recorded is recorded here.
    """
    if (run := context.get("dag_run")) is None:
        return
    log.error(
        "%s failed in its run %s. Steps that are done are not repeated; a pause of the roster sync stays too. "
        "Read the log of the failed task, fix what it says, and clear that task: the run goes on from there.",
        run.dag_id,
        run.run_id,
    )
    record(context, unless_recorded=True)


def record(context: Context, *, unless_recorded: bool = False) -> None:
    """Record the failure of the context's task. Never raises: the task's own failure is what counts."""
    try:
        about, error = about_of(context), context.get("exception")
        if about is None:
            return
        task, run = context["ti"], context["dag_run"]
        engine = connections.engine()
        if task.task_id == IMPORT_DROPS:
            pending = queue.pending(engine, about.tenant.id)
            if about.import_id not in pending:  # it had not begun with one, or that one is finished
                about = replace(about, import_id=next(iter(pending), None))
            if about.import_id is None:
                return
        step = _part_of(error) or task.task_id
        where = failures.Failed(step=step, run_id=run.run_id, rollover_id=about.rollover_id, import_id=about.import_id)
        with tenant_session(engine, about.tenant.id) as connection:
            if unless_recorded and failures.is_recorded(connection, run.run_id, run.start_date):
                return
            known = error if isinstance(error, BaseException) else None
            failures.record(connection, about.tenant.id, where, known)
    except Exception as problem:  # its text may quote a value
        log.warning("the failure is not in the ledger: %s", type(problem).__name__)


def about_of(context: Context) -> About | None:
    """What the context's task is about; None for a task that is not about one rollover or one import."""
    run, task = context.get("dag_run"), context.get("ti")
    if run is None or task is None:
        return None
    key = run.partition_key or ""
    if run.dag_id.startswith(ROLLOVER_DAGS):
        tenant = Tenant.parse(run.dag_id.removeprefix(ROLLOVER_DAGS))
        return About(tenant, rollover_id=rollover_id(tenant.id, SchoolYear.parse(key).key))
    if run.dag_id == IMPORT_DAG and task.task_id == IMPORT_DROPS:
        return About(Tenant.parse(key), import_id=task.xcom_pull(task_ids=IMPORT_DROPS, key=AT_WORK))
    if run.dag_id == IMPORT_DAG and task.map_index is not None and task.map_index >= 0:
        found = task.xcom_pull(task_ids=IMPORT_DROPS)[task.map_index]
        return About(Tenant.parse(found.rpartition(SEPARATOR)[0]), import_id=found)
    if run.dag_id == EXPIRY_DAG and task.map_index is not None and task.map_index >= 0:
        found = task.xcom_pull(task_ids=DUE)[task.map_index]
        return About(Tenant.parse(found.rpartition(SEPARATOR)[0]), rollover_id=found)
    return None

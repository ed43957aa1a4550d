"""Makes the notes of DAG runs, in Airflow's scheduler and API server. What they say comes from the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, text

from rollover.adapter import connections, runs
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.season import dag_states, run_note
from rollover.season.read import read_tenant
from rollover.season.state import TenantState
from rollover.tenant import ROLLOVER_DAGS, Tenant

PATIENCE = 5
"""Seconds to connect, and seconds for a statement: a note is not worth a wait."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunOf:
    """What Airflow knows of a run that gets a note."""

    dag_id: str
    partition_key: str
    import_ids: Sequence[str] = ()
    """Of a run of `roster_import`: those that its task `import_drops` works on."""
    failed: Sequence[str] = ()
    """The tasks that failed, once the run has ended."""
    has_ended: bool = True


def text_of(run: RunOf) -> str | None:
    """What the note of a run says; None if the ledger has nothing about it."""
    is_rollover = run.dag_id.startswith(ROLLOVER_DAGS)
    tenant = Tenant.parse(run.dag_id.removeprefix(ROLLOVER_DAGS) if is_rollover else run.partition_key)
    known = runs.catalog(only=tenant.district)
    with tenant_session(connections.engine(patience=PATIENCE), tenant.id) as connection:
        connection.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}s'"))
        if is_rollover:
            found = _state(connection, known, run.partition_key)
            if found is None:
                return None
            return run_note.of_rollover(found, run_note.read_verified(connection, found), run.failed)
        found = _state(connection, known, None)
        if found is None:
            return None
        imports = run_note.read_imports(connection, run.import_ids)
        return run_note.of_imports(found, imports, run.failed, has_ended=run.has_ended)


def _state(connection: Connection, known: Catalog, school_year: str | None) -> TenantState | None:
    """The state of the session's tenant in a year; without one, in the current year."""
    for state in read_tenant(connection, known, runs.clock()):
        if state.school_year == (school_year or state.facts.current_school_year):
            return state
    return None


def in_own_thread(work: Callable[[], Result]) -> Result:
    """Do `work` in a thread, and wait a limited time for it.

    Airflow reads a connection in the session of the thread, which must not be the scheduler's: it would be committed
    and closed. Raises TimeoutError; the thread then ends by itself.
    """
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="run-notes")
    try:
        return pool.submit(work).result(timeout=2 * PATIENCE)
    finally:
        pool.shutdown(wait=False)


def record_dag_states(tenants: Iterable[Tenant], paused: Mapping[str, bool]) -> None:
    """Record which tenants' DAGs are switched on; `paused` has the DAGs that Airflow has."""
    engine = connections.engine(patience=PATIENCE)
    dag_states.record_dag_states(engine, dag_states.states_of(tenants, paused), runs.clock())

"""Opens the night that a nightly task works on."""

from __future__ import annotations

from airflow.sdk import get_current_context

from rollover.adapter import connections, runs
from rollover.nightly.tonight import Night
from rollover.settings import Settings


def tonight() -> Night:
    """The argument of every nightly task."""
    run = get_current_context()["dag_run"]
    return Night(
        engine=connections.engine(),
        known=runs.catalog(),
        storage=Settings().storage_root,
        outbox_of=connections.outbox_of,
        now=runs.clock(),
        day=run.run_after.date(),
    )

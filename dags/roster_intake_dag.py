"""
### Finds what districts drop on SFTP

Watches the folder of every tenant. When files have settled (a done marker, or nothing changed for
`ROLLOVER_SETTLE_SECONDS`), it writes the drop to the ledger and wakes the tenant: `roster_import` runs for it. Then the
next run begins to watch. One run per batch of drops, none while nothing arrives.

**Guarantees.** A drop is recorded once, whatever is killed when: it is known by its files' names, sizes and times. A
district whose server does not answer keeps nobody else waiting.

**Not guaranteed.** That the wake-up arrives: Airflow can lose an event in a burst, and `roster_import` may be paused.
The nightly sync (`roster_sync`) wakes every tenant with an unfinished import.

**When it fails.** `record` writes all or nothing per tenant; clear it. While `wait` is deferred, the log of that task
says which servers or folders cannot be read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, ROSTER_DROPS, Tag

from rollover.adapter import connections, failing, waiting


@task(outlets=[ROSTER_DROPS])
def record(found: list[dict[str, Any]], *, outlet_events: Any = None) -> list[str]:
    """Write settled drops to the ledger, and wake their tenants."""
    from rollover.roster.intake.watch import Found, record_all

    woken = record_all(connections.engine(), map(Found.from_json, found))
    if not woken:
        raise AirflowSkipException("every drop was recorded before")
    outlet_events[ROSTER_DROPS].add_partitions(woken)
    return woken


@dag(
    dag_id="roster_intake",
    dag_display_name="Roster intake of all districts",
    description="Finds settled drops on SFTP, records them and wakes their tenants",
    doc_md=__doc__,
    schedule="@continuous",
    # In the past: without a start date the second run would get the first one's logical date, and never start.
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    on_failure_callback=failing.on_failure,
    tags=[Tag.ROSTER],
)
def roster_intake() -> None:
    # A trigger that fires before the scheduler knows that the task waits fails the try; to look again costs nothing.
    record(waiting.WaitForDrops(task_id="wait", retries=20).output)


roster_intake()

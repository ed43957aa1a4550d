"""
### The nightly roster sync

Wakes every tenant whose ledger lists an import that is not at its end: what waits for the night because the
district wants it so, and what a lost event or a failure left behind. `roster_import` then runs for each. And it
removes the files of sets that are done with: what is to be known of them is in the ledger.

**Guarantees.** It imports nothing itself, and a paused tenant's drops stay where they are: only the rollover that
paused them, or a person, lets them in. Without anything to do it skips, and wakes nobody.

**Schedule.** `ROLLOVER_ROSTER_SYNC_SCHEDULE`, a cron expression in UTC.

**When it fails.** Clear the task, or trigger the DAG: to wake a tenant twice does no harm.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, ROSTER_DROPS, Tag

from rollover import adapter
from rollover.settings import Settings


@dag(
    dag_id="roster_sync",
    description="Wakes every tenant with a roster to import, once a night",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(Settings().roster_sync_schedule, timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    on_failure_callback=adapter.on_failure,
    tags=[Tag.ROSTER],
)
def roster_sync() -> None:
    @task(outlets=[ROSTER_DROPS])
    def wake(*, outlet_events: Any = None) -> list[str]:
        from rollover.roster.pending import tenants_with_work

        woken = tenants_with_work(adapter.engine(), [tenant.id for tenant in adapter.catalog().tenants])
        if not woken:
            raise AirflowSkipException("no tenant has a roster to import")
        outlet_events[ROSTER_DROPS].add_partitions(woken)
        outlet_events[ROSTER_DROPS].extra = {adapter.NIGHTLY: True}
        return woken

    @task
    def tidy() -> int:
        from rollover.roster.tidy import tidy

        storage, tenants = Settings().storage_root, adapter.catalog().tenants
        return sum(tidy(adapter.engine(), tenant.id, storage) for tenant in tenants)

    wake()
    tidy()


roster_sync()

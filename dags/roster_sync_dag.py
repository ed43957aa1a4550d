"""
### The nightly roster sync

`due` asks the ledger, in one query over all tenants, what there is to do tonight, and starts only the tasks that have
something to do. They open only the tenants concerned, each server's over one connection, four servers at once.

* `wake` wakes every tenant with an unfinished import: one that waits for the night, or that a lost event or a failure
  left behind. `roster_import` then runs for each.
* `tidy` removes the files of finished sets, rows and import reports older than `grace_days`, and exports older than
  `exports_kept_days`.
* `report` writes the report of an import again that was decided about or undone on the command line.
* `stray_files` compares folders and ledger, and fails with the names of files that are unknown or missing. It looks at
  a tenant if a file of it was recorded or removed since the last look, if the last look found a difference, and else
  once in seven nights: which night follows from the tenant's id and the day of the run.
* `overdue_pauses` fails every night while a pause of the sync is longer than allowed (`pause_max_days`).

When the run ends, the scheduler records which tenants' DAGs are switched off.

**Guarantees.** It imports nothing itself, and a paused tenant's drops stay where they are: only the rollover that
paused them, or a person, lets them in. A tenant or a server that fails holds up no other: the task fails at the end,
and names them. Schedule: `ROLLOVER_ROSTER_SYNC_SCHEDULE`, a cron expression in UTC.

**When it fails.** Clear the task, or trigger the DAG: it does what is due then, and to wake a tenant twice does no
harm. `overdue_pauses` names the tenants, since when and who paused them, and how to go on.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, ROSTER_DROPS, Pool, Tag

from rollover.adapter import connections, failing, importing, nights, runs
from rollover.settings import Settings


@task.branch
def due() -> list[str]:
    """Name the tasks that have something to do; the others are skipped."""
    from rollover.nightly.tonight import tasks_due

    return tasks_due(nights.tonight())


@task(outlets=[ROSTER_DROPS])
def wake(*, outlet_events: Any = None) -> list[str]:
    """Wake every tenant with an unfinished import."""
    from rollover.nightly.rounds import tenants_to_wake

    if not (woken := tenants_to_wake(nights.tonight())):
        raise AirflowSkipException("no tenant has a roster to import")
    outlet_events[ROSTER_DROPS].add_partitions(woken)
    outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: True}
    return woken


@task
def tidy() -> dict[str, Any]:
    """Remove the files and rows of finished imports, exports and import reports that are kept no longer."""
    from rollover.nightly.rounds import tidy_up

    return tidy_up(nights.tonight())


@task
def report() -> list[str]:
    """Write the reports again that describe another state than the ledger."""
    from rollover.nightly.rounds import report_again

    return report_again(nights.tonight())


@task
def stray_files() -> None:
    """Compare folders and ledger, both ways."""
    from rollover.nightly.rounds import check_files

    check_files(nights.tonight())


@task
def overdue_pauses() -> None:
    """Fail if a pause of the sync is longer than allowed."""
    from rollover.season.overdue import refuse_overdue_pauses

    refuse_overdue_pauses(connections.engine(), runs.catalog(), runs.clock())


@dag(
    dag_id="roster_sync",
    dag_display_name="Nightly roster sync of all districts",
    description="Wakes every tenant with a roster to import, once a night",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(Settings().roster_sync_schedule, timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "pool": Pool.NIGHTLY},
    on_failure_callback=failing.on_failure,
    tags=[Tag.ROSTER],
)
def roster_sync() -> None:
    due() >> [wake(), tidy(), report(), stray_files(), overdue_pauses()]


roster_sync()

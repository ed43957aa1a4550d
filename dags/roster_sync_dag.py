"""
### The nightly roster sync

Wakes every tenant with an unfinished import: one that waits for the night, or that a lost event or a failure left
behind. `roster_import` then runs for each. It removes the files of finished sets, rows and import reports older than
`grace_days`, and exports older than `exports_kept_days`. An import that was decided about or undone on the command line
has its report written again. A pause of the sync longer than allowed (`pause_max_days`) fails `overdue_pauses`, every
night. `stray_files` compares folders and ledger, and fails with the names of files that are unknown or missing. When
the run ends, the scheduler records which tenants' DAGs are switched off.

**Guarantees.** It imports nothing itself, and a paused tenant's drops stay where they are: only the rollover that
paused them, or a person, lets them in. Schedule: `ROLLOVER_ROSTER_SYNC_SCHEDULE`, a cron expression in UTC.

**When it fails.** Clear the task, or trigger the DAG: to wake a tenant twice does no harm. `overdue_pauses` names the
tenants, since when and who paused them, and how to go on.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, ROSTER_DROPS, Tag

from rollover.adapter import connections, failing, importing, runs
from rollover.settings import Settings


@task(outlets=[ROSTER_DROPS])
def wake(*, outlet_events: Any = None) -> list[str]:
    """Wake every tenant with an unfinished import."""
    from rollover.roster.imports.queue import tenants_with_work

    if not (woken := tenants_with_work(connections.engine(), [tenant.id for tenant in runs.catalog().tenants])):
        raise AirflowSkipException("no tenant has a roster to import")
    outlet_events[ROSTER_DROPS].add_partitions(woken)
    outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: True}
    return woken


@task
def tidy() -> dict[str, Any]:
    """Remove the files of finished imports, and rows older than `grace_days`."""
    from rollover.roster.applying.tidy import tidy

    gone, now = {}, runs.clock()
    for work in importing.every_tenant():
        days = work.product.grace_days_of(work.config)
        gone[work.tenant.id] = tidy(work.engine, work.tenant.id, work.storage, grace_days=days, now=now)
    return {tenant_id: tidied.as_json() for tenant_id, tidied in gone.items() if not tidied.is_nothing}


@task
def expired_exports() -> dict[str, int]:
    """Remove exports and import reports that are kept no longer."""
    from rollover.exports.keep import remove_expired
    from rollover.roster.reporting.keep import remove_old_reports

    gone, now = {}, runs.clock()
    for work in importing.every_tenant():
        days, report_days = work.product.exports_kept_days_of(work.config), work.product.grace_days_of(work.config)
        tenant_id = work.tenant.id
        with connections.outbox_of(work.district) as outbox:
            gone[tenant_id] = remove_expired(work.engine, tenant_id, kept_days=days, now=now, remove=outbox.remove)
            remove_old_reports(work.engine, tenant_id, kept_days=report_days, now=now, remove=outbox.remove)
    return {tenant_id: files for tenant_id, files in gone.items() if files}


@task
def stray_files() -> None:
    """Compare folders and ledger, both ways."""
    from rollover.database.session import tenant_session
    from rollover.yearend.stray_files import refuse_strays, strays

    found = {}
    for work in importing.every_tenant():
        with connections.outbox_of(work.district) as outbox, tenant_session(work.engine, work.tenant.id) as connection:
            found[work.tenant.id] = strays(connection, work.tenant, work.storage, work.config.outbox, outbox)
    refuse_strays(found)


@task
def outdated_reports() -> list[str]:
    """List the imports whose report describes another state than the ledger."""
    from rollover.roster.reporting.report import outdated

    return outdated(connections.engine(), [tenant.id for tenant in runs.catalog().tenants])


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
    default_args=DEFAULT_ARGS,
    on_failure_callback=failing.on_failure,
    tags=[Tag.ROSTER],
)
def roster_sync() -> None:
    wake()
    tidy()
    expired_exports() >> stray_files()
    task(task_id="report")(importing.report_to_district).expand(import_id=outdated_reports())
    overdue_pauses()


roster_sync()

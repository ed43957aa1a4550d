"""
### The nightly roster sync

Wakes every tenant with an import that is not at its end: what waits for the night, and what a lost event or a failure
left behind. `roster_import` then runs for each. It removes the files of sets that are done with, rows and import
reports whose time is over (`grace_days`), and exports whose time is over (`exports_kept_days`). An import that was
decided about or undone on the command line has its report written again. A pause of the sync that is longer than
allowed (`pause_max_days`) fails `overdue_pauses`, every night again. `stray_files` compares folders and ledger, both
ways, and fails with the names of files that nobody knows or that are missing.

**Guarantees.** It imports nothing itself, and a paused tenant's drops stay where they are: only the rollover that
paused them, or a person, lets them in. Without anything to do it skips, and wakes nobody.

**Schedule.** `ROLLOVER_ROSTER_SYNC_SCHEDULE`, a cron expression in UTC.

**When it fails.** Clear the task, or trigger the DAG: to wake a tenant twice does no harm. `overdue_pauses` names the
tenants, since when and who paused them, and how to go on; the other tasks do not wait for it.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, ROSTER_DROPS, Tag, tell_district

from rollover.adapter import connections, failing, importing, runs
from rollover.settings import Settings


@dag(
    dag_id="roster_sync",
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
    @task(outlets=[ROSTER_DROPS])
    def wake(*, outlet_events: Any = None) -> list[str]:
        from rollover.roster.pending import tenants_with_work

        woken = tenants_with_work(connections.engine(), [tenant.id for tenant in runs.catalog().tenants])
        if not woken:
            raise AirflowSkipException("no tenant has a roster to import")
        outlet_events[ROSTER_DROPS].add_partitions(woken)
        outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: True}
        return woken

    @task
    def tidy() -> dict[str, Any]:
        from rollover.roster.applying.tidy import tidy

        known, storage, now = runs.catalog(), Settings().storage_root, runs.clock()
        gone = {}
        for tenant in known.tenants:
            config = known.districts[tenant.district].uses(tenant.product)
            days = known.products[tenant.product].grace_days_of(config)
            gone[tenant.id] = tidy(connections.engine(), tenant.id, storage, grace_days=days, now=now)
        return {tenant_id: counts for tenant_id, counts in gone.items() if any(counts.values())}

    @task
    def expired_exports() -> dict[str, int]:
        from rollover.exports.keep import remove_expired
        from rollover.roster.reporting.keep import remove_old_reports

        known, engine, now = runs.catalog(), connections.engine(), runs.clock()
        gone = {}
        for tenant in known.tenants:
            district = known.districts[tenant.district]
            product, config = known.products[tenant.product], district.uses(tenant.product)
            days, report_days = product.exports_kept_days_of(config), product.grace_days_of(config)
            with connections.outbox_of(district) as outbox:
                gone[tenant.id] = remove_expired(engine, tenant.id, kept_days=days, now=now, remove=outbox.remove)
                remove_old_reports(engine, tenant.id, kept_days=report_days, now=now, remove=outbox.remove)
        return {tenant_id: files for tenant_id, files in gone.items() if files}

    @task
    def stray_files() -> None:
        from rollover.database.session import tenant_session
        from rollover.yearend import stray_files

        known, engine, storage = runs.catalog(), connections.engine(), Settings().storage_root
        found = {}
        for tenant in known.tenants:
            district = known.districts[tenant.district]
            with connections.outbox_of(district) as outbox, tenant_session(engine, tenant.id) as connection:
                folder = district.uses(tenant.product).outbox
                found[tenant.id] = stray_files.strays(connection, tenant, storage, folder, outbox)
        stray_files.refuse_strays(found)

    @task
    def outdated_reports() -> list[str]:
        from rollover.roster.reporting.report import outdated

        return outdated(connections.engine(), [tenant.id for tenant in runs.catalog().tenants])

    @task
    def report(import_id: str) -> dict[str, Any]:
        return tell_district(import_id)

    @task
    def overdue_pauses() -> None:
        from rollover.ledger import pause

        pause.refuse_overdue(connections.engine(), runs.catalog(), runs.clock())

    wake()
    tidy()
    expired_exports() >> stray_files()
    report.expand(import_id=outdated_reports())
    overdue_pauses()


roster_sync()

"""
### Imports what a tenant's ledger lists

One run per tenant that was woken; its partition key is the tenant (`hero__springfield-il`). `import_drops` asks the
ledger what there is to import, and takes each import from the files on SFTP to the live roster, oldest first: fetch,
stage, validate, compare, apply. Most runs are this one task. An import that it could not finish gets tasks of its own:

| Task | |
|---|---|
| `unfinished.go_on` | tries again what failed |
| `unfinished.ask` | `compare` found a limit exceeded, the roster is in review: a person is asked |
| `unfinished.decide` | records the answer, applies the set, reports to the district |
| `unfinished.wake` | starts the tenant's next run if a newer import waited for this one |

**Guarantees.** The event that started the run is only a wake-up: the ledger says what to import, so a lost or duplicate
event does no harm. A set is applied whole or not at all. While a rollover has paused the sync, a drop is checked at
once and kept: the rollover applies it. A tenant that imports nightly has its drops checked at once too; the nightly
sync (`roster_sync`) applies them.

**Deltas.** A set with a delta waits before `validate` until every older import is finished; the log says which.

**Review.** Browse → Required Actions shows the numbers, and what each answer does. A question stays open for 20 hours;
without an answer nothing is decided, and the next nightly sync asks again. An answer counts for the numbers that were
shown; the reason that you may give is kept as evidence. A newer drop within its limits replaces it. On the command
line: `rollover roster in-review` and `rollover roster decide`.

**By hand.** Trigger with a tenant as partition key: the run applies whatever is ready, nightly or not, and asks. A run
without a tenant is refused.

**Rejected.** A rejected set is the district's answer and no failure: the run ends as a success, the reason is in its
note and log, and every finding (file, row, rule) in `ledger.findings` and in the district's outbox. The remedy is a
corrected drop by the district.

**When it fails.** Clear the failed task: what was done is not done again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, chain, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, DISPLAY_NAMES, ROSTER_DROPS, Pool, Tag

from rollover.adapter import asking, connections, failing, importing, runs
from rollover.roster.imports import queue
from tenant_timetable import TenantTimetable


@task(task_display_name=DISPLAY_NAMES["import_drops"])
def import_drops(partition_key: str | None = None) -> list[str]:
    """Import what the tenant's ledger lists; return the imports that are left to the tasks below."""
    tenant, context = runs.tenant_of(partition_key), get_current_context()
    pending, this = queue.pending(connections.engine(), tenant.id), context["ti"]
    this.xcom_push(importing.IMPORTS, pending)
    return importing.import_drops(
        pending, by_run=context["run_id"], begin=lambda each: this.xcom_push(failing.AT_WORK, each)
    )


@task(task_display_name=DISPLAY_NAMES["go_on"])
def go_on(import_id: str) -> str:
    """Try again what failed; for a set in review it does nothing. Returns the import's state."""
    return importing.import_drop(import_id).state.value


@task(task_display_name=DISPLAY_NAMES["decide"])
def decide(import_id: str, answer: dict[str, str]) -> dict[str, Any]:
    """Do what a person answered, and import the set if it is ready now."""
    return importing.decide(import_id, answer)


@task(outlets=[ROSTER_DROPS], task_display_name=DISPLAY_NAMES["wake"])
def wake(import_id: str, *, outlet_events: Any = None) -> None:
    """Start the tenant's next run if another import waited for this one."""
    work = runs.open_import(import_id)
    if not queue.lets_another_go_on(work.engine, work.tenant.id, import_id):
        raise AirflowSkipException(f"nothing waits for {import_id}")
    outlet_events[ROSTER_DROPS].add_partitions([work.tenant.id])
    outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: importing.is_due(work)}


@task_group(group_id="unfinished")
def unfinished(import_id: str) -> None:
    """One import that needs a person, or that failed."""
    tried, woken = go_on(import_id), wake(import_id)
    # Asked also if the district's server does not take the report: that one's failure ends the run as failed.
    ask = asking.AskAboutImport(
        task_id="ask",
        import_id=import_id,
        task_display_name=DISPLAY_NAMES["ask"],
        trigger_rule=TriggerRule.ALL_DONE,
    )
    chain(tried, ask, decide(import_id, ask.output), woken)
    chain(tried, woken)


@dag(
    dag_id="roster_import",
    dag_display_name="Roster imports of all districts",
    description="Takes a tenant's drops from SFTP to the live roster",
    doc_md=__doc__,
    schedule=TenantTimetable(assets=ROSTER_DROPS),
    catchup=False,
    max_active_runs=1000,  # a run may wait for a person; how many imports are worked on at once is the pool's to say
    default_args={**DEFAULT_ARGS, "pool": Pool.ROSTER_IMPORTS},
    on_failure_callback=failing.on_failure,
    tags=[Tag.ROSTER],
)
def roster_import() -> None:
    unfinished.expand(import_id=import_drops())


roster_import()

"""
### Imports what a tenant's ledger lists

One run per tenant that was woken; its partition key is the tenant (`hero__springfield-il`). The run asks the ledger
what there is to import, and takes each import from the files on SFTP to the live roster: fetch, stage, validate,
compare, apply. If `compare` finds a limit exceeded, the roster is in review: a person is asked (`ask`), and `decide`
records the answer.

**Guarantees.** The event that started the run is only a wake-up: the ledger says what to import, so a lost or duplicate
event does no harm. A set is applied whole or not at all. While a rollover has paused the sync, a drop is checked at
once and kept: the rollover applies it. A tenant that imports nightly has its drops checked at once too; the nightly
sync (`roster_sync`) applies them.

**Deltas.** A set with a delta waits at `validate` until every older import is finished; the skipped task says which.
Then `wake` starts the tenant's next run.

**Review.** Browse → Required Actions shows the numbers, and what each answer does. A question stays open for 20 hours;
without an answer nothing is decided, and the next nightly sync asks again. An answer counts for the numbers that were
shown; the reason that you may give is kept as evidence. A newer drop within its limits replaces it. On the command
line: `rollover roster in-review` and `rollover roster decide`.

**By hand.** Trigger with a tenant as partition key: the run applies whatever is ready, nightly or not, and asks. A run
without a tenant is refused.

**Skipped tasks.** A rejected set skips what follows, with the reason in the log and every finding (file, row, rule) in
`ledger.findings`. The remedy is a corrected drop by the district. `ask` and `decide` are skipped if nothing is in
review.

**When it fails.** Clear the failed task: a step that was done does nothing when it is run again.
"""

from __future__ import annotations

from airflow.sdk import dag, task
from import_group import import_roster
from wiring import DEFAULT_ARGS, DISPLAY_NAMES, ROSTER_DROPS, Tag

from rollover.adapter import connections, failing, importing
from tenant_timetable import TenantTimetable


@task(task_display_name=DISPLAY_NAMES["pending"])
def pending(partition_key: str | None = None) -> list[str]:
    """List the tenant's imports that are not finished, oldest first."""
    from rollover.roster.imports import queue

    return queue.pending(connections.engine(), importing.tenant_of(partition_key).id)


@dag(
    dag_id="roster_import",
    dag_display_name="Roster imports of all districts",
    description="Takes a tenant's drops from SFTP to the live roster",
    doc_md=__doc__,
    schedule=TenantTimetable(assets=ROSTER_DROPS),
    catchup=False,
    max_active_runs=1000,  # a run may wait for a person; how many imports are worked on at once is in import_group
    default_args=DEFAULT_ARGS,
    on_failure_callback=failing.on_failure,
    tags=[Tag.ROSTER],
)
def roster_import() -> None:
    import_roster.expand(import_id=pending())


roster_import()

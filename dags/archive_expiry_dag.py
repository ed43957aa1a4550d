"""
### Asks about archived years whose time is over

Looks every day for archived years that are kept longer than the rule says (`archive_kept_years` of the product or the
district file, from the year's reset date). For each of them it freezes what would go, and asks a person. Approved, the
files of the year are erased from storage, a listing shows that none is left, and evidence and a signed certificate say
so.

**Guarantees.** Nothing goes that is not in the plan that was shown. While a legal hold or an open inspection request
may concern the year, while rows of it are live, or its rollover is not certified, it stays, and the log of `due` says
so. If anything changes between the approval and the erasure (a hold, the rule, a file), `erase` stops, and the next run
asks again. Every task can be killed and run again.

**Not guaranteed.** Older versions, snapshots and backups of the storage are outside its reach. Where the archive is
encrypted, `rollover archive destroy-key` reaches them.

**A question** stays open for 20 hours; without an answer nothing happens, and the next day's run asks again. No year
waits for another's answer. To end the asking, change `archive_kept_years`, or set a hold.

**Schedule.** `ROLLOVER_ARCHIVE_EXPIRY_SCHEDULE`, a cron expression in UTC. A day without such a year is one short task.

**When it fails.** Read the log of the failed task: it says why. Another year's tasks are not touched by it. Clear the
task, or wait for the next run: it finds what is still due.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DEFAULT_ARGS, DISPLAY_NAMES, Pool, Tag

from rollover.adapter import asking, connections, failing, runs
from rollover.roster.review.answers import Answer
from rollover.settings import Settings


@dag(
    dag_id="archive_expiry",
    dag_display_name="Archived years past their retention",
    description="Asks about archived years whose time is over, and erases what is approved",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(Settings().archive_expiry_schedule, timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "pool": Pool.NIGHTLY},
    on_failure_callback=failing.on_failure,
    tags=[Tag.ARCHIVE],
)
def archive_expiry() -> None:
    @task
    def due() -> list[str]:
        from rollover.disposal.retention import due

        return due(connections.engine(), runs.catalog(), Settings().storage_root, runs.clock())

    @task(task_display_name="erase: delete the archived year")
    def erase(year: str, answer: dict[str, str]) -> dict[str, Any]:
        from rollover.disposal import expiry

        if answer["answer"] != Answer.APPROVE:
            raise AirflowSkipException(f"nobody approved that {year} is erased: the next run asks again")
        return expiry.erase(runs.open_rollover(year), answer["digest"], answer["by"])

    @task_group
    def expire(year: str) -> None:
        ask = asking.AskAboutExpiry(task_id="ask", year=year, task_display_name=DISPLAY_NAMES["ask"])
        erase(year, ask.output)

    expire.expand(year=due())


archive_expiry()

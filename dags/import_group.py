"""The tasks that import a roster, for the DAG that imports what districts drop and for the rollover.

A task whose import is past it does nothing. A set that is rejected or superseded skips what follows: that is the
district's answer, not a failure of ours. So does one with a delta that waits for an older import; when that one is
finished, `wake` starts the tenant's next run, which takes it up. A roster in review waits for a person, whose answer
`decide` does. In a rollover all of that is a failure, since the rollover cannot go on (it waits for a set that is
ready); there, too, the set goes in although the sync is paused, and the rollover's ledger records it.

No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TriggerRule, chain, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from wiring import DISPLAY_NAMES, ROSTER_DROPS, report_to_district

from rollover.adapter import asking, connections, importing, runs
from rollover.adapter.importing import unless_over, unless_waiting
from rollover.errors import Refused
from rollover.roster.imports import ImportState
from rollover.roster.review.answers import Answer

AT_ONCE = 8
"""Of each step, over all runs of a DAG: runs that only wait for a person are not limited, but work is."""


@task(max_active_tis_per_dag=AT_ONCE, task_display_name=DISPLAY_NAMES["fetch"])
def fetch(import_id: str, *, for_rollover: bool = False) -> dict[str, Any]:
    """Copy the drop's files from SFTP to storage."""
    from rollover.roster.intake import fetch

    work = importing.open_import(import_id)
    found, where = work.current(), work.district.sftp_connection
    if found.state is ImportState.FOUND:  # else the server is not needed: a question is put again while it is down
        with connections.sftp(where) as sftp:
            found = fetch.fetch(*work.given[:3], sftp, connections.sftp_server(where), work.storage)
    return unless_over(found, for_rollover=for_rollover).as_json()


@task(max_active_tis_per_dag=AT_ONCE, task_display_name=DISPLAY_NAMES["stage"])
def stage(import_id: str, *, for_rollover: bool = False) -> dict[str, Any]:
    """Read the files into typed rows."""
    from rollover.roster.reading import stage

    work = importing.open_import(import_id)
    found = stage.stage(*work.given, work.config, needs_username=work.product.needs_username)
    return unless_over(found, for_rollover=for_rollover).as_json()


@task(max_active_tis_per_dag=AT_ONCE, task_display_name=DISPLAY_NAMES["validate"])
def validate(import_id: str, *, for_rollover: bool = False) -> dict[str, Any]:
    """Check the set as a whole, and write the accepted rows."""
    from rollover.roster.validating import validate

    work = importing.open_import(import_id)
    zone, begins = work.district.time_zone, work.district.school_year_begins
    found = validate.validate(*work.given, time_zone=zone, begins=begins)
    return unless_waiting(found, for_rollover=for_rollover).as_json()


@task(max_active_tis_per_dag=AT_ONCE, task_display_name=DISPLAY_NAMES["compare"])
def compare(import_id: str, *, for_rollover: bool = False) -> dict[str, Any]:
    """Compare the set with the live roster, and judge it by the limits."""
    from rollover.roster.comparing import compare

    work = importing.open_import(import_id)
    return unless_over(compare.compare(*work.given, work.limits), for_rollover=for_rollover).as_json()


@task(task_display_name=DISPLAY_NAMES["decide"])
def decide(import_id: str, answer: dict[str, str]) -> dict[str, Any]:
    """Do what a person answered."""
    from rollover.roster.review import decision

    work = importing.open_import(import_id)
    done = decision.decide(work.engine, work.tenant.id, import_id, **answer)
    if not done.decided and answer["answer"] != Answer.LATER:
        raise Refused(f"Too late: import {import_id}: {done.said}.", "look at `rollover status`.")
    if not done.decided:
        raise AirflowSkipException(f"Import {import_id}: {done.said}.")
    return done.as_json()


# After a question that was not asked, or not answered, too: an import that is ready needs none.
@task(
    task_id="apply",
    trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    max_active_tis_per_dag=AT_ONCE,
    task_display_name=DISPLAY_NAMES["apply"],
)
def apply_when_due(import_id: str) -> dict[str, Any]:
    """Make a ready set the live roster, unless it waits for the night."""
    from rollover.roster.applying import apply

    work = importing.open_import(import_id)
    found = unless_waiting(work.current(), for_rollover=False)
    result = apply.ApplyResult(found, False)
    if found.state is ImportState.READY:
        if not importing.is_due(work):
            raise AirflowSkipException(f"Import {import_id} is ready and waits for the nightly sync.")
        result = apply.apply(*work.given, work.limits, rollover_id=None)
    if result.found.state is ImportState.IN_REVIEW:
        raise AirflowSkipException(f"Import {import_id} is in review: {result.found.reason}.")
    unless_over(result.found, for_rollover=False)
    return result.as_json()


@task(task_id="apply", task_display_name=DISPLAY_NAMES["apply"])
def apply_in_rollover(import_id: str, partition_key: str | None = None) -> dict[str, Any]:
    """Make the set that the rollover waited for the live roster, and record it in the rollover's ledger."""
    from rollover.roster.applying import apply
    from rollover.yearend import steps

    work = importing.open_import(import_id)
    run = runs.open_run(partition_key, work.tenant.id)
    steps.before_import(run)
    result = apply.apply(*work.given, work.limits, rollover_id=run.id)
    unless_over(result.found, for_rollover=True)
    return steps.import_roster(run, import_id).as_json()


# Also after a set that was refused. In a rollover that is a failure, and everything after it stops.
@task(
    trigger_rule=TriggerRule.NONE_FAILED,
    max_active_tis_per_dag=AT_ONCE,
    task_display_name=DISPLAY_NAMES["report"],
)
def report(import_id: str) -> dict[str, Any]:
    """Tell the district, in its outbox, where its files are by now."""
    return report_to_district(import_id)


# Also after a set that was refused, which others may have waited for as well.
@task(
    trigger_rule=TriggerRule.NONE_FAILED,
    outlets=[ROSTER_DROPS],
    max_active_tis_per_dag=AT_ONCE,
    task_display_name=DISPLAY_NAMES["wake"],
)
def wake(import_id: str, *, outlet_events: Any = None) -> None:
    """Start the tenant's next run if another import waited for this one."""
    from rollover.roster.imports import queue

    work = importing.open_import(import_id)
    if not queue.lets_another_go_on(work.engine, work.tenant.id, import_id):
        raise AirflowSkipException(f"nothing waits for {import_id}")
    outlet_events[ROSTER_DROPS].add_partitions([work.tenant.id])
    outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: importing.is_due(work)}


report_result = report.override(task_id="report_result", task_display_name="report_result: to the district")


@task_group(group_id="import_roster")
def import_roster(import_id: str) -> None:
    """One import, from the files on SFTP to the live roster. The first report is there before a person is asked, who
    may take a day."""
    compared, applied = compare(import_id), apply_when_due(import_id)
    ask = asking.AskAboutImport(task_id="ask", import_id=import_id, task_display_name=DISPLAY_NAMES["ask"])
    chain(fetch(import_id), stage(import_id), validate(import_id), compared, report(import_id))
    chain(compared, ask, decide(import_id, ask.output), applied, [report_result(import_id), wake(import_id)])
    chain(compared, applied)


@task_group(group_id="import_roster")
def import_for_rollover(import_id: str) -> None:
    """The import that a rollover waited for."""
    stages = [stage_of(import_id, for_rollover=True) for stage_of in (fetch, stage, validate, compare)]
    reported = report_result.override(trigger_rule=TriggerRule.ALL_SUCCESS)(import_id)
    chain(*stages, apply_in_rollover(import_id), reported)

"""The tasks that import a roster, for the DAG that imports what districts drop and for the rollover.

No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow.sdk import TriggerRule, chain, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from wiring import ROSTER_DROPS, tell_district

from rollover.adapter import asking, connections, importing, runs
from rollover.errors import Refused
from rollover.roster.review.answers import Answer

IMPORTS_AT_ONCE = 8
"""Of each step, over all runs of a DAG: runs that only wait for a person are not limited, but work is."""


def roster_import_group(*, for_rollover: bool) -> Any:
    """The task group ``import_roster``: one import, from the files on SFTP to the live roster.

    A task whose import is past it does nothing. A set that is rejected or superseded skips what follows: that
    is the district's answer, not a failure of ours. So does one with a delta that waits for an older import; when that
    one is at its end, `wake` has the tenant's next run take up what waited. A set that is held is put to a person,
    whose answer `decide` does. In a rollover all of that is a failure, since the rollover cannot go on (it waits for a
    set that is ready); there, too, the set goes in although the sync is paused, and the rollover's ledger records it.
    """
    unless_over = partial(importing.unless_over, for_rollover=for_rollover)
    unless_waiting = partial(importing.unless_waiting, for_rollover=for_rollover)

    @task(max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def fetch(import_id: str) -> dict[str, Any]:
        from rollover.roster import imports
        from rollover.roster.intake import fetch

        work = importing.open_import(import_id)
        found, where = imports.current(work.engine, work.tenant.id, import_id), work.district.sftp_connection
        if found.state != "found":  # a question is put again although the district's server may be down
            return unless_over(found.summary())
        with connections.sftp(where) as sftp:
            server = connections.sftp_server(where)
            return unless_over(fetch.fetch(work.engine, work.tenant.id, import_id, sftp, server, work.storage))

    @task(max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def stage(import_id: str) -> dict[str, Any]:
        from rollover.roster.reading import stage

        work = importing.open_import(import_id)
        given = (work.engine, work.tenant.id, import_id, work.storage, work.config)
        return unless_over(stage.stage(*given, needs_username=work.product.needs_username))

    @task(max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def validate(import_id: str) -> dict[str, Any]:
        from rollover.roster.validating import validate

        work = importing.open_import(import_id)
        given, begins = (work.engine, work.tenant.id, import_id, work.storage), work.district.school_year_begins
        return unless_waiting(validate.validate(*given, time_zone=work.district.time_zone, begins=begins))

    @task(max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def compare(import_id: str) -> dict[str, Any]:
        from rollover.roster.comparing import compare

        work = importing.open_import(import_id)
        return unless_over(compare.compare(work.engine, work.tenant.id, import_id, work.storage, work.limits))

    @task
    def decide(import_id: str, answer: dict[str, str]) -> dict[str, Any]:
        from rollover.roster.review import decision

        work = importing.open_import(import_id)
        done = decision.decide(work.engine, work.tenant.id, import_id, **answer)
        if not done["decided"] and answer["answer"] != Answer.LATER:
            raise Refused(f"Too late: import {import_id}: {done['said']}.", "look at `rollover status`.")
        if not done["decided"]:
            raise AirflowSkipException(f"Import {import_id}: {done['said']}.")
        return done

    # After a question that was not put, or not answered, too: an import that is ready needs none.
    @task(task_id="apply", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def apply_when_due(import_id: str) -> dict[str, Any]:
        from rollover.roster import imports
        from rollover.roster.applying import apply

        work = importing.open_import(import_id)
        summary = unless_waiting(imports.current(work.engine, work.tenant.id, import_id).summary())
        if summary["state"] == "ready":
            if not importing.is_due(work):
                raise AirflowSkipException(f"Import {import_id} is ready and waits for the nightly sync.")
            limits = work.limits
            summary = apply.apply(work.engine, work.tenant.id, import_id, work.storage, limits, rollover_id=None)
        if summary["state"] == "held":
            raise AirflowSkipException(f"Import {import_id} is held: {summary['reason']}.")
        return unless_over(summary)

    @task(task_id="apply")
    def apply_for_rollover(import_id: str, partition_key: str | None = None) -> dict[str, Any]:
        from rollover.roster.applying import apply
        from rollover.yearend import steps

        work = importing.open_import(import_id)
        run = runs.open_run(partition_key, work.tenant.id)
        steps.before_import(run)
        applied = apply.apply(run.engine, run.tenant.id, import_id, run.storage, work.limits, rollover_id=run.id)
        unless_over(applied)
        return steps.import_roster(run, import_id).as_json()

    def report(task_id: str, import_id: str) -> Any:
        """A task that tells the district, in its outbox, where its files are by now; also when they were refused."""

        # In a rollover a set that is refused is a failure, and everything after it stops.
        rule = TriggerRule.ALL_SUCCESS if for_rollover else TriggerRule.NONE_FAILED

        @task(task_id=task_id, trigger_rule=rule, max_active_tis_per_dag=IMPORTS_AT_ONCE)
        def tell(import_id: str) -> dict[str, Any]:
            return tell_district(import_id)

        return tell(import_id)

    # Also after a set that was refused, which others may have waited for as well.
    @task(trigger_rule=TriggerRule.NONE_FAILED, outlets=[ROSTER_DROPS], max_active_tis_per_dag=IMPORTS_AT_ONCE)
    def wake(import_id: str, *, outlet_events: Any = None) -> None:
        from rollover.roster import pending

        work = importing.open_import(import_id)
        if not pending.lets_another_go_on(work.engine, work.tenant.id, import_id):
            raise AirflowSkipException(f"nothing waits for {import_id}")
        outlet_events[ROSTER_DROPS].add_partitions([work.tenant.id])
        outlet_events[ROSTER_DROPS].extra = {importing.NIGHTLY: importing.is_due(work)}

    @task_group(group_id="import_roster")
    def import_roster(import_id: str) -> None:
        compared = compare(import_id)
        chain(fetch(import_id), stage(import_id), validate(import_id), compared)
        applied = apply_for_rollover(import_id) if for_rollover else apply_when_due(import_id)
        chain(compared, applied, report("report_result", import_id))
        if not for_rollover:
            chain(compared, report("report", import_id))  # before a person is asked, who may take a day
            ask = asking.AskAboutImport(task_id="ask", import_id=import_id)
            chain(compared, ask, decide(import_id, ask.output), applied, wake(import_id))

    return import_roster

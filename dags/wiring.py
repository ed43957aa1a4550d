"""What the DAG files share: tags, retries, the asset that wakes tenants, and the tasks that import a roster.

No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, RetryAction, RetryRule, chain, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from rollover import adapter
from rollover.errors import ConfigError, Refused


class Tag(StrEnum):
    """The tags a DAG may have, besides its product and its district."""

    ROLLOVER = "rollover"
    ROSTER = "roster"


OWNER = "rollover"
ROSTER_DROPS = Asset("roster_drops", group="rollover")
"""An event for a tenant (its partition key) says: look into your ledger, there may be an import to work on."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 3,
    # A refusal needs a person. What a network or a database does may be over in a minute.
    "retry_policy": ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=[Refused, ConfigError], action=RetryAction.FAIL, reason="a person must decide"),
            RetryRule(
                exception=[ConnectionError, TimeoutError, EOFError, "sqlalchemy.exc.OperationalError"],
                action=RetryAction.RETRY,
                reason="a server did not answer",
            ),
        ]
    ),
}


def roster_import_group(*, for_rollover: bool) -> Callable[..., Any]:
    """The task group ``import_roster``: one import, from the files on SFTP to the live roster.

    A task whose import is past it does nothing. A set that is rejected or superseded skips what follows: that
    is the district's answer, not a failure of ours. In a rollover it is one, since the rollover cannot go on;
    there, too, the set goes in although the sync is paused, and the rollover's ledger records it.
    """

    def unless_over(summary: dict[str, Any]) -> dict[str, Any]:
        if summary["state"] in ("rejected", "superseded"):
            what = f"Import {summary['import_id']} is {summary['state']}: {summary['reason']}."
            if for_rollover:
                raise Refused(what, "clear 'await_roster' and what follows: it takes the newest set that is ready.")
            raise AirflowSkipException(what)
        return summary

    @task
    def fetch(import_id: str) -> dict[str, Any]:
        from rollover.roster import fetch

        work = adapter.open_import(import_id)
        with adapter.sftp(work.district.sftp_connection) as sftp:
            return unless_over(fetch.fetch(work.engine, work.tenant.id, import_id, sftp, work.storage))

    @task
    def stage(import_id: str) -> dict[str, Any]:
        from rollover.roster import stage

        work = adapter.open_import(import_id)
        return unless_over(stage.stage(work.engine, work.tenant.id, import_id, work.storage))

    @task
    def validate(import_id: str) -> dict[str, Any]:
        from rollover.roster import validate

        work = adapter.open_import(import_id)
        return unless_over(validate.validate(work.engine, work.tenant.id, import_id, work.storage))

    @task
    def compare(import_id: str) -> dict[str, Any]:
        from rollover.roster import compare

        work = adapter.open_import(import_id)
        return unless_over(compare.compare(work.engine, work.tenant.id, import_id, work.storage))

    @task(task_id="apply")
    def apply_when_due(import_id: str) -> dict[str, Any]:
        from rollover.roster import apply

        work = adapter.open_import(import_id)
        if not adapter.import_is_due(work):
            raise AirflowSkipException(f"Import {import_id} is ready and waits for the nightly sync.")
        return unless_over(apply.apply(work.engine, work.tenant.id, import_id, work.storage, rollover_id=None))

    @task(task_id="apply")
    def apply_for_rollover(import_id: str, partition_key: str | None = None) -> dict[str, Any]:
        from rollover import steps
        from rollover.roster import apply

        work = adapter.open_import(import_id)
        run = adapter.open_run(partition_key, work.tenant.id)
        steps.before_import(run)
        unless_over(apply.apply(run.engine, run.tenant.id, import_id, run.storage, rollover_id=run.id))
        return steps.import_roster(run, import_id)

    @task_group(group_id="import_roster")
    def import_roster(import_id: str) -> None:
        apply = apply_for_rollover if for_rollover else apply_when_due
        chain(fetch(import_id), stage(import_id), validate(import_id), compare(import_id), apply(import_id))

    return import_roster

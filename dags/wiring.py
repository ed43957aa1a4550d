"""What the DAG files share: tags, retries, the asset that wakes tenants, and the report to a district.

No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, RetryAction, RetryRule

from rollover.adapter import connections, failing, importing
from rollover.errors import ConfigError, Refused


class Tag(StrEnum):
    """The tags a DAG may have, besides its product and its district."""

    ROLLOVER = "rollover"
    ROSTER = "roster"
    ARCHIVE = "archive"
    NOTICES = "notices"


OWNER = "rollover"
ROSTER_DROPS = Asset("roster_drops", group="rollover")
"""An event for a tenant (its partition key) says: look into your ledger, there may be an import to work on."""

DISPLAY_NAMES = {
    "guard": "guard: check that it may begin",
    "plan": "plan: freeze what happens to which rows",
    "approve": "approve: record the answer",
    "archive": "archive: write rows and read them back",
    "erase": "erase: delete the planned rows",
    "reset": "reset: begin the new school year",
    "certify": "certify: issue the certificate",
    "pending": "pending: list the imports",
    "fetch": "fetch: copy files from SFTP",
    "stage": "stage: read the files",
    "validate": "validate: check the set",
    "compare": "compare: with the live roster",
    "ask": "ask: a person decides",
    "decide": "decide: do what was answered",
    "apply": "apply: make it the live roster",
    "report": "report: to the district",
    "wake": "wake: start waiting imports",
}
"""What tasks are called in Airflow whose id says too little. It begins with the id, which error messages name."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": OWNER,
    "retries": 3,
    "on_failure_callback": failing.on_task_failure,
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


def report_to_district(import_id: str) -> dict[str, Any]:
    """Have the report of an import in its district's outbox say what is true now."""
    from rollover.roster.reporting.report import deliver_findings

    work = importing.open_import(import_id)
    with connections.outbox_of(work.district) as outbox:
        return deliver_findings(*work.given, work.district, work.product, outbox.deliver).as_json()

"""What the DAG files share: tags, pools, retries, and the asset that wakes tenants.

No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, RetryAction, RetryRule

from rollover.adapter import failing
from rollover.errors import ConfigError, Refused


class Tag(StrEnum):
    """The tags a DAG may have, besides its product and its district."""

    ROLLOVER = "rollover"
    ROSTER = "roster"
    ARCHIVE = "archive"
    NOTICES = "notices"


class Pool(StrEnum):
    """Airflow's pools by kind of work: how much of it goes on at once, over all tenants. See pools.json."""

    ROLLOVERS = "rollovers"
    ROSTER_IMPORTS = "roster_imports"
    NIGHTLY = "nightly"


OWNER = "rollover"
ROSTER_DROPS = Asset("roster_drops", group="rollover")
"""An event for a tenant (its partition key) says: look into your ledger, there may be an import to work on."""

DISPLAY_NAMES = {
    "plan": "plan: pause the sync, freeze what happens to which rows",
    "export_reports": "export_reports: into the district's outbox",
    "archive": "archive: record the answer, write rows and read them back",
    "erase": "erase: delete the planned rows, reset, look again",
    "import_roster": "import_roster: make it the live roster, and check it",
    "certify": "certify: resume the sync, issue the certificate",
    "import_drops": "import_drops: from the files to the live roster",
    "go_on": "go_on: try again what failed",
    "ask": "ask: a person decides",
    "decide": "decide: do what was answered",
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

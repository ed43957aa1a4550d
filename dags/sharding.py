"""Which DAG file makes the rollover of which district.

One file that made thousands of DAGs would take longer to parse than Airflow allows, so 16 files in ``rollover_shards/``
share the districts by a stable hash. No DAG of its own; ``.airflowignore`` keeps Airflow from looking for one here.
"""

from __future__ import annotations

from airflow.sdk import get_parsing_context
from rollover_dag import rollover_dag

from rollover.adapter import runs
from rollover.adapter.district_watch import shard_of
from rollover.tenant import SEPARATOR


def make_rollovers(shard: int) -> None:
    """Make the DAGs of the tenants whose districts belong to a shard. The files in ``rollover_shards/`` call this."""
    wanted = get_parsing_context().dag_id  # in a worker: the one DAG whose task is to run, of which one file is read
    known = runs.catalog(only=wanted.rpartition(SEPARATOR)[2] if wanted else None)
    for tenant in known.tenants:
        if wanted in (None, tenant.dag_id) and shard_of(tenant.district) == shard:
            rollover_dag(tenant, known.districts[tenant.district], known.products[tenant.product])

"""Makes the Airflow DAGs of one shard of the districts: see rollover_dag.py."""

from rollover_dag import make_rollovers

make_rollovers(shard=7)

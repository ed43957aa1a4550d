"""Makes the Airflow DAGs of one shard of the districts: see sharding.py."""

from sharding import make_rollovers

make_rollovers(shard=12)

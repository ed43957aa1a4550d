"""Airflow in this process: its database, its DAGs, and the connections that the DAGs use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine

# First of all: it sets what Airflow reads when it is imported.
from tests.dags.airflow_home import HOME, POSTGRES  # isort: skip
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from rollover.adapter import runs, waiting
from rollover_demo.postgres import LOGIN, PostgresServer
from tests.support import small_district
from tests.support.sftp_server import Sftp, sftp, sftp_server

__all__ = ["sftp", "sftp_server"]


@pytest.fixture(scope="session")
def metadata_database() -> Iterator[None]:
    """Airflow's tables, in an embedded PostgreSQL server that lives as long as the tests."""
    from airflow import settings
    from airflow.utils.db import initdb

    server = PostgresServer(POSTGRES, durable=False)
    try:
        assert server.socket_folder == str(POSTGRES), "the URL in airflow_home was made before the server was"
        server.create("airflow")
        initdb()
        yield
        settings.dispose_orm()
    finally:
        server.stop()


@pytest.fixture
def airflow(
    metadata_database: None,
    monkeypatch: pytest.MonkeyPatch,
    postgres: PostgresServer,
    database: str,
    sftp: Sftp,
    tmp_path: Path,
) -> Callable[[str], DAG]:
    """Loads a DAG by its id, with Riverside as the only district, at the time of `tests.support.small_district`.

    The product database, SFTP server and storage of the test are reached as in production: by connections and
    settings.
    """
    districts = tmp_path / "districts"
    districts.mkdir()
    riverside = small_district.district().model_dump(mode="json", exclude_defaults=True)
    # Its few students are others in most tests' drops: that is not what these are about.
    riverside["products"]["hero"]["roster_limits"] = {"least_lost": 15}
    (districts / "riverside-ca.yaml").write_text(yaml.safe_dump(riverside))
    product_db = {"conn_type": "postgres", "login": LOGIN, "host": postgres.socket_folder, "schema": database}
    district_sftp = {
        "conn_type": "sftp",
        "host": sftp.server.host,
        "port": sftp.server.port,
        "login": "rollover",
        "password": "vendor-secret",
        "extra": {"host_key": sftp.server.host_key},
    }
    environment = {
        "ROLLOVER_DISTRICTS": str(districts),
        "ROLLOVER_STORAGE": str(tmp_path / "storage"),
        "ROLLOVER_POLL_SECONDS": "0.1",
        "ROLLOVER_SIGNING_KEY": str(small_district.signing_key()),
        "AIRFLOW_CONN_PRODUCT_DB": json.dumps(product_db),
        "AIRFLOW_CONN_DISTRICT_SFTP": json.dumps(district_sftp),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runs, "clock", lambda: small_district.NOW)
    monkeypatch.setattr(waiting, "_watches", {})

    def load(dag_id: str) -> DAG:
        rollovers = HOME / "dags" / "rollover_shards"
        bag = DagBag(dag_folder=rollovers if dag_id.startswith("rollover__") else HOME / "dags" / f"{dag_id}_dag.py")
        assert not bag.import_errors
        return bag.dags[dag_id]

    return load


@pytest.fixture
def riverside(owner: Engine, sftp: Sftp, database: str) -> Path:
    """Riverside's Hero tenant in the database, and its folder on SFTP, empty."""
    small_district.hero_world(owner)
    folder = sftp.root / "riverside-ca" / "hero"
    shutil.rmtree(folder, ignore_errors=True)  # with the outbox of the test before
    folder.mkdir(parents=True)
    return folder


assert os.environ["AIRFLOW_HOME"] == str(HOME)

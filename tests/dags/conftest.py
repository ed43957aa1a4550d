"""Airflow in this process, on a metadata database of its own. Set up before anything imports airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollover.local.postgres import PostgresServer

HOME = Path(__file__).resolve().parents[2]
# Below /tmp: the path of a unix socket may not be longer than 107 characters.
VAR = Path(tempfile.mkdtemp(prefix="rollover-airflow-", dir="/tmp"))
POSTGRES = VAR / "postgres"
atexit.register(shutil.rmtree, VAR, ignore_errors=True)

os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://postgres@/airflow?host={POSTGRES}",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(VAR / "logs"),
    "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(VAR / "logs" / "dag_processor"),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(VAR / "passwords.json"),
    "AIRFLOW__CORE__FERNET_KEY": "",
}
for folder in (HOME / "plugins", HOME / "dags", HOME / "tests"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@pytest.fixture(scope="session")
def metadata_database() -> Iterator[None]:
    """Airflow's tables, in an embedded PostgreSQL server that lives as long as the tests."""
    from airflow import settings
    from airflow.utils.db import initdb

    server = PostgresServer(POSTGRES)
    try:
        assert server.socket_folder == str(POSTGRES), "the URL above was made before the server was"
        server.create("airflow")
        initdb()
        yield
        settings.dispose_orm()
    finally:
        server.stop()

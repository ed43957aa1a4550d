"""PgBouncer between us and PostgreSQL: refused with the reason, unless it is in session mode and that is declared."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import OperationalError

from rollover.database.session import connect, tenant_session
from rollover.errors import Refused
from rollover_demo.airflow import free_ports
from rollover_demo.postgres import LOGIN, PostgresServer

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs pgbouncer")
TENANT = "hero__riverside-ca"
SETTINGS = """\
[databases]
{database} = host={socket_folder} dbname={database} user={login}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""
Pooled = Callable[[str], Engine]


@pytest.fixture
def pooled(postgres: PostgresServer, database: str, tmp_path: Path) -> Iterator[Pooled]:
    """Makes an engine that reaches the database through a PgBouncer of our own, in the given mode."""
    running: list[subprocess.Popen[bytes]] = []

    def start(mode: str) -> Engine:
        (port,) = free_ports(1)
        values = {"database": database, "socket_folder": postgres.socket_folder, "login": LOGIN}
        file = tmp_path / "pgbouncer.ini"
        file.write_text(SETTINGS.format(**values, port=port, mode=mode))
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_mode & 0o005 != 0o005:
                folder.chmod(folder.stat().st_mode | 0o055)
        user = postgres.system_user  # PgBouncer does not run as root
        running.append(subprocess.Popen([str(PGBOUNCER), "-q", str(file)], user=user))
        engine = connect(URL.create("postgresql+psycopg", LOGIN, "", "127.0.0.1", port, database))
        _wait_for(engine)
        return engine

    yield start
    for process in running:
        process.terminate()
        process.wait()


def _wait_for(engine: Engine) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_pooler_that_nobody_vouches_for_is_refused(pooled: Pooled, mode: str) -> None:
    engine = pooled(mode)
    with pytest.raises(Refused, match="connection pooler") as refused, tenant_session(engine, TENANT):
        pytest.fail("the session was opened")
    assert "session mode" in refused.value.remedy


def test_session_mode_keeps_the_lock(pooled: Pooled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLOVER_DATABASE_POOLER", "session")
    engine = pooled("session")
    order: list[str] = []

    def second() -> None:
        with tenant_session(engine, TENANT, exclusive=True):
            order.append("second")

    with tenant_session(engine, TENANT, exclusive=True):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.5)
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]


def test_without_a_pooler_nothing_is_refused(engine: Engine) -> None:
    with tenant_session(engine, TENANT) as connection:
        assert connection.scalar(text("SELECT current_setting('rollover.tenant_id')")) == TENANT

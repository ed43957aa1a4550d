"""Starts the demo's services: PostgreSQL, an SFTP server, a mail server and Airflow, on free ports.

All data is in one folder.
"""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import paramiko
import psutil
from sqlalchemy import Engine

from rollover.certificate.signing import new_key
from rollover.database import migrate
from rollover.database.session import connect
from rollover.settings import HOME
from rollover_demo import sftp_server
from rollover_demo.airflow import LocalAirflow, end_left_over
from rollover_demo.airflow_client import AirflowClient
from rollover_demo.mail_server import HOST, MailServer
from rollover_demo.postgres import LOGIN, PostgresServer
from rollover_demo.seed.load import load
from rollover_demo.seed.season import write_district_files
from rollover_demo.seed.specs import DistrictSpec
from rollover_demo.sftp_server import ROLLOVER, Account, SftpServer, start

DATABASE, METADATA = "rollover", "airflow"
SIGNING_KEY = "signing-key.pem"
USERS = {"dana": "admin"}
"""The user of the demo's Airflow: Dana, the data engineer."""
NOTHING: Mapping[str, str] = {}
PERSONS = ("dana", "lee")
"""The people with a personal login to the product database: Dana, and a second person."""
MAIL = "mail"
"""The folder with the mails that were sent."""
SENDER = "Rollover <rollover@vendor.example>"
ENV = "env"
"""The file that a shell reads to work with the demo: ``. var/demo/env``."""
# What takes minutes in production takes seconds here. By configuration: the code is the same.
SHORT_WAITS = {
    "ROLLOVER_SETTLE_SECONDS": "4",
    "ROLLOVER_POLL_SECONDS": "1",
    "ROLLOVER_ROSTER_SYNC_SCHEDULE": "* * * * *",
    "ROLLOVER_NOTICES_SCHEDULE": "* * * * *",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}


@dataclass(frozen=True)
class Services:
    """Everything running, and how to reach it."""

    folder: Path
    specs: tuple[DistrictSpec, ...]
    owner: Engine
    airflow: LocalAirflow
    api: AirflowClient
    sftp: SftpServer
    sftp_accounts: dict[str, Account]

    def district_it(self, district: str) -> paramiko.Transport:
        """A connection as a district's IT department; it sees its own folder as ``/``."""
        transport = paramiko.Transport((self.sftp.host, self.sftp.port))
        transport.connect(username=district, password=self.sftp_accounts[district].password)
        return transport


@contextmanager
def prepared(folder: Path, specs: Iterable[DistrictSpec]) -> Iterator[tuple[PostgresServer, Engine]]:
    """A fresh `folder` with a PostgreSQL that holds the finished year. What an interrupted demo left is removed."""
    specs = tuple(specs)
    remove(folder)
    server = PostgresServer(folder / "postgres")
    try:
        for name in (DATABASE, METADATA):
            server.create(name)
        owner = connect(server.url(DATABASE))
        migrate.upgrade(owner)
        server.create_login()
        for name in PERSONS:
            server.create_person(name)
        load(owner, specs, datetime.now(UTC))
        write_district_files(specs, folder / "districts")
        new_key(folder / SIGNING_KEY)
        yield server, owner
    finally:
        server.stop()


@dataclass(frozen=True)
class Neighbours:
    """The districts' SFTP server and the mail server, running; and the environment by which Airflow reaches them."""

    sftp: SftpServer
    sftp_accounts: dict[str, Account]
    environment: dict[str, str]


@contextmanager
def neighbours(folder: Path, specs: Iterable[DistrictSpec], server: PostgresServer) -> Iterator[Neighbours]:
    """SFTP server and mail server, started; stopped at the end, whatever happens."""
    accounts = {ROLLOVER: Account(secrets.token_urlsafe(16), ".")}
    accounts |= {spec.id: Account(secrets.token_urlsafe(16), spec.id) for spec in specs}
    root = folder / "sftp"
    for spec in specs:
        for tenant in spec.tenants:
            (root / spec.id / tenant.tenant.product).mkdir(parents=True)
    sftp = start(root, accounts, folder / "sftp-server")
    mail = MailServer(folder / MAIL).start()
    environment = SHORT_WAITS | {
        "ROLLOVER_DATABASE_URL": database_url(server, PERSONS[0]),
        "AIRFLOW_CONN_PRODUCT_DB": json.dumps(
            {"conn_type": "postgres", "host": server.socket_folder, "login": LOGIN, "schema": DATABASE}
        ),
        "AIRFLOW_CONN_DISTRICT_SFTP": json.dumps(
            {
                "conn_type": "sftp",
                "host": sftp.host,
                "port": sftp.port,
                "login": ROLLOVER,
                "password": accounts[ROLLOVER].password,
                "extra": {"host_key": sftp.host_key},
            }
        ),
        "AIRFLOW_CONN_ROLLOVER_MAIL": json.dumps(
            {
                "conn_type": "smtp",
                "host": HOST,
                "port": mail.port,
                "extra": {"from_email": SENDER, "disable_ssl": True, "disable_tls": True, "timeout": 10},
            }
        ),
    }
    try:
        yield Neighbours(sftp, accounts, environment)
    finally:
        mail.stop()
        sftp.stop()


@contextmanager
def running(
    folder: Path,
    specs: Iterable[DistrictSpec],
    server: PostgresServer,
    owner: Engine,
    *,
    users: Mapping[str, str] = USERS,
    more: Mapping[str, str] = NOTHING,
) -> Iterator[Services]:
    """SFTP server, mail server and Airflow, started and healthy; stopped at the end, whatever happens.

    `users` are Airflow's, with their roles. `more` is added to the environment of Airflow's processes.
    """
    specs = tuple(specs)
    with neighbours(folder, specs, server) as near:
        environment = near.environment | {
            "ROLLOVER_DISTRICTS": str(folder / "districts"),
            "ROLLOVER_STORAGE": f"file://{folder / 'storage'}",
            "ROLLOVER_SIGNING_KEY": str(folder / SIGNING_KEY),
        }
        metadata = server.url(METADATA, driver="psycopg2")
        airflow = LocalAirflow(folder / "airflow", metadata, environment={**environment, **more}, users=users)
        try:
            api = airflow.start()
            write_env(folder / ENV, server, airflow)
            yield Services(folder, specs, owner, airflow, api, near.sftp, near.sftp_accounts)
        finally:
            airflow.stop()


def database_url(server: PostgresServer, person: str) -> str:
    """The product database, as one person reaches it."""
    return server.url(DATABASE, user=person).render_as_string(hide_password=False)


def write_env(path: Path, server: PostgresServer, airflow: LocalAirflow) -> None:
    """Write what a second shell needs for every command of the README, readable by its owner only."""
    bin_folder = HOME / ".venv" / "bin"
    ours = ("AIRFLOW", "ROLLOVER")
    exports = sorted((name, value) for name, value in airflow.environment.items() if name.startswith(ours))
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports]
    lines.append(f'export PATH={shlex.quote(str(bin_folder))}:"$PATH"')
    second = shlex.quote(database_url(server, PERSONS[1]))
    lines += [f"# A second person, who may lift what {PERSONS[0]} holds: as_{PERSONS[1]} rollover hold lift ..."]
    lines += [f'as_{PERSONS[1]}() {{ ROLLOVER_DATABASE_URL={second} "$@"; }}']
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")


def remove(folder: Path) -> None:
    """Stop what an interrupted demo left running in `folder`, and remove its data."""
    end_left_over(folder / "airflow")
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if sftp_server.__name__ in command and any(part.startswith(f"{folder}/") for part in command):
            process.terminate()
    if (folder / "postgres" / "postmaster.pid").exists():
        PostgresServer(folder / "postgres").stop()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)

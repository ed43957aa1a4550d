"""The servers of a cluster on this machine: Debian's PostgreSQL, Debian's Redis, and an S3 of moto's. Each can be
stopped and started again on its port, the first two with their data, and none outlives the test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fsspec import get_filesystem_class
from sqlalchemy import URL, text

from rollover.database.session import connect
from rollover_demo.airflow import free_ports

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 20.0
REDIS = shutil.which("redis-server", path="/usr/bin:/usr/sbin")
_VERSIONS = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda path: int(path.parent.name))
POSTGRES = _VERSIONS[-1] if _VERSIONS else None
"""The folder with the programs of Debian's newest PostgreSQL."""


def missing() -> str | None:
    """What the tests of a cluster need that is not installed, for the reason of a skip."""
    needed = {"redis-server": REDIS, "Debian's postgresql": POSTGRES}
    absent = [name for name, found in needed.items() if found is None]
    return f"needs {' and '.join(absent)}" if absent else None


class Server(ABC):
    """A process that listens on a port, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""

    @property
    def user(self) -> str | None:
        """The account that it runs under, if it is not ours."""
        return None

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self.environment,
                user=self.user,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"{type(self).__name__} did not start; see {self.folder / 'log'}")
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=2):
                return True
        except OSError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, and end it if it does not."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None


class Postgres(Server):
    """Debian's PostgreSQL. As root it runs under the account that Debian's package made for it."""

    IMMEDIATELY = signal.SIGQUIT
    """Ends it as a power cut does: the next start recovers from the log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        assert POSTGRES is not None
        if self.user is not None:
            account = pwd.getpwnam(self.user)
            os.chown(folder, account.pw_uid, account.pw_gid)
            for above in folder.parents:
                if above.stat().st_mode & 0o001 == 0:
                    above.chmod(above.stat().st_mode | 0o011)
        subprocess.run(
            [str(POSTGRES / "initdb"), "--pgdata=data", "--auth=trust", "--username=postgres", "--encoding=UTF8"],
            cwd=folder,
            user=self.user,
            check=True,
            stdout=subprocess.DEVNULL,
            env=self.environment | {"LC_ALL": "C.UTF-8"},
        )

    @property
    def user(self) -> str | None:
        return "postgres" if os.getuid() == 0 else None

    @property
    def command(self) -> list[str]:
        assert POSTGRES is not None
        given = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", "max_connections": 200}
        settings = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        return [str(POSTGRES / "postgres"), "-D", "data", *settings]

    def answers(self) -> bool:
        assert POSTGRES is not None
        asked = [str(POSTGRES / "pg_isready"), f"--host={HOST}", f"--port={self.port}", "--quiet"]
        return subprocess.run(asked, check=False).returncode == 0

    def url(self, database: str, driver: str = "psycopg") -> URL:
        return URL.create(f"postgresql+{driver}", "postgres", host=HOST, port=self.port, database=database)

    def create(self, database: str) -> None:
        with connect(self.url("postgres")).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'CREATE DATABASE "{database}"'))


class Redis(Server):
    """Debian's Redis as a broker that loses nothing when it is restarted: every write is in its log."""

    @property
    def command(self) -> list[str]:
        assert REDIS is not None
        kept = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [REDIS, "--bind", HOST, "--port", str(self.port), "--dir", str(self.folder), *kept]

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"


class S3(Server):
    """An S3 with one bucket, in the memory of moto's server: it must not be stopped before the end."""

    BUCKET = "rollover-test"

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(self.port)]

    @property
    def settings(self) -> dict[str, str]:
        """What s3fs needs to know, in the variables that every AWS library reads."""
        return {
            "AWS_ENDPOINT_URL": f"http://{HOST}:{self.port}",
            "AWS_ACCESS_KEY_ID": "rollover",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def url(self) -> str:
        return f"s3://{self.BUCKET}/storage"

    def start(self) -> None:
        super().start()
        httpx.put(f"{self.settings['AWS_ENDPOINT_URL']}/{self.BUCKET}").raise_for_status()


@contextmanager
def reached(server: S3) -> Iterator[None]:
    """Have this process use the S3, as its environment says where a worker finds it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.settings.items():
            patch.setenv(name, value)
        # Connections are kept by fsspec, by bucket: those of another test's server must not be used again.
        get_filesystem_class("s3").clear_instance_cache()
        yield
        get_filesystem_class("s3").clear_instance_cache()

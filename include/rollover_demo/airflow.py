"""Runs Airflow's four processes on this machine, for the demo and the tests, on free ports.

Each is a process of its own rather than `airflow standalone`: own log, own id, and any one of them can be
killed and started again to see what a crash does.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import URL

from rollover.errors import RolloverError
from rollover.settings import HOME
from rollover_demo.airflow_client import AirflowClient

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
SESSIONS = "sessions.json"
"""The file that lists the sessions started from a folder, and when."""
HEALTH_OF = {"metadatabase": "the database", **{name.replace("-", "_"): name for name in COMPONENTS[1:]}}


class AirflowFailed(RolloverError):
    """A process of Airflow ended, or was not healthy in time. The message names its log."""


@dataclass(frozen=True)
class Secrets:
    """The secrets of one local Airflow. They are kept, so that a second start can read the first's data."""

    password: str
    fernet_key: str
    jwt_secret: str
    api_secret: str

    @classmethod
    def make(cls) -> Secrets:
        from cryptography.fernet import Fernet

        tokens = (secrets.token_urlsafe(64) for _ in range(2))
        return cls(secrets.token_urlsafe(9), Fernet.generate_key().decode(), *tokens)


class LocalAirflow:
    """One Airflow with its state in `folder`: logs, secrets, nothing else.

    `database` is the URL of an existing database for its metadata (psycopg2). `environment` is added to that
    of the processes, and wins. `users` maps login names to roles (viewer, user, op, admin); all have the same
    `password`, made at the first start. A second start in a folder ends what a crash left running there.
    """

    def __init__(
        self,
        folder: Path,
        database: URL,
        *,
        environment: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        home: Path = HOME,
    ) -> None:
        self.folder = folder.resolve()
        self.home = home
        self.users = dict(users or {"admin": "admin"})
        self._database = database
        self._extra = dict(environment or {})
        self._secrets = self._keep_secrets()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.port, self._log_port, self._trigger_log_port = free_ports(3)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def password(self) -> str:
        return self._secrets.password

    @property
    def processes(self) -> dict[str, int]:
        """The process ids of those of COMPONENTS that were started."""
        return {name: process.pid for name, process in self._processes.items()}

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a command of this Airflow: `subprocess.run(["airflow", …], env=…)`."""
        logs = self.folder / "logs"
        ours = {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._database.render_as_string(hide_password=False),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets.fernet_key,
            "AIRFLOW__CORE__PARALLELISM": "12",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{n}:{role}" for n, role in self.users.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": self._secrets.api_secret,
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets.jwt_secret,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "files"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._trigger_log_port),
            # A person watches: react in a tenth of a second, pick up what a crash left in half a minute.
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
        }
        return dict(os.environ) | ours | self._extra

    def start(self, *, timeout: float = 120) -> AirflowClient:
        """Bring the metadata database up to date, start the four processes, and wait until all are healthy.

        Raises AirflowFailed, with everything stopped again, when they are not within `timeout` seconds.
        """
        self.end_left_over()
        try:
            self._migrate()
            for name in COMPONENTS:
                self.start_component(name)
            self._wait_healthy(time.monotonic() + timeout)
        except BaseException:
            self.stop()
            raise
        return self.client()

    def client(self, user: str | None = None) -> AirflowClient:
        """The REST API, as one of the users; by default the first."""
        return AirflowClient(self.url, user or next(iter(self.users)), self.password)

    def start_component(self, name: str) -> None:
        """Start one of COMPONENTS, with its children in a process group of their own."""
        with self.log_of(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.home,
                start_new_session=True,
            )
        self.remember(self._processes[name])

    def kill_component(self, name: str) -> None:
        """End one process and its children at once, as a crash does."""
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def ended(self) -> list[str]:
        """The components whose process ended by itself."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def log_of(self, name: str) -> Path:
        path = self.folder / "logs" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def stop(self, *, timeout: float = 20) -> None:
        """Ask the processes to end, end what does not, and leave none behind."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + timeout
        for process in self._processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._processes.clear()
        self.end_left_over()

    def end_left_over(self) -> None:
        """End the processes started from this folder that still run, even if their starter is gone."""
        end_left_over(self.folder)

    def remember(self, process: subprocess.Popen[bytes]) -> None:
        """Record the session of a process that was started in its own session."""
        sessions = _sessions(self.folder) | {str(process.pid): psutil.Process(process.pid).create_time()}
        _write_private(self.folder / SESSIONS, sessions)

    def _migrate(self) -> None:
        log = self.log_of("db-migrate")
        with log.open("ab") as out:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.home,
                check=False,
            )
        if done.returncode:
            raise AirflowFailed(f"`airflow db migrate` ended with {done.returncode}; see {log}")

    def _wait_healthy(self, deadline: float) -> None:
        missing = set(HEALTH_OF.values())
        while missing:
            for name in self.ended():
                code = self._processes[name].returncode
                raise AirflowFailed(f"{name} ended with {code}; see {self.log_of(name)}")
            if time.monotonic() > deadline:
                raise AirflowFailed(f"not healthy in time: {', '.join(sorted(missing))}; see {self.folder / 'logs'}")
            time.sleep(0.2)
            health = AirflowClient.health(self.url)
            missing = {what for key, what in HEALTH_OF.items() if health.get(key) != "healthy"}

    def _keep_secrets(self) -> Secrets:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "secrets.json"
        if not path.exists():
            _write_private(path, vars(Secrets.make()))
        kept = Secrets(**json.loads(path.read_text()))
        _write_private(self.folder / "passwords.json", dict.fromkeys(self.users, kept.password))
        return kept


def end_left_over(folder: Path) -> None:
    """End the Airflow processes started from a folder that still run, even if their starter is gone."""
    left = left_over(folder)
    for process in left:
        process.terminate()
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=5)
    (folder / SESSIONS).unlink(missing_ok=True)


def left_over(folder: Path) -> list[psutil.Process]:
    """The processes of the sessions that were started from a folder.

    By session, not by parent or environment: the parent may be gone, and Airflow's processes write their titles over
    their environment.
    """
    sessions = _sessions(folder)
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            since = sessions.get(str(os.getsid(process.pid)))
            # A session's number is free again when all of it is gone, and may be somebody else's by now.
            if since is not None and process.create_time() >= since:
                found.append(process)
    return found


def _sessions(folder: Path) -> dict[str, float]:
    path = folder / SESSIONS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 on which nothing listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _write_private(path: Path, content: Mapping[str, str | float]) -> None:
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(dict(content), file)
    new.replace(path)

"""The machines of a cluster, each a folder on this one: a copy of the project, keys, home, temporary folder and logs of
its own. They share no file; what they have in common is servers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from rollover.settings import HOME
from rollover_demo.airflow import LocalAirflow, left_over
from rollover_demo.demo.services import SIGNING_KEY

PROJECT = ("dags", "plugins", "include", "airflow.cfg", "pools.json")
KEYS = "archive-keys"
CONCURRENCY = 2
STOP_SECONDS = 15.0


class Machine:
    """One machine, installed: `given` is a folder with the district files, the signing key and the archive keys."""

    def __init__(self, folder: Path, given: Path) -> None:
        self.folder = folder
        self.home = folder / "rollover"
        for name in PROJECT:
            if (HOME / name).is_dir():
                shutil.copytree(HOME / name, self.home / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(HOME / name, self.home / name)
        shutil.copytree(given / "districts", self.home / "include" / "districts", dirs_exist_ok=True)
        shutil.copytree(given / KEYS, folder / KEYS)
        shutil.copy(given / SIGNING_KEY, folder / SIGNING_KEY)
        for name in ("user", "tmp"):
            (folder / name).mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """Everything by which a process finds files."""
        return {
            "HOME": str(self.folder / "user"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(self.home / "include"),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "ROLLOVER_DISTRICTS": str(self.home / "include" / "districts"),
            "ROLLOVER_PRODUCTS": str(self.home / "include" / "products"),
            "ROLLOVER_SIGNING_KEY": str(self.folder / SIGNING_KEY),
            "ROLLOVER_ARCHIVE_KEYS": str(self.folder / KEYS),
        }


class Worker:
    """A Celery worker on a machine of its own."""

    def __init__(self, machine: Machine, shared: Mapping[str, str]) -> None:
        """`shared` is the environment that is the same on every machine."""
        self.machine = machine
        self.name = machine.folder.name
        logs = {"AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(machine.folder / "logs" / "tasks")}
        self._environment = {**shared, **machine.environment, **logs}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_lost = False

    def start(self) -> None:
        logs = self.machine.folder / "logs"
        logs.mkdir(exist_ok=True)
        options = ["--concurrency", str(CONCURRENCY), "--celery-hostname", f"{self.name}@%h", "--skip-serve-logs"]
        with (logs / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airflow", "celery", "worker", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.machine.home,
                start_new_session=True,
            )

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return not self._is_lost and self._process is not None and self._process.poll() is not None

    def has_loaded(self, library: str) -> bool:
        """Whether the worker itself, of which tasks are forks, has a compiled library in its memory."""
        if self._process is None:
            return False
        return any(f"/{library}" in file.path for file in psutil.Process(self._process.pid).memory_maps())

    def processes(self) -> Iterator[psutil.Process]:
        """Every process of the machine, its tasks too."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                if self._process is not None and os.getsid(process.pid) == self._process.pid:
                    yield process

    def task_instances(self) -> set[str]:
        """The ids of the task instances that run here: Airflow puts them into the titles of their processes."""
        found = set()
        for process in self.processes():
            with suppress(psutil.Error):
                title = " ".join(process.cmdline()).strip()
                if title.startswith("airflow worker -- "):
                    found.add(title.rpartition(" ")[2])
        return found

    def lose(self) -> None:
        """End everything at once, and its disk too: the machine is gone."""
        self._is_lost = True
        self._kill()
        shutil.rmtree(self.machine.folder)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._kill()

    def _kill(self) -> None:
        while left := [p for p in self.processes() if p.status() != psutil.STATUS_ZOMBIE]:
            for process in left:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(left, timeout=2)
        if self._process is not None:
            self._process.wait()
            self._process = None


class Supervisor(threading.Thread):
    """Starts again what ended by itself, as systemd or Kubernetes does; `restarted` names it."""

    def __init__(self, airflow: LocalAirflow, workers: list[Worker]) -> None:
        super().__init__(daemon=True)
        self.restarted: list[str] = []
        self._airflow, self._workers = airflow, workers
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(2):
            for name in self._airflow.ended():
                self.restarted.append(name)
                self._airflow.start_component(name)
            for worker in list(self._workers):
                if worker.has_ended:
                    self.restarted.append(worker.name)
                    worker.start()

    def stop(self) -> None:
        self._over.set()
        self.join()


def nothing_left(airflow: LocalAirflow, workers: list[Worker]) -> bool:
    return not left_over(airflow.folder) and not any(any(worker.processes()) for worker in workers)

"""Kills workers of a running Airflow in the middle of their tasks, as a machine that goes down does."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress

import psutil
from sqlalchemy import Engine, text

RUNNING = "SELECT id::text, dag_id, run_id, task_id FROM task_instance WHERE state = 'running'"


class WorkerKiller(threading.Thread):
    """SIGKILLs the first try of some tasks, once per DAG; `killed` lists what it got, as ``dag_id task_id``.

    Mostly it kills the task's own process. Of tasks in `with_worker` it kills the executor's worker too, so that
    nobody is left to report the task: the scheduler finds out by its missing heartbeat.
    """

    def __init__(self, metadata: Engine, tasks: set[str], with_worker: set[str]) -> None:
        super().__init__(daemon=True)
        self.killed: set[str] = set()
        self._metadata = metadata
        self._tasks = tasks
        self._with_worker = with_worker
        self._over = threading.Event()
        self._random = random.Random(7)

    def run(self) -> None:
        while not self._over.wait(0.2):
            with self._metadata.connect() as connection:
                running = connection.execute(text(RUNNING)).all()
            for task_instance, dag_id, _, task_id in running:
                name = f"{dag_id} {task_id}"
                if task_id in self._tasks and name not in self.killed:
                    self._over.wait(self._random.uniform(0, 0.7))
                    if self._kill(task_instance, with_worker=task_id in self._with_worker):
                        self.killed.add(name)

    def stop(self) -> None:
        self._over.set()
        self.join()

    @staticmethod
    def _kill(task_instance: str, *, with_worker: bool) -> bool:
        """Kill the processes of a task instance; Airflow names them in their titles."""
        titles = [f"airflow worker -- {task_instance}"]
        if with_worker:
            titles.insert(0, f"airflow worker -- LocalExecutor: {task_instance}")
        hit = False
        for title in titles:
            for process in psutil.process_iter():
                with suppress(psutil.Error, ProcessLookupError):
                    if " ".join(process.cmdline()).strip() == title:
                        os.kill(process.pid, signal.SIGKILL)
                        hit = True
        return hit

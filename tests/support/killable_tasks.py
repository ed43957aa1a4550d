"""A task's work in a process that is killed right before or after one of its commits.

The processes are forks of one that has imported what tasks need, and has done nothing: a fork of one in which polars or
DuckDB has worked would wait for ever for threads that it does not have. Airflow's scheduler forks tasks alike.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import psycopg

from rollover.adapter import importing, runs, stepping
from rollover.adapter.preloading import FOR_TASKS, preload
from rollover.ledger.results import Step
from tests.support import small_district

Work = Callable[..., Any]
"""A function of a module; its arguments and its result can be pickled."""
RUN_ID = "manual__killed"
SECONDS = 120.0


# What is killed: what the tasks of the DAGs do, without Airflow's context


def import_drops(import_id: str) -> list[str]:
    return importing.import_drops([import_id], by_run=RUN_ID, begin=lambda _: None)


def import_drop(import_id: str) -> str:
    return importing.import_drop(import_id).state.value


def plan(year: str, tenant_id: str) -> Any:
    return stepping.plan(runs.open_run(year, tenant_id), RUN_ID, lambda _: False)


def take(year: str, tenant_id: str, *steps: Step) -> Any:
    return stepping.take(runs.open_run(year, tenant_id), *steps)


def archive(year: str, tenant_id: str, answer: dict[str, Any]) -> Any:
    return stepping.approve_and_archive(runs.open_run(year, tenant_id), answer)


def import_roster(year: str, tenant_id: str, import_id: str) -> Any:
    return stepping.import_roster(runs.open_run(year, tenant_id), import_id)


# How it is killed


@dataclass(frozen=True)
class Ended:
    """How work ended: killed, with an error, or with a result."""

    killed: bool
    result: Any = None
    error: str | None = None


class Tasks:
    """The process whose forks do the work. Its environment is that of the moment in which it is started."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._requests, theirs = context.Pipe()
        self._process = context.Process(target=_fork_each, args=(theirs,))
        self._process.start()
        theirs.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.close()  # it then ends
        self._process.join(SECONDS)

    def run(self, work: Work, *arguments: Any, killed_at: int | None = None) -> Ended:
        """Do work in a process of its own. Kill it at an instant, if it gets there: the nth commit has the instants
        2n - 1, before it, and 2n, after it."""
        self._requests.send((killed_at, work, arguments))
        assert self._requests.poll(SECONDS), "the work hangs"
        ended: Ended = self._requests.recv()
        assert ended.error is None, ended.error
        return ended

    def kill_until_done(self, work: Work, *arguments: Any) -> tuple[Any, int]:
        """Kill work around each of its commits in turn, further each time, and then let it end. What was done before a
        kill stays. Returns the result, and how often it was killed."""
        kills = 0
        while (ended := self.run(work, *arguments, killed_at=kills + 1)).killed:
            kills += 1
        return ended.result, kills


def _fork_each(requests: Connection) -> None:
    preload(FOR_TASKS)
    runs.clock = lambda: small_district.NOW
    while True:
        try:
            killed_at, work, arguments = requests.recv()
        except EOFError:
            return
        requests.send(_in_fork(killed_at, work, arguments))


def _in_fork(killed_at: int | None, work: Work, arguments: tuple[Any, ...]) -> Ended:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            if killed_at is not None:
                _die_at(killed_at)
            ended = Ended(killed=False, result=work(*arguments))
        except BaseException as error:
            ended = Ended(killed=False, error=repr(error))
        with os.fdopen(writer, "wb") as stream:
            pickle.dump(ended, stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return Ended(killed=True)
    found: Ended = pickle.loads(content)
    return found


def _die_at(instant: int) -> None:
    count, commit = 0, psycopg.Connection.commit

    def die_in_time() -> None:
        nonlocal count
        count += 1
        if count == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(connection: psycopg.Connection[Any]) -> None:
        die_in_time()
        commit(connection)
        die_in_time()

    psycopg.Connection.commit = watched  # type: ignore[method-assign, assignment]

"""Work in processes of their own, which can be killed in the middle, or be made to wait for one another.

They come from a server process without threads: a process that is forked from one in which polars or DuckDB has worked
would wait for ever for threads that it does not have.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any

from sqlalchemy import Engine, event

from rollover.database.session import connect

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["tests.support.roster.stored_sets", "rollover.roster.intake.fetch", "rollover.roster.reading.stage"]
)
SECONDS = 120.0

Work = Callable[..., Any]
"""``work(engine, *arguments)``, a function of a module; arguments and result can be pickled."""


def killed_at(statement: int, work: Work, url: str, *arguments: Any) -> bool:
    """Do work in a process that is killed before its nth statement or commit; False if it got to its end."""
    process = CONTEXT.Process(target=_die_at, args=(statement, work, url, arguments))
    process.start()
    process.join(SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), f"the work failed, or hangs: {process.exitcode}"
    return process.exitcode != 0


def _die_at(statement: int, work: Work, url: str, arguments: tuple[Any, ...]) -> None:
    engine, count = connect(url), 0

    def die_in_time(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(engine, "before_cursor_execute", die_in_time)
    event.listen(engine, "commit", die_in_time)
    work(engine, *arguments)


class Held:
    """Work in a process that stops right before its commit, until it is let go."""

    def __init__(self, work: Work, url: str, *arguments: Any) -> None:
        self._is_there, self._may_go = CONTEXT.Event(), CONTEXT.Event()
        self._process: BaseProcess = CONTEXT.Process(
            target=_wait_before_commit, args=(self._is_there, self._may_go, work, url, arguments)
        )
        self._process.start()
        assert self._is_there.wait(SECONDS)

    def let_go(self) -> None:
        self._may_go.set()
        self._process.join(SECONDS)
        assert self._process.exitcode == 0


def _wait_before_commit(is_there: Event, may_go: Event, work: Work, url: str, arguments: tuple[Any, ...]) -> None:
    engine = connect(url)

    def wait(_: Any) -> None:
        is_there.set()
        may_go.wait(SECONDS)

    event.listen(engine, "commit", wait)
    work(engine, *arguments)


def at_once(*works: tuple[Any, ...]) -> list[Any]:
    """Do several pieces of work, each ``(work, url, *arguments)``, at the same time; returns their results."""
    barrier, results = CONTEXT.Barrier(len(works)), CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=_together, args=(barrier, results, number, *work)) for number, work in enumerate(works)
    ]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=SECONDS) for _ in works)
    for process in processes:
        process.join(SECONDS)
    return [found[number] for number in range(len(works))]


def _together(barrier: Any, results: Any, number: int, work: Work, url: str, *arguments: Any) -> None:
    engine: Engine = connect(url)
    barrier.wait(SECONDS)
    try:
        results.put((number, work(engine, *arguments)))
    except Exception as error:
        results.put((number, repr(error)))
        raise

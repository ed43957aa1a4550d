"""No more than so many processes hold a place at once, and a place is free again whatever ends its holder."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, text

from rollover.database.turns import NoPlaceFree, turn

AT = "SFTP server 127.0.0.1:22"


def test_no_more_than_there_are_places(engine: Engine) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with turn(engine, AT, places=3, wait_seconds=30):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.1)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 3)


def test_who_finds_no_place_is_to_be_tried_again(engine: Engine) -> None:
    with turn(engine, AT, places=1, wait_seconds=0):
        with (
            pytest.raises(TimeoutError, match="all 1 places at SFTP server"),
            turn(engine, AT, places=1, wait_seconds=0),
        ):
            raise AssertionError("it has no place")
        with turn(engine, "another server", places=1, wait_seconds=0):
            pass
    with turn(engine, AT, places=1, wait_seconds=0):
        pass


def test_a_place_is_free_when_its_holder_is_killed(engine: Engine, owner: Engine) -> None:
    killed = ExitStack()
    killed.enter_context(turn(engine, AT, places=1, wait_seconds=0))
    with owner.connect() as connection:
        pids = connection.scalars(text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2")).all()
        assert [connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}) for pid in pids] == [
            True
        ]
    with turn(engine, AT, places=1, wait_seconds=5):
        pass
    assert issubclass(NoPlaceFree, TimeoutError)

"""Bounds how many processes, on whatever machines, do the same thing at once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select

from rollover.database.session import without_values

LOOK_AGAIN_SECONDS = (0.2, 1.0)
"""Between two looks for a free place, at random, so that those who wait do not look at the same time."""


class NoPlaceFree(TimeoutError):
    """Nobody gave up a place in time. The work is to be tried again later."""


@contextmanager
def turn(engine: Engine, what: str, *, places: int, wait_seconds: float) -> Iterator[None]:
    """Hold one of the `places` at `what`, a name. PostgreSQL frees it when the connection ends, also by a kill.

    Raises NoPlaceFree if there is none for `wait_seconds`.
    """
    until = time.monotonic() + wait_seconds
    with without_values(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not _take(connection, what, places):
            if time.monotonic() > until:
                raise NoPlaceFree(f"all {places} places at {what} were taken for {wait_seconds:.0f} s")
            time.sleep(random.uniform(*LOOK_AGAIN_SECONDS))  # noqa: S311 - not a secret
        yield


def _take(connection: Connection, what: str, places: int) -> bool:
    """Whether a place was free; it is taken then."""
    name = func.hashtext(what)
    return any(connection.scalar(select(func.pg_try_advisory_lock(name, place))) for place in range(places))

"""Connections. Work happens in a tenant session: row-level security shows it one tenant's rows and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, func, select, text

APP_ROLE = "rollover_app"
Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]


def connect(url: str | URL) -> Engine:
    """An engine for a task or a command: no pool, since a task is short and forked workers share nothing."""
    return create_engine(url, poolclass=NullPool)


@contextmanager
def tenant_session(engine: Engine, tenant_id: str, *, isolation: Isolation = "READ COMMITTED") -> Iterator[Connection]:
    """One transaction in which only `tenant_id`'s rows exist. Commits at the end, rolls back on an error.

    Row-level security enforces the tenant for ``rollover_app``, a role that owns nothing; a session that
    would bypass it (a superuser, the owner) takes that role first. Times print as UTC, so that a row's text is
    the same in every session.
    """
    with engine.connect().execution_options(isolation_level=isolation) as connection, connection.begin():
        connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))
        connection.execute(
            select(
                func.set_config("rollover.tenant_id", tenant_id, True),
                func.set_config("TimeZone", "UTC", True),
                func.set_config("DateStyle", "ISO, YMD", True),
            )
        )
        yield connection


def lock_tenant(connection: Connection) -> None:
    """Wait until no other transaction changes this tenant's data; hold until this one ends.

    Pausing, applying an import, erasing and resetting take it, so that they never interleave.
    """
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(func.current_setting("rollover.tenant_id"), 0)))
    )

"""Opens tenant sessions: transactions in which row-level security shows the rows of one tenant only."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolResetState

from rollover.errors import DatabaseFailed, DatabaseUnavailable, Refused, TenantBusy
from rollover.settings import Settings

log = logging.getLogger(__name__)

APP_ROLE = "rollover_app"
SEASON_ROLE = "rollover_season"
"""May read ``ledger.season``, ``ledger.notices`` and ``ledger.due`` of all tenants, and nothing else."""
LOOK_AGAIN_SECONDS = 0.1
"""How often somebody who does not wait for ever looks whether the tenant's lock is free."""
Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]


def connect(url: str | URL, *, keep: int = 0) -> Engine:
    """Return an engine. That of a task or a command has no pool: it is short, and forked workers share nothing.

    A server that lives long keeps `keep` connections for its next requests, since a new one has yet to learn what is
    in the database. It opens more when it needs them, and closes those again.
    """
    if not keep:
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    engine = create_engine(url, pool_size=keep, max_overflow=-1, pool_pre_ping=True, hide_parameters=True)
    event.listen(engine, "reset", _give_locks_back)
    return engine


def _give_locks_back(connection: psycopg.Connection[Any], _: object, state: PoolResetState) -> None:
    """End the transaction and the locks of a connection that is kept, as closing it would."""
    if not state.terminate_only:
        connection.rollback()
        connection.execute("SELECT pg_advisory_unlock_all()")
        connection.rollback()


@contextmanager
def tenant_session(
    engine: Engine,
    tenant_id: str,
    *,
    isolation: Isolation = "READ COMMITTED",
    exclusive: bool = False,
    wait_seconds: float | None = None,
    snapshot: str | None = None,
) -> Iterator[Connection]:
    """Open a transaction in which only `tenant_id`'s rows exist. It commits at the end, and rolls back on an error.

    Row-level security enforces the tenant for ``rollover_app``, a role that owns nothing; a session that would bypass
    it (a superuser, the owner) takes that role first. Times print as UTC, so that a row's text is the same in every
    session. No statement is compiled: that takes longer than most of them do. `exclusive` waits for the tenant's lock
    before the transaction begins, so that its snapshot shows the changes of the lock's last owner; if `wait_seconds` is
    given, it raises TenantBusy when the lock is not free by then. `snapshot`, from
    :func:`snapshot_of` another session, shows what that session saw at its beginning; it needs REPEATABLE READ. A
    database error is raised without the values in its message.
    """
    with without_values(), engine.connect() as connection:
        if exclusive:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            _lock(connection, tenant_id, wait_seconds)
            connection.rollback()
        connection.execution_options(isolation_level=isolation)
        with connection.begin():
            if snapshot is not None:
                driver_of(connection).execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
            connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))
            backend = connection.scalar(
                select(
                    func.pg_backend_pid(),
                    func.set_config("rollover.tenant_id", tenant_id, True),
                    func.set_config("TimeZone", "UTC", True),
                    func.set_config("DateStyle", "ISO, YMD", True),
                    func.set_config("jit", "off", True),
                )
            )
            if backend != driver_of(connection).info.backend_pid:
                _refuse_unsafe_pooler()
            yield connection


@contextmanager
def every_tenant_session(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees of all tenants what :data:`SEASON_ROLE` may read, and nothing else."""
    with without_values(), engine.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {SEASON_ROLE}"))
        yield connection


def _refuse_unsafe_pooler() -> None:
    """Raise Refused for a pooler, e.g. PgBouncer, between us and PostgreSQL, unless the deployment says that it is in
    session mode.

    In transaction mode the tenant's lock, which outlasts a transaction, would stay with whichever connection of the
    server happened to be used, and two steps could both hold it. A pooler invents the process id that it shows.
    """
    if Settings().database_pooler != "session":
        raise Refused(
            "The product database is reached through a connection pooler, in which a tenant's lock would be lost.",
            "connect to PostgreSQL itself; or set the pooler to session mode, and ROLLOVER_DATABASE_POOLER=session.",
        )


def _lock(connection: Connection, tenant_id: str, wait_seconds: float | None) -> None:
    """Take the tenant's lock for as long as the connection lasts."""
    key = func.hashtextextended(tenant_id, 0)
    until = None if wait_seconds is None else time.monotonic() + wait_seconds
    while not connection.scalar(select(func.pg_try_advisory_lock(key))):
        if until is None:
            log.warning("another step, import or command works on %s: waiting for its end", tenant_id)
            connection.execute(select(func.pg_advisory_lock(key)))
            return
        if time.monotonic() >= until:
            raise TenantBusy(f"A step, an import or a command works on {tenant_id} now.", "try again in a few minutes.")
        time.sleep(LOOK_AGAIN_SECONDS)


def lock_tenant(connection: Connection) -> None:
    """Wait until no other transaction changes this tenant's data, and keep others waiting until this one ends.

    Pausing, applying an import, erasing and resetting take it, so that they never interleave.
    """
    connection.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(func.current_setting("rollover.tenant_id"), 0)))
    )


def snapshot_of(connection: Connection) -> str:
    """Export this transaction's snapshot, for another session while this one lasts."""
    assert connection.get_isolation_level() == "REPEATABLE READ", "each statement sees something else"
    return str(connection.scalar(select(func.pg_export_snapshot())))


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's connection, in the same transaction: SQLAlchemy has no COPY."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


@contextmanager
def without_values() -> Iterator[None]:
    """Raise database errors with their type and place only, because PostgreSQL's messages quote the row."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        raise _as_failure(origin) from None


def _as_failure(error: BaseException | None) -> DatabaseFailed:
    if not isinstance(error, psycopg.Error):
        return DatabaseFailed(type(error).__name__)
    place = (error.diag.schema_name, error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
    said = [type(error).__name__, f"SQLSTATE {error.sqlstate}", *(part for part in place if part)]
    kind = DatabaseUnavailable if isinstance(error, psycopg.OperationalError) else DatabaseFailed
    return kind(", ".join(said))

"""Where a tenant is, in one line: support must be able to name the date of the last import file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, text

from rollover.database.tables.directory import tenants
from rollover.database.tables.ledger import imports, rollovers
from rollover.ledger import holds, pause
from rollover.roster.imports import ImportState

# Of each tenant the newest drop and the one that is live, with the dates of their files: often one and the same.
NOT_READ = """
    SELECT i.found_at, jsonb_array_length(d.files) AS files
    FROM ledger.imports i JOIN ledger.drops d ON d.drop_id = i.import_id
    WHERE i.reason = 'refused for not_read' ORDER BY i.found_at DESC LIMIT 1
"""
LAST_IMPORTS = "SELECT * FROM ledger.last_imports"


def status_of(connection: Connection) -> str:
    """The session's tenant: current school year, last rollover, pause, last import and its file dates, what waits."""
    year = connection.scalar(select(tenants.c.current_school_year))
    parts = [f"current school year {year}" if year else "not in the directory"]
    rollover = connection.execute(
        select(rollovers.c.school_year, rollovers.c.state).order_by(rollovers.c.started_at.desc()).limit(1)
    ).one_or_none()
    parts.append(f"rollover of {rollover.school_year} {rollover.state}" if rollover else "no rollover yet")
    lease = pause.current(connection)
    parts.append(
        f"sync paused since {_time(lease.paused_at)} by {lease.paused_by}: {lease.reason}"
        if lease
        else "nightly sync: on"
    )
    parts += [f"{hold}, set by {hold.set_by}" for hold in holds.in_force(connection)]
    last = connection.execute(text(LAST_IMPORTS)).all()
    live = next((row for row in last if row.is_live), None)
    newest = next((row for row in last if row.is_newest), None)
    parts.append(f"last import: {_told(live) if live else 'none'}")
    if newest is not None and newest is not live:
        parts.append(f"newest drop: {newest.state}, {_told(newest)}")
    parts += _held(connection)
    parts += _not_read(connection)
    waiting = connection.scalar(select(func.count()).where(imports.c.state == ImportState.READY)) or 0
    if waiting:
        parts.append(f"{waiting} {'drop waits' if waiting == 1 else 'drops wait'} to be applied")
    return "; ".join(parts)


def _held(connection: Connection) -> list[str]:
    """Each set that waits for a person, since when, why, and how to decide."""
    rows = imports.c
    query = select(rows.import_id, rows.changed_at, rows.reason).where(rows.state == ImportState.HELD)
    return [
        f"HELD since {_time(row.changed_at)}: {row.import_id}, {row.reason}; answer in Airflow (Browse, Required "
        "Actions) or by `rollover roster decide`"
        for row in connection.execute(query.order_by(rows.found_at, rows.import_id))
    ]


def _not_read(connection: Connection) -> list[str]:
    """The last set of files that were passed over, since no roster is read from them; without their names."""
    row = connection.execute(text(NOT_READ)).one_or_none()
    if row is None:
        return []
    return [f"{row.files} files on SFTP are not read (found {_time(row.found_at)}): see findings.csv in the outbox"]


def _told(row: Row[*tuple[Any, ...]]) -> str:
    """When, of which year, the dates of its files as the district's server has them, and what came of it."""
    said = f"{_time(row.changed_at)}, {row.school_year or 'year unknown'}"
    if row.files_to is not None:
        first = f"{_time(row.files_from)} to " if row.files_from != row.files_to else ""
        said += f", files of {first}{_time(row.files_to)}"
    if row.rows is not None:
        said += f", {row.rows:,} rows, {row.errors:,} errors, {row.warnings:,} warnings"
    return f"{said} ({row.reason})" if row.reason else said


def _time(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

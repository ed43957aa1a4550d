"""Where a tenant is, in one line: support must be able to name the date of the last import file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from rollover import pause
from rollover.database.tables.directory import tenants
from rollover.database.tables.ledger import drops, imports, rollovers


def status_of(connection: Connection) -> str:
    """The session's tenant: current school year, last rollover, pause, last applied import and its file dates."""
    year = connection.scalar(select(tenants.c.current_school_year))
    parts = [f"current school year {year}" if year else "not in the directory"]
    rollover = connection.execute(
        select(rollovers.c.school_year, rollovers.c.state).order_by(rollovers.c.started_at.desc()).limit(1)
    ).one_or_none()
    parts.append(f"rollover of {rollover.school_year} {rollover.state}" if rollover else "no rollover yet")
    lease = pause.current(connection)
    parts.append(
        f"sync paused since {lease['paused_at']:%Y-%m-%d %H:%M} UTC by {lease['paused_by']}" if lease else "sync on"
    )
    parts.append(f"last import: {_told(_last(connection, 'applied'))}")
    newest = _last(connection)
    if newest is not None and newest.state != "applied":
        parts.append(f"newest drop: {newest.state}, {_told(newest)}")
    waiting = connection.scalar(select(func.count()).where(imports.c.state == "ready")) or 0
    parts.append(f"{waiting} drops kept" if waiting else "no drop kept")
    return "; ".join(parts)


def _last(connection: Connection, *states: str) -> Row[*tuple[Any, ...]] | None:
    query = select(
        imports.c.state, imports.c.school_year, imports.c.reason, imports.c.changed_at, drops.c.found_at, drops.c.files
    ).join(drops, drops.c.drop_id == imports.c.import_id)
    if states:
        query = query.where(imports.c.state.in_(states))
    return connection.execute(query.order_by(imports.c.changed_at.desc()).limit(1)).one_or_none()


def _told(found: Row[*tuple[Any, ...]] | None) -> str:
    """When, of which year, and the date of its newest file as the district's server has it."""
    if found is None:
        return "none"
    newest = max((file["modified"] for file in found.files), default=0)
    said = f"{found.changed_at:%Y-%m-%d %H:%M} UTC, {found.school_year or 'year unknown'}"
    said += f", files of {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M} UTC"
    return f"{said} ({found.reason})" if found.reason else said

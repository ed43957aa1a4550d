"""Where a tenant is, in one line: support must be able to name the date of the last import file."""

from __future__ import annotations

from sqlalchemy import Connection, select

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
    last = connection.execute(
        select(imports.c.state, imports.c.school_year, imports.c.changed_at, drops.c.files)
        .join(drops, drops.c.drop_id == imports.c.import_id)
        .order_by(imports.c.found_at.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return "; ".join([*parts, "no import yet"])
    dates = sorted(str(file["modified"]) for file in last.files)
    parts.append(
        f"last import {last.state} on {last.changed_at:%Y-%m-%d %H:%M} UTC ({last.school_year or 'year unknown'}, "
        f"newest file of {dates[-1] if dates else 'unknown'})"
    )
    return "; ".join(parts)

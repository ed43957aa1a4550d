"""Finds the state of a tenant; support must be able to name the date of the last import file."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from rollover.database.tables.directory import tenants
from rollover.database.tables.ledger import imports, rollovers
from rollover.ledger import holds, pause
from rollover.roster.imports import ImportState
from rollover.season.status_values import (
    ImportInReview,
    ImportSummary,
    LastRollover,
    OpenPause,
    TenantStatus,
    UnreadFiles,
)

NOT_READ = """
    SELECT i.found_at, jsonb_array_length(d.files) AS files
    FROM ledger.imports i JOIN ledger.drops d ON d.drop_id = i.import_id
    WHERE i.reason = 'refused for not_read' ORDER BY i.found_at DESC LIMIT 1
"""
# The newest drop of each tenant and the live one, with the dates of their files. Often both are the same.
LAST_IMPORTS = "SELECT * FROM ledger.last_imports"


def status_of(connection: Connection) -> TenantStatus:
    """The state of the session's tenant: school year, rollover, pause, last import and its file dates, open work."""
    live, newest = _last_imports(connection)
    return TenantStatus(
        current_school_year=connection.scalar(select(tenants.c.current_school_year)),
        rollover=_rollover(connection),
        pause=_pause(connection),
        holds=[f"{hold}, set by {hold.set_by}" for hold in holds.in_force(connection)],
        last_import=live,
        newest_drop=newest,
        in_review=_in_review(connection),
        unread=_unread(connection),
        waiting=connection.scalar(select(func.count()).where(imports.c.state == ImportState.READY)) or 0,
    )


def _rollover(connection: Connection) -> LastRollover | None:
    query = select(rollovers.c.school_year, rollovers.c.state).order_by(rollovers.c.started_at.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return LastRollover(row.school_year, row.state) if row else None


def _pause(connection: Connection) -> OpenPause | None:
    found = pause.current(connection)
    return OpenPause(found.paused_at, found.paused_by, found.reason) if found else None


def _last_imports(connection: Connection) -> tuple[ImportSummary | None, ImportSummary | None]:
    """The drop that is live, and the newest one if it is another."""
    rows = connection.execute(text(LAST_IMPORTS)).mappings().all()
    live, newest = (next((row for row in rows if row[which]), None) for which in ("is_live", "is_newest"))
    names = ImportSummary.__dataclass_fields__
    return (
        ImportSummary(**{name: live[name] for name in names}) if live else None,
        ImportSummary(**{name: newest[name] for name in names}) if newest and newest is not live else None,
    )


def _in_review(connection: Connection) -> list[ImportInReview]:
    rows = imports.c
    query = select(rows.import_id, rows.changed_at, rows.reason).where(rows.state == ImportState.IN_REVIEW)
    return [ImportInReview(*row) for row in connection.execute(query.order_by(rows.found_at, rows.import_id))]


def _unread(connection: Connection) -> UnreadFiles | None:
    row = connection.execute(text(NOT_READ)).one_or_none()
    return UnreadFiles(row.files, row.found_at) if row else None

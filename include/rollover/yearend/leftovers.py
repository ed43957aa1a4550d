"""Finds children's records that are left outside the tables of a plan."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, func, or_, select, text
from upath import UPath

from rollover.database.held import is_held_in_roster
from rollover.database.tables.ledger import exports, imports, pauses, rollovers
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.ledger.rollovers import RolloverState
from rollover.roster.imports.files import import_folder
from rollover.roster.imports.model import TERMINAL
from rollover.run import Run

NIGHTS = timedelta(days=2)
"""How long the nightly roster_sync may take to remove what is past its time. It does not while the sync is paused."""

GRACE_IS_OVER = """
    SELECT count(*) FROM {table} t JOIN ledger.imports i USING (import_id)
    WHERE t.status = 'tobedeleted' AND i.state = 'applied' AND i.changed_at < :before AND NOT {held}
"""
HISTORY = """
    SELECT count(*) FROM roster.history h JOIN ledger.imports i USING (import_id)
    WHERE i.state = 'applied' AND i.changed_at < :before
"""
# A login or an address as a word of its own: what the reader of a finding would see.
NAMED_IN_FINDINGS = """
    SELECT count(DISTINCT f.finding_id)
    FROM ledger.findings f, regexp_split_to_table(f.message, '[^[:alnum:]@._+-]+') word
    JOIN roster.people p ON word IN (p.username, p.email)
"""


def past_their_time(connection: Connection, run: Run) -> dict[str, int]:
    """Count what the nightly sync should have removed: staged sets, exports, rows and history of the roster;
    and how many findings name a person, which none may."""
    # Pauses that ended more than NIGHTS ago are ignored: cleanup has run since.
    lately = or_(pauses.c.ended_at.is_(None), pauses.c.ended_at > run.now - NIGHTS)
    paused_at = connection.scalar(select(func.max(pauses.c.paused_at)).where(lately))
    nightly = min(paused_at or run.now, run.now) - NIGHTS
    before = {"before": nightly - timedelta(days=run.product.grace_days_of(run.config))}
    found = {
        table.fullname: connection.scalar(
            text(GRACE_IS_OVER.format(table=table.fullname, held=is_held_in_roster(table))), before
        )
        for table in ROSTER_TABLES
    }
    found["roster.history"] = connection.scalar(text(HISTORY), before)
    found["findings that name a person"] = connection.scalar(text(NAMED_IN_FINDINGS))
    found["staged sets"] = _staged(connection, run.storage, nightly)
    found["exports"] = _exports(connection, nightly - timedelta(days=run.product.exports_kept_days_of(run.config)))
    return {name: count or 0 for name, count in found.items()}


def _staged(connection: Connection, storage: UPath, before: datetime) -> int:
    query = select(imports.c.import_id).where(imports.c.state.in_(TERMINAL), imports.c.changed_at < before)
    return sum(import_folder(storage, import_id).exists() for import_id in connection.scalars(query))


def _exports(connection: Connection, before: datetime) -> int:
    """Count the exported files that exist, or that the ledger does not know to be removed."""
    query = (
        select(exports.c.path)
        .join(rollovers, rollovers.c.rollover_id == exports.c.rollover_id)
        .where(
            rollovers.c.state == RolloverState.CERTIFIED,
            rollovers.c.finished_at < before,
            exports.c.removed_at.is_(None),
        )
    )
    return len(connection.scalars(query).all())

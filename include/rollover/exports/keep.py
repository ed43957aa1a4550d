"""Removes exports after the district has had time to fetch them, because they have children's records."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection, Engine, select, update

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import exports, rollovers
from rollover.ledger import evidence
from rollover.ledger.rollovers import RolloverState
from rollover.storage import storage_path

log = logging.getLogger(__name__)

Remove = Callable[[str], None]
"""Remove a file from the district's SFTP, if it is still there: ``remove(remote path)``."""


def remove_expired(engine: Engine, tenant_id: str, *, kept_days: int, now: datetime, remove: Remove) -> int:
    """Remove a tenant's expired exports from storage and outbox; return the number of files.

    Time counts from the certificate: before it, the files prove that nothing was lost. Receipts stay, with the time of
    the removal, which is evidence. Safe to run again after a crash: files that are already gone are ignored.
    """
    with tenant_session(engine, tenant_id, exclusive=True) as connection:
        expired = connection.execute(
            select(exports.c.rollover_id, exports.c.path, exports.c.delivered_to)
            .join(rollovers, rollovers.c.rollover_id == exports.c.rollover_id)
            .where(
                exports.c.removed_at.is_(None),
                rollovers.c.state == RolloverState.CERTIFIED,
                rollovers.c.finished_at < now - timedelta(days=kept_days),
            )
            .order_by(exports.c.rollover_id, exports.c.path)
        ).all()
        for rollover_id, files in groupby(expired, key=lambda row: row.rollover_id):
            _remove(connection, tenant_id, rollover_id, [(row.path, row.delivered_to) for row in files], now, remove)
    if expired:
        log.info("%s: %s exports, kept for %s days, are removed", tenant_id, len(expired), kept_days)
    return len(expired)


def _remove(
    connection: Connection,
    tenant_id: str,
    rollover_id: str,
    files: list[tuple[str, str | None]],
    now: datetime,
    remove: Remove,
) -> None:
    for path, delivered_to in files:
        if delivered_to is not None:
            remove(delivered_to)
        storage_path(path).unlink(missing_ok=True)
    connection.execute(
        update(exports)
        .where(exports.c.rollover_id == rollover_id, exports.c.removed_at.is_(None))
        .values(removed_at=now)
    )
    evidence.record(connection, tenant_id, "exports_removed", {"files": len(files)}, rollover_id)

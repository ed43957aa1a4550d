"""Collects what else the ledger has of a tenant: what was sent, what is held, and when the sync was paused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import pauses
from rollover.ledger import holds
from rollover.ledger.holds import KINDS
from rollover.ledger.notices import Recorded, listed


@dataclass(frozen=True)
class HoldView:
    """A hold in words. It says that there is a student, and not who: neither id nor reason, which may name one."""

    hold_id: int
    kind: str
    scope: str
    set_by: str
    set_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


@dataclass(frozen=True)
class PauseView:
    """A pause of the nightly sync. Without an end it is open."""

    paused_by: str
    reason: str
    paused_at: datetime
    ended_by: str | None
    ended_at: datetime | None


def sent(connection: Connection, tenant_id: str, *, most: int = 50) -> list[Recorded]:
    """The newest mails and messages about the session's tenant, also those that were not sent."""
    return listed(connection, [tenant_id])[:most]


def held(connection: Connection) -> list[HoldView]:
    """All holds of the session's tenant, the open ones first."""
    found = holds.every(connection)
    names = _names(connection) if any(hold.school_id for hold in found) else {}
    views = [
        HoldView(
            hold.hold_id,
            KINDS[hold.kind],
            f"{names.get(hold.school_id, 'school')} ({hold.school_id})" if hold.school_id else hold.scope,
            hold.set_by,
            hold.set_at,
            hold.lifted_by,
            hold.lifted_at,
        )
        for hold in found
    ]
    return sorted(views, key=lambda view: (view.lifted_at is not None, -view.hold_id))


def paused(connection: Connection, *, most: int = 20) -> list[PauseView]:
    """The newest pauses of the session's tenant."""
    columns = [pauses.c[name] for name in PauseView.__dataclass_fields__]
    query = select(*columns).order_by(pauses.c.pause_id.desc()).limit(most)
    return [PauseView(*row) for row in connection.execute(query)]


def _names(connection: Connection) -> Mapping[str | None, str]:
    return {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}

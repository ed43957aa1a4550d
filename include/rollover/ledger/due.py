"""Reads what may be due at night, of all tenants in one statement: see the view ``ledger.due``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Engine, text

from rollover.database.session import every_tenant_session


class Kind(StrEnum):
    """The kinds of work. The view has the same."""

    IMPORT = "import"
    """Roster imports that are not finished."""
    IMPORT_FILES = "import_files"
    """Files of finished imports; not while the sync is paused."""
    ROSTER_ROWS = "roster_rows"
    """Rows that an applied import marked; since it was applied."""
    EXPORTS = "exports"
    """Exports of certified rollovers; since the certificate."""
    REPORTS = "reports"
    """Reports about finished imports in the outbox; since the imports were finished."""
    OUTDATED_REPORT = "outdated_report"
    """An import whose report describes an old state; `about` is its id."""
    PAUSE = "pause"
    """An open pause of the roster sync; `about` is who paused it."""
    FILES_CHECKED = "files_checked"
    """When folders and ledger were last compared."""
    FILES_CHANGED = "files_changed"
    """Files were recorded or removed after that, or it found a difference."""
    ARCHIVED_YEAR = "archived_year"
    """An archived school year, which `about` names; since its reset date, as midnight UTC."""


@dataclass(frozen=True)
class Due:
    """Work of one kind for one tenant. The tenant's own number of days counts from `at`, the oldest time."""

    tenant_id: str
    kind: Kind
    about: str | None
    at: datetime | None
    """None of files that were never compared."""


QUERY = text(
    "SELECT tenant_id, kind, about, at FROM ledger.due WHERE kind = ANY (:kinds) ORDER BY tenant_id, at, about"
)


def read(engine: Engine, *kinds: Kind) -> list[Due]:
    """What may be due of some kinds, by tenant and time, oldest first. Tenants without a district file are included."""
    with every_tenant_session(engine) as connection:
        rows = connection.execute(QUERY, {"kinds": [kind.value for kind in kinds]}).all()
    return [Due(row.tenant_id, Kind(row.kind), row.about, row.at) for row in rows]

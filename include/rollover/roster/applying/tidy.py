"""Removes the files of finished sets, and rows that have been ``tobedeleted`` longer than the grace.

Both have children's records. The ledger keeps the facts about them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, select, text, union_all, update
from upath import UPath

from rollover.database.held import is_held_in_roster
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables.ledger import imports
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.ledger import evidence, pause
from rollover.roster.applying.history import mark_gone
from rollover.roster.imports.files import import_folder
from rollover.roster.imports.model import TERMINAL, ImportState
from rollover.roster.imports.roster_version import bump_version

log = logging.getLogger(__name__)


GONE = """
    WITH gone AS (
        DELETE FROM {table} t USING ledger.imports i
        WHERE t.status = 'tobedeleted' AND i.import_id = t.import_id AND {over} AND NOT {held}
        RETURNING t.import_id
    )
    SELECT import_id, count(*) AS rows FROM gone GROUP BY import_id
"""
FORGOTTEN = """
    DELETE FROM roster.history h USING ledger.imports i WHERE i.import_id = h.import_id AND {over} RETURNING h.import_id
"""
OVER = "i.state = 'applied' AND i.changed_at < :before"
SETTLED = timedelta(days=1)
"""After this time no step writes files of a finished import: one that was at work when it ended has ended, too."""


@dataclass(frozen=True)
class Tidied:
    """The numbers of removed rows and sets."""

    sets: int = 0
    """Sets whose files were removed."""
    rows: dict[str, int] = field(default_factory=dict)
    """By table of the roster."""

    @property
    def is_nothing(self) -> bool:
        return not self.sets and not self.rows

    def as_json(self) -> dict[str, int | dict[str, int]]:
        """What the task returns to Airflow."""
        return {"sets": self.sets, "rows": self.rows}


def tidy(engine: Engine, tenant_id: str, storage: UPath, *, grace_days: int, now: datetime) -> Tidied:
    """Remove a tenant's rows whose grace is over, and the files of its finished imports.

    A row is removed if the import that marked it was applied more than `grace_days` before `now`, unless the row is on
    hold. The history of imports of that age is removed, too. While the sync is paused nothing is removed, because a
    rollover verifies the live roster with the files. What is gone is recorded, so that nobody looks for it again.
    """
    with tenant_session(engine, tenant_id) as connection:
        lock_tenant(connection)
        if pause.current(connection) is not None:
            return Tidied()
        rows = _remove_rows(connection, tenant_id, grace_days, now)
        with_files = (imports.c.state.in_(TERMINAL), imports.c.files_removed_at.is_(None))
        done = connection.scalars(select(imports.c.import_id).where(*with_files)).all()
    removed = _remove_files(tenant_id, storage, done)
    if done:
        with tenant_session(engine, tenant_id) as connection:
            settled = (imports.c.import_id.in_(done), imports.c.changed_at < now - SETTLED, *with_files)
            connection.execute(update(imports).where(*settled).values(files_removed_at=now))
    return Tidied(removed, rows)


def _remove_rows(connection: Connection, tenant_id: str, grace_days: int, now: datetime) -> dict[str, int]:
    given = {"before": now - timedelta(days=grace_days)}
    over = (imports.c.state == ImportState.APPLIED, imports.c.changed_at < given["before"])
    unfinished = (*over, imports.c.rows_removed_at.is_(None))
    if connection.scalar(select(imports.c.import_id).where(*unfinished).limit(1)) is None:
        return {}
    ended: set[str] = set()
    rows: dict[str, int] = {}
    for table in ROSTER_TABLES:
        gone = connection.execute(
            text(GONE.format(table=table.fullname, over=OVER, held=is_held_in_roster(table))), given
        ).all()
        ended.update(import_id for import_id, _ in gone)
        if gone:
            rows[table.name] = sum(count for _, count in gone)
    if rows:
        bump_version(connection)
        evidence.record(connection, tenant_id, "left_the_roster", {"rows": rows, "grace_days": grace_days}, None)
        log.info("%s: rows that left the roster for good: %s", tenant_id, rows)
    ended.update(connection.scalars(text(FORGOTTEN.format(over=OVER)), given))
    mark_gone(connection, ended)
    left = union_all(*(select(t.c.import_id).where(t.c.status == "tobedeleted") for t in ROSTER_TABLES))
    connection.execute(update(imports).where(*unfinished, imports.c.import_id.not_in(left)).values(rows_removed_at=now))
    return rows


def _remove_files(tenant_id: str, storage: UPath, done: Iterable[str]) -> int:
    folders = [folder for folder in (import_folder(storage, import_id) for import_id in done) if folder.exists()]
    for folder in folders:
        folder.fs.rm(folder.path, recursive=True)
    if folders:
        log.info("%s: the files of %s sets that are done with are removed", tenant_id, len(folders))
    return len(folders)

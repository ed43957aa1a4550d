"""Remove sets from storage that are done with: they hold children's records, and the ledger has what is to be known."""

from __future__ import annotations

import logging

from sqlalchemy import select
from sqlalchemy.engine import Engine
from upath import UPath

from rollover import pause
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.roster.files import import_folder
from rollover.roster.imports import TERMINAL

log = logging.getLogger(__name__)


def tidy(engine: Engine, tenant_id: str, storage: UPath) -> int:
    """Remove the files of a tenant's applied, rejected and superseded imports; returns how many sets went.

    While the sync is paused they stay: a rollover verifies the live roster against them.
    """
    with tenant_session(engine, tenant_id) as connection:
        if pause.current(connection) is not None:
            return 0
        done = connection.scalars(select(imports.c.import_id).where(imports.c.state.in_(TERMINAL))).all()
    folders = [folder for folder in (import_folder(storage, import_id) for import_id in done) if folder.exists()]
    for folder in folders:
        folder.fs.rm(folder.path, recursive=True)
    if folders:
        log.info("%s: the files of %s sets that are done with are removed", tenant_id, len(folders))
    return len(folders)

"""Removes old reports about imports from the outbox, because they name the ids of people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, select

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.details import Reported
from rollover.roster.imports.model import REPORT_IS_THERE, TERMINAL, write_details
from rollover.roster.reporting.report import FINDINGS, SUMMARY

log = logging.getLogger(__name__)

Remove = Callable[[str], None]
"""Remove a file of the outbox; one that is gone already is ignored."""


def remove_old_reports(engine: Engine, tenant_id: str, *, kept_days: int, now: datetime, remove: Remove) -> int:
    """Remove a tenant's reports about imports that have been finished for `kept_days`; returns how many.

    Safe to run again after a crash. The ledger keeps the findings, which name no id.
    """
    row = imports.c
    with tenant_session(engine, tenant_id) as connection:
        old = connection.execute(
            select(row.import_id, row.details["reported"]).where(
                row.state.in_(TERMINAL), row.changed_at < now - timedelta(days=kept_days), REPORT_IS_THERE
            )
        ).all()
        for import_id, there in old:
            reported = Reported(**{**there, "removed_at": now.isoformat()})
            for name in (FINDINGS, SUMMARY):
                remove(f"{reported.folder}/{name}")
            write_details(connection, import_id, ImportDetails(reported=reported))
    if old:
        log.info("%s: %s reports about imports, kept for %s days, are removed", tenant_id, len(old), kept_days)
    return len(old)

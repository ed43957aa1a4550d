"""Counts the changes of each tenant's live roster, so that results that are valid for one version only can be
checked."""

from __future__ import annotations

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from rollover.database.tables import ledger


def roster_version(connection: Connection) -> int:
    """How often the live roster of the session's tenant has changed; 0 before the first time."""
    return connection.scalar(select(ledger.roster_versions.c.version)) or 0


def bump_version(connection: Connection) -> int:
    """Increment the version of the live roster, which makes comparisons with the old one invalid. Returns the new one.

    The caller holds the tenant's lock, and makes the change in the same transaction.
    """
    versions = ledger.roster_versions
    first = insert(versions).values(tenant_id=func.current_setting("rollover.tenant_id"), version=1)
    risen = first.on_conflict_do_update(
        constraint=versions.primary_key,
        set_={"version": versions.c.version + 1, "changed_at": func.clock_timestamp()},
    )
    return int(connection.execute(risen.returning(versions.c.version)).scalar_one())

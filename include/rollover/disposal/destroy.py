"""Destroys a tenant's key, and so every copy of what it encrypts, even copies that nobody can reach any more.

One person asks for it, another approves and does it. The database checks that they are two.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from upath import UPath

from rollover.archive.keys import Keys
from rollover.config import District, Product
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import archives, rollovers
from rollover.disposal.lifecycle import Disposal, approve_and_run
from rollover.disposal.retention import archived_years, holds_on
from rollover.errors import ProofFailed, Refused
from rollover.ledger import disposal_plans
from rollover.ledger.disposal_plans import DESTROY_KEY, Content, DisposalPlan
from rollover.ledger.identity import is_same
from rollover.ledger.rollovers import RolloverState
from rollover.storage import sync_folder
from rollover.tenant import Tenant

DESTROYED = "archive_key_destroyed"
"""The kind of evidence of a key that was destroyed."""
ASK_AGAIN = "ask for it again: `rollover archive destroy-key TENANT --why TEXT`."


@dataclass(frozen=True)
class Tenancy:
    """A tenant, with what the destruction of its key needs."""

    engine: Engine
    tenant: Tenant
    district: District
    product: Product
    storage: UPath
    signing_key: Path | None


def ask(of: Tenancy, keys: Keys, *, by: str, why: str) -> DisposalPlan:
    """Freeze the plan to destroy the tenant's key. Raises Refused if a hold is on an archived year."""
    key = keys.of(of.tenant.id)
    with tenant_session(of.engine, of.tenant.id, exclusive=True) as connection:
        content = _draft(connection, of, key.id, why)
        return disposal_plans.freeze(connection, of.tenant.id, DESTROY_KEY, content, asked_by=by)


def destroy(of: Tenancy, keys: Keys, *, plan_hash: str, by: str) -> dict[str, Any]:
    """Destroy the key of a plan that another person asked for; see :func:`lifecycle.approve_and_run`.

    `plan_hash` may be its first characters, twelve at least.
    """
    return approve_and_run(KeyDestruction(of, keys), plan_hash, by)


class KeyDestruction(Disposal):
    """The destruction of a tenant's key."""

    event = DESTROYED

    def __init__(self, of: Tenancy, keys: Keys) -> None:
        self.of = self._of = of
        self._keys = keys

    def find(self, connection: Connection, plan_hash: str) -> DisposalPlan:
        frozen = disposal_plans.newest(connection, DESTROY_KEY)
        if frozen is None or len(plan_hash) < 12 or not frozen.plan_hash.startswith(plan_hash):
            raise Refused(f"The last plan to destroy the key of {self._of.tenant} is not {plan_hash}.", ASK_AGAIN)
        return frozen

    def check_approval(self, plan: DisposalPlan, by: str) -> None:
        if is_same(str(plan.asked_by), by):
            raise Refused(f"{by} asked for it: a second person approves.", "ask somebody else to run this command.")

    def check_still_holds(self, connection: Connection, plan: DisposalPlan) -> None:
        content, tenant = plan.content, self._of.tenant
        if _draft(connection, self._of, content["key_id"], content["why"]) != content:
            raise ProofFailed(f"The archive of {tenant} changed since its plan was frozen.", ASK_AGAIN)
        if plan.approved_by is None or self._keys.path(tenant.id).exists():
            self._keys.to_read(tenant.id, content["key_id"])

    def run(self, plan: DisposalPlan) -> None:
        _overwrite(self._keys.path(self._of.tenant.id))

    def facts(self, plan: DisposalPlan) -> dict[str, Any]:
        return {
            **plan.content,
            "plan_hash": plan.plan_hash,
            "asked_by": plan.asked_by,
            "approved_by": plan.approved_by,
        }


def markdown(of: Tenancy, content: Content) -> str:
    """Return the plan as the second person reads it."""
    years = [
        f"| {each['school_year']} | {each['files']:,} | {each['rows']:,} | {each['not_encrypted']:,} |"
        for each in content["years"]
    ]
    return "\n".join(
        [
            f"The key {content['key_id']} of {of.tenant} is destroyed. Nobody can read what it encrypts any more, "
            "in no copy.",
            f"Why: {content['why']}",
            "",
            "| School year | Files of this key | Rows in them | Files not of this key, which stay readable |",
            "|---|---:|---:|---:|",
            *years,
        ]
    )


def _draft(connection: Connection, of: Tenancy, key_id: str, why: str) -> Content:
    """Return what is lost with the key, by the receipts of the archived years. Raises Refused if one has to stay."""
    if held := holds_on(connection, None):
        raise Refused(
            f"The key of {of.tenant} stays: {'; '.join(map(str, held))}.", "wait until the hold is lifted, then ask."
        )
    running = connection.scalar(
        select(rollovers.c.rollover_id).where(rollovers.c.state == RolloverState.RUNNING).limit(1)
    )
    if running is not None:
        raise Refused(f"{running} is not finished: its archive may be all that is left of it.", "finish it first.")
    years = archived_years(connection)
    own = archives.c.key_id == key_id
    query = (
        select(
            rollovers.c.school_year,
            func.count().filter(own).label("files"),
            func.coalesce(func.sum(archives.c.rows).filter(own), 0).label("rows"),
            func.count().filter(~func.coalesce(own, False)).label("not_encrypted"),
        )
        .join(rollovers, rollovers.c.rollover_id == archives.c.rollover_id)
        .where(rollovers.c.school_year.in_(years))
        .group_by(rollovers.c.school_year)
        .order_by(rollovers.c.school_year)
    )
    found = [
        {name: value if name == "school_year" else int(value) for name, value in row.items()}
        for row in connection.execute(query).mappings()
    ]
    return {"key_id": key_id, "why": why, "years": found}


def _overwrite(path: Path) -> None:
    """Overwrite a file and remove it. What a disk still keeps of it, no program can say.

    It loses its name first, so that what a killed task left is never taken for a key that is there.
    """
    going = path.with_suffix(".destroyed")
    with suppress(FileNotFoundError):
        path.rename(going)
    with suppress(FileNotFoundError):
        with going.open("r+b") as stream:
            stream.write(os.urandom(going.stat().st_size))
            stream.flush()
            os.fsync(stream.fileno())
        going.unlink()
    sync_folder(UPath(path.parent))

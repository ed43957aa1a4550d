"""Plans by which archived data is destroyed: frozen, approved by a person, done once. The ledger has them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from rollover.database.tables.ledger import archive_plans
from rollover.ledger import evidence

EXPIRE, DESTROY_KEY = "expire", "destroy_key"
Content = dict[str, Any]
"""What is erased, and why, as small JSON without a personal value."""


@dataclass(frozen=True)
class DisposalPlan:
    """A plan to erase an expired school year, or a tenant's key."""

    plan_id: int
    kind: str
    school_year: str | None
    plan_hash: str
    content: Content
    asked_by: str | None
    frozen_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    done_at: datetime | None

    def __str__(self) -> str:
        """Describe a plan that was run, for people."""
        asked = f", asked for by {self.asked_by}" if self.asked_by else ""
        return f"on {self.done_at:%Y-%m-%d}, plan {self.plan_hash[:12]}{asked}, approved by {self.approved_by}"


def freeze(
    connection: Connection,
    tenant_id: str,
    kind: str,
    content: Content,
    *,
    school_year: str | None = None,
    asked_by: str | None = None,
) -> DisposalPlan:
    """Freeze a plan, unless the last one says the same and waits for its approval. The caller holds the tenant's lock.

    An approval is not used again later: a plan that was approved but not run is frozen again.
    """
    digest, last = hash_of(content), newest(connection, kind, school_year)
    if last is None or (last.plan_hash, last.asked_by, last.approved_by) != (digest, asked_by, None):
        values = {"kind": kind, "school_year": school_year, "content": content, "asked_by": asked_by}
        connection.execute(insert(archive_plans).values(tenant_id=tenant_id, plan_hash=digest, **values))
        last = newest(connection, kind, school_year)
    assert last is not None
    return last


def approve(connection: Connection, tenant_id: str, plan: DisposalPlan, by: str, why: str | None = None) -> None:
    """Record who approved a plan, in the ledger and as evidence. The first approval counts."""
    if plan.approved_by is None:
        _set(connection, plan, approved_by=by, approved_at=func.clock_timestamp())
        facts = {"plan": plan.plan_id, "plan_hash": plan.plan_hash, "kind": plan.kind, "by": by, "why": why}
        evidence.record(connection, tenant_id, evidence.ARCHIVE_PLAN_APPROVED, facts, None)


def finish(connection: Connection, plan: DisposalPlan) -> None:
    _set(connection, plan, done_at=func.clock_timestamp())


def newest(connection: Connection, kind: str, school_year: str | None = None) -> DisposalPlan | None:
    """Return the last plan of a kind of the session's tenant, whether it was run or not."""
    return _last(connection, _plans(kind, school_year))


def expired(connection: Connection, school_year: str) -> DisposalPlan | None:
    """Return the last plan by which an archived year was erased."""
    return _last(connection, _plans(EXPIRE, school_year).where(archive_plans.c.done_at.is_not(None)))


def destroyed(connection: Connection, key_id: str) -> DisposalPlan | None:
    """Return the plan by which a key was destroyed."""
    done = _plans(DESTROY_KEY, None).where(archive_plans.c.done_at.is_not(None))
    return _last(connection, done.where(archive_plans.c.content["key_id"].astext == key_id))


def hash_of(content: Content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plans(kind: str, school_year: str | None) -> Select[Any]:
    columns = [archive_plans.c[name] for name in DisposalPlan.__dataclass_fields__]
    return select(*columns).where(
        archive_plans.c.kind == kind, archive_plans.c.school_year.is_not_distinct_from(school_year)
    )


def _last(connection: Connection, query: Select[Any]) -> DisposalPlan | None:
    row = connection.execute(query.order_by(archive_plans.c.plan_id.desc()).limit(1)).mappings().one_or_none()
    return DisposalPlan(**row) if row else None


def _set(connection: Connection, plan: DisposalPlan, **values: Any) -> None:
    connection.execute(update(archive_plans).where(archive_plans.c.plan_id == plan.plan_id).values(**values))

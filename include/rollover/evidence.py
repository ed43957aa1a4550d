"""What proves a step: facts in a chain of hashes, in a table that the working role can only add to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Connection, func, insert, select

from rollover.database.tables.ledger import evidence

FIRST = "0" * 64


def record(connection: Connection, tenant_id: str, kind: str, facts: dict[str, Any], rollover_id: str | None) -> str:
    """Add a link to the tenant's chain; returns its hash. The caller holds the tenant's lock.

    Facts are JSON, without any personal value.
    """
    previous = connection.scalar(select(evidence.c.hash).order_by(evidence.c.evidence_id.desc()).limit(1))
    recorded_at = connection.scalar(select(func.clock_timestamp()))
    link = {
        "tenant_id": tenant_id,
        "rollover_id": rollover_id,
        "kind": kind,
        "facts": facts,
        "recorded_at": recorded_at,
        "previous_hash": previous or FIRST,
    }
    digest = chain_hash(link)
    connection.execute(insert(evidence).values(**link, hash=digest))
    return digest


def chain_hash(link: dict[str, Any]) -> str:
    """The SHA-256 of a link in its canonical form: sorted keys, UTC times, no spaces."""
    canonical = {**link, "recorded_at": link["recorded_at"].isoformat()}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def broken_links(connection: Connection) -> list[int]:
    """The evidence ids at which the session's tenant's chain does not hold; empty where all of it does."""
    previous, broken = FIRST, []
    for row in connection.execute(select(evidence).order_by(evidence.c.evidence_id)).mappings():
        link = {key: row[key] for key in ("tenant_id", "rollover_id", "kind", "facts", "recorded_at", "previous_hash")}
        if row["previous_hash"] != previous or chain_hash(link) != row["hash"]:
            broken.append(row["evidence_id"])
        previous = row["hash"]
    return broken

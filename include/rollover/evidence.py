"""What proves a step: facts in a chain of hashes, in a table that is only ever added to.

The database refuses a change: to the role that works by its grants, to the owner by a trigger. Whoever drops the
trigger can still rewrite; :func:`check` finds a link that was changed, moved or taken out. A chain cut at its end
looks whole by itself: it is found out by the ledger's steps and certificates, and by a certificate in other hands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, func, insert, select

from rollover.database.tables.ledger import certificates, evidence, steps

FIRST = "0" * 64
CERTIFIED = ("certify", "archive_expired", "archive_key_destroyed")
"""The kinds of evidence that name a certificate by its SHA-256."""
ERASE_PART = "erase_part"
"""The kind of evidence of a part of a plan that is gone before the step is done."""
HASHED = ("tenant_id", "rollover_id", "kind", "facts", "recorded_at", "previous_hash")


@dataclass(frozen=True)
class Chain:
    """One tenant's chain: its links, the newest hash (`FIRST` of an empty chain), and what is wrong, in sentences.

    `broken` are the evidence ids at which it does not hold, in order.
    """

    entries: int
    head: str
    broken: tuple[int, ...]
    wrong: tuple[str, ...]


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
        "facts": json.loads(json.dumps(facts)),  # as it will be read: keys are text
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


def check(connection: Connection) -> Chain:
    """Read the whole chain of the session's tenant, and hold the ledger against it."""
    entries, head, broken, wrong = 0, FIRST, [], []
    heads = {0: FIRST}
    for row in _links(connection):
        entries += 1
        if row["previous_hash"] != head:
            broken.append(row["evidence_id"])
            wrong.append(f"evidence {row['evidence_id']} does not follow the link before it")
        elif chain_hash({name: row[name] for name in HASHED}) != row["hash"]:
            broken.append(row["evidence_id"])
            wrong.append(f"evidence {row['evidence_id']} is not what was recorded")
        head = row["hash"]
        heads[entries] = head
    for row in connection.execute(select(certificates).order_by(certificates.c.issued_at)).mappings():
        if heads.get(row["evidence_entries"]) != row["evidence_head"]:
            wrong.append(f"the chain does not hold what the certificate of {row['rollover_id']} was issued on")
    wrong += [
        f"{step} of {run}, plan {number}, is not in the chain as it is in the ledger"
        for run, number, step in _steps_without_evidence(connection)
    ]
    return Chain(entries, head, tuple(broken), tuple(wrong))


def not_held(connection: Connection, certificate: dict[str, Any], sha256: str) -> list[str]:
    """Why the chain is not the one that a certificate was issued on, in sentences; empty where it is.

    The certificate is in other hands, so this finds a chain that was cut or made anew together with the ledger.
    """
    entries, head = certificate["evidence"]["entries"], certificate["evidence"]["head"]
    links = select(evidence.c.hash).order_by(evidence.c.evidence_id).offset(entries - 1).limit(1)
    wrong = []
    if entries < 1 or connection.scalar(links) != head:
        wrong.append(f"the chain's entry {entries} is not the head that the certificate names, {head}")
    recorded = select(exists().where(evidence.c.kind.in_(CERTIFIED), evidence.c.facts["sha256"].astext == sha256))
    if not connection.scalar(recorded):
        wrong.append("the chain has no entry that this certificate was issued")
    return wrong


def _links(connection: Connection) -> Iterator[RowMapping]:
    query = select(evidence).order_by(evidence.c.evidence_id).execution_options(yield_per=1000)
    yield from connection.execute(query).mappings()


def _steps_without_evidence(connection: Connection) -> list[tuple[str, int, str]]:
    """What the ledger says was done and no link does: it was added or changed in one of the two places only."""
    proof = exists().where(
        evidence.c.tenant_id == steps.c.tenant_id,
        evidence.c.rollover_id == steps.c.rollover_id,
        evidence.c.kind == steps.c.step,
        evidence.c.facts == steps.c.result,
    )
    query = select(steps.c.rollover_id, steps.c.plan_no, steps.c.step).where(~proof).order_by(steps.c.finished_at)
    return [tuple(row) for row in connection.execute(query)]

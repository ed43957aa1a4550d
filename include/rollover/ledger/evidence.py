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

from sqlalchemy import Connection, RowMapping, exists, func, insert, select, text

from rollover.database.tables.ledger import certificates, evidence, steps

FIRST = "0" * 64
CERTIFIED = ("certify", "archive_expired", "archive_key_destroyed")
"""The kinds of evidence that name a certificate by its SHA-256."""
ERASE_PART = "erase_part"
"""The kind of evidence of a part of a plan that is gone before the step is done."""
ARCHIVE_PLAN_APPROVED = "archive_plan_approved"
"""The kind of evidence of an approval that archived data is destroyed."""
PLAN_APPROVED = "plan_approved"
"""The kind of evidence of a person's approval, with the reason; the step `approve` records whose it is, and of what."""
PLAN_REJECTED = "plan_rejected"
"""The kind of evidence of a rejection: the plan that it names is never approved, and no longer erases anything."""
SWITCHED_ON = "switched_on"
"""The kind of evidence of a switch that a person turned on again after a reset."""
HASHED = ("tenant_id", "rollover_id", "kind", "facts", "recorded_at", "previous_hash")


# What people signed, compared with the chain, both ways. A row that is in one of the two only was written by hand.
UNMATCHED = """
    WITH link AS (SELECT rollover_id, kind, facts, facts ->> 'by' AS by FROM ledger.evidence)
    SELECT format('hold %s is not in the chain as it is in the ledger', h.hold_id) AS said FROM ledger.holds h
    WHERE NOT EXISTS (SELECT FROM link l WHERE l.kind = 'hold_set'
                      AND l.facts @> jsonb_build_object('hold', h.hold_id, 'kind', h.kind, 'by', h.set_by))
    UNION ALL
    SELECT format('hold %s was lifted by %s, which is not in the chain', h.hold_id, h.lifted_by) FROM ledger.holds h
    WHERE h.lifted_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind = 'hold_lifted'
                      AND l.facts @> jsonb_build_object('hold', h.hold_id, 'by', h.lifted_by))
    UNION ALL
    SELECT format('hold %s is in the chain (%s), and not so in the ledger', l.facts ->> 'hold', l.kind) FROM link l
    WHERE l.kind IN ('hold_set', 'hold_lifted')
      AND NOT EXISTS (SELECT FROM ledger.holds h WHERE h.hold_id = (l.facts ->> 'hold')::bigint
                      AND l.by = CASE l.kind WHEN 'hold_set' THEN h.set_by ELSE h.lifted_by END)
    UNION ALL
    SELECT format('plan %s of %s was approved by %s, which is not in the chain', p.plan_no, p.rollover_id,
                  p.approved_by)
    FROM ledger.plans p
    WHERE p.approved_by IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind = 'approve' AND l.rollover_id = p.rollover_id
                      AND l.facts @> jsonb_build_object('approved_by', p.approved_by, 'plan_hash', p.plan_hash))
    UNION ALL
    SELECT format('the approval of %s by %s is in the chain, and not so in the ledger', l.rollover_id,
                  l.facts ->> 'approved_by')
    FROM link l
    WHERE l.kind = 'approve' AND l.facts ->> 'approved_by' IS NOT NULL
      AND NOT EXISTS (SELECT FROM ledger.plans p WHERE p.rollover_id = l.rollover_id
                      AND p.plan_hash = l.facts ->> 'plan_hash' AND p.approved_by = l.facts ->> 'approved_by')
    UNION ALL
    SELECT format('archive plan %s was approved by %s, which is not in the chain', p.plan_id, p.approved_by)
    FROM ledger.archive_plans p
    WHERE p.approved_by IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind = 'archive_plan_approved'
                      AND l.facts @> jsonb_build_object('plan', p.plan_id, 'by', p.approved_by))
    UNION ALL
    SELECT format('archive plan %s was approved by %s in the chain, and not so in the ledger', l.facts ->> 'plan', l.by)
    FROM link l
    WHERE l.kind = 'archive_plan_approved'
      AND NOT EXISTS (SELECT FROM ledger.archive_plans p
                      WHERE p.plan_id = (l.facts ->> 'plan')::bigint AND p.approved_by = l.by)
    UNION ALL
    SELECT format('archive plan %s is done, which is not in the chain', p.plan_id) FROM ledger.archive_plans p
    WHERE p.done_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind IN ('archive_expired', 'archive_key_destroyed')
                      AND l.facts ->> 'plan_hash' = p.plan_hash)
    UNION ALL
    SELECT format('import %s was decided about by %s, which is not in the chain', i.import_id, i.decided_by)
    FROM ledger.imports i
    WHERE i.decision IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind = 'roster_decision' AND l.facts @>
                      jsonb_build_object('import_id', i.import_id, 'answer', i.decision, 'by', i.decided_by))
    UNION ALL
    SELECT format('pause %s was ended by %s, which is not in the chain', p.pause_id, p.ended_by) FROM ledger.pauses p
    WHERE p.ended_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM link l WHERE l.kind IN ('resume_sync', 'resumed_by_hand')
                      AND l.facts @> jsonb_build_object('pause', p.pause_id, 'ended_by', p.ended_by))
    UNION ALL
    SELECT format('%s is certified without a certificate', r.rollover_id) FROM ledger.rollovers r
    WHERE r.state = 'certified' AND NOT EXISTS (SELECT FROM ledger.certificates c WHERE c.rollover_id = r.rollover_id)
    ORDER BY 1
"""


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


def last_facts(connection: Connection, rollover_id: str, kind: str) -> dict[str, Any] | None:
    """The facts of a rollover's last link of a kind; None if it has none."""
    query = select(evidence.c.facts).where(evidence.c.rollover_id == rollover_id, evidence.c.kind == kind)
    return connection.scalar(query.order_by(evidence.c.evidence_id.desc()).limit(1))


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
    wrong += [row.said for row in connection.execute(text(UNMATCHED))]
    return Chain(entries, head, tuple(broken), tuple(wrong))


def certificate_problems(connection: Connection, certificate: dict[str, Any], sha256: str) -> list[str]:
    """Why the chain is not the one that a certificate was issued on, in sentences; empty if it is.

    The certificate is in other hands, so this finds a chain that was cut or made again together with the ledger.
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

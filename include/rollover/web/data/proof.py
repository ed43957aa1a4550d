"""Collects what proves a rollover: certificates, the chain of evidence, what was verified, and what is still kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, case, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from rollover.certificate.still_kept import StillKept
from rollover.database.tables.ledger import archives, certificates, evidence, rollovers, steps
from rollover.ledger import artifacts, disposal_plans
from rollover.ledger import evidence as chains
from rollover.ledger.evidence import Chain
from rollover.ledger.results import Erased, ResetVerified, Step
from rollover.run import Run
from rollover.web.data.timeline import BY
from rollover.yearend.still_kept import kept_by_ledger


@dataclass(frozen=True)
class Certificate:
    """A certificate of a tenant, as the ledger has it. It names no student. `path` is that of its JSON in storage."""

    school_year: str
    plan_no: int
    issued_at: datetime
    sha256: str
    pdf_sha256: str
    key_id: str
    evidence_entries: int
    evidence_head: str
    path: str


@dataclass(frozen=True)
class KindOfEvidence:
    """How many entries of one kind the chain has, and when the first and the last were recorded."""

    kind: str
    entries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Link:
    """An entry of the chain: what it is about, and who did it if a person did."""

    evidence_id: int
    kind: str
    school_year: str | None
    by: str | None
    recorded_at: datetime
    hash: str


@dataclass(frozen=True)
class Verified:
    """What a plan's verification found, and when; `erased` is what its erase step did."""

    plan_no: int
    erased_at: datetime
    erased: Erased
    at: datetime | None
    found: ResetVerified | None


@dataclass(frozen=True)
class RosterChecked:
    """The numbers of the new roster when it was verified, such as ``students``."""

    at: datetime
    school_year: str
    numbers: Mapping[str, int]


@dataclass(frozen=True)
class Proof:
    """The proof of one rollover. `abandoned` counts files that belong to no plan that was run and are still there."""

    certificates: tuple[Certificate, ...]
    verified: tuple[Verified, ...]
    roster: RosterChecked | None
    kept: tuple[StillKept, ...]
    abandoned: int


def proof(connection: Connection, run: Run) -> Proof:
    """What proves a rollover of the session's tenant."""
    verified, roster = _verified(connection, run.id)
    kept: list[StillKept] = []
    if verified:
        last = verified[-1]
        finished = connection.scalar(select(rollovers.c.finished_at).where(rollovers.c.rollover_id == run.id))
        kept = kept_by_ledger(
            connection,
            run,
            held_rows=last.found.rows_held if last.found else 0,
            archived_files=_archived_files(connection, run),
            erased_at=last.erased_at,
            at=finished or run.now,
        )
    places = (artifacts.STORAGE, artifacts.OUTBOX)
    abandoned = sum(len(artifacts.abandoned(connection, run, place)) for place in places) if verified else 0
    return Proof(
        tuple(certificates_of(connection, run.school_year.key)), tuple(verified), roster, tuple(kept), abandoned
    )


def certificates_of(connection: Connection, school_year: str | None = None) -> list[Certificate]:
    """The certificates of the session's tenant, newest first: of one year, or of all."""
    own = [certificates.c[name] for name in Certificate.__dataclass_fields__ if name != "school_year"]
    query = select(rollovers.c.school_year, *own).join(rollovers, rollovers.c.rollover_id == certificates.c.rollover_id)
    if school_year is not None:
        query = query.where(rollovers.c.school_year == school_year)
    return [Certificate(*row) for row in connection.execute(query.order_by(certificates.c.issued_at.desc()))]


def chain_of(connection: Connection) -> Chain:
    """The checked chain of the session's tenant."""
    return chains.check(connection)


def kinds(connection: Connection) -> list[KindOfEvidence]:
    """What the chain of the session's tenant has, the newest kind first."""
    row = evidence.c
    query = select(row.kind, func.count(), func.min(row.recorded_at), func.max(row.recorded_at)).group_by(row.kind)
    return [KindOfEvidence(*found) for found in connection.execute(query.order_by(func.max(row.recorded_at).desc()))]


def links(connection: Connection, *, first: int = 0, most: int = 50) -> list[Link]:
    """Some of the entries of the chain of the session's tenant, newest first."""
    row = evidence.c
    by = func.nullif(func.coalesce(*(row.facts[name].astext for name in BY)), row.rollover_id)
    year = func.right(row.rollover_id, 7)
    query = select(row.evidence_id, row.kind, year, by, row.recorded_at, row.hash)
    return [
        Link(*found) for found in connection.execute(query.order_by(row.evidence_id.desc()).offset(first).limit(most))
    ]


def _verified(connection: Connection, rollover_id: str) -> tuple[list[Verified], RosterChecked | None]:
    row = steps.c
    short = row.result.op("-")(cast(("schools", "files"), ARRAY(Text)))
    wanted = (Step.ERASE, Step.VERIFY_RESET, Step.VERIFY_ROSTER)
    result = case((row.step == Step.VERIFY_ROSTER, short), else_=row.result).label("result")
    query = select(row.plan_no, row.step, row.finished_at, result).where(
        row.rollover_id == rollover_id, row.step.in_(wanted)
    )
    found: dict[tuple[str, int], tuple[datetime, dict[str, Any]]] = {
        (each.step, each.plan_no): (each.finished_at, each.result) for each in connection.execute(query)
    }
    verified = []
    for (step, number), (at, said) in sorted(found.items(), key=lambda item: item[0][1]):
        if step == Step.ERASE:
            then = found.get((Step.VERIFY_RESET, number))
            checked = ResetVerified.model_validate(then[1]) if then else None
            verified.append(Verified(number, at, Erased.model_validate(said), then[0] if then else None, checked))
    roster = next((value for (step, _), value in found.items() if step == Step.VERIFY_ROSTER), None)
    return verified, _roster(*roster) if roster else None


def _roster(at: datetime, said: dict[str, Any]) -> RosterChecked:
    numbers = {name: value for name, value in said.items() if isinstance(value, int) and not isinstance(value, bool)}
    return RosterChecked(at, said["school_year"], numbers)


def _archived_files(connection: Connection, run: Run) -> int:
    """The files of the year's archive that are still there."""
    query = select(func.count()).select_from(archives).where(archives.c.rollover_id == run.id)
    if over := disposal_plans.expired(connection, run.school_year.key):
        query = query.where(archives.c.read_back_at > over.done_at)
    return connection.scalar(query) or 0

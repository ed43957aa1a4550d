"""Asks a person about an import in review, and records the answer with the numbers that it was about.

An answer counts only for the numbers that the person saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import Refused
from rollover.ledger import evidence, questions
from rollover.roster import imports
from rollover.roster.comparing.compare import supersede_in_review
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.imports import Decision, Import, ImportDetails, ImportState
from rollover.roster.imports.details import Asked
from rollover.roster.imports.model import is_newer, write_decision, write_details
from rollover.roster.review.answers import QUESTION_LASTS, Answer
from rollover.roster.review.in_words import markdown, subject

LEAST_OF_A_DIGEST = 12
"""The command line needs at least this many characters of a comparison's digest."""
DECISIONS = {
    Answer.APPROVE: Decision.APPROVE,
    Answer.APPROVE_WITH_ID_MAP: Decision.APPROVE_WITH_ID_MAP,
    Answer.ADDITIONS_ONLY: Decision.ADDITIONS_ONLY,
    Answer.DISCARD: Decision.DISCARD,
}


@dataclass(frozen=True)
class Question:
    """The question to a person. It has numbers and schools, no person's name."""

    import_id: str
    seen: Comparison
    markdown: str
    answers: tuple[Answer, ...]
    digest: str

    @property
    def removed(self) -> int:
        """How many records the new roster removes, of all types."""
        return sum(count.removed for count in self.seen.types.values())

    def subject(self, district: str, product: str) -> str:
        """The question in one line."""
        return subject(self.seen, district, product)


def in_review(connection: Connection) -> list[Import]:
    """The imports in review of the session's tenant, oldest first."""
    rows = ledger.imports.c
    query = select(rows.import_id).where(rows.state == ImportState.IN_REVIEW).order_by(rows.found_at, rows.import_id)
    return [imports.load(connection, import_id) for import_id in connection.scalars(query).all()]


def why_not_asked(connection: Connection, import_id: str) -> str | None:
    """Why a person is not asked about an import now; None if one is.

    If several imports of a school year are in review, a person is asked about the newest only.
    """
    found = imports.load(connection, import_id)
    if found.state is not ImportState.IN_REVIEW:
        return f"import {import_id} is {found.state}"
    rows = ledger.imports.c
    newer = connection.scalar(
        select(rows.import_id)
        .where(rows.state == ImportState.IN_REVIEW, rows.school_year == found.school_year)
        .where(is_newer(found))
        .limit(1)
    )
    return None if newer is None else f"import {newer} of the same school year is newer, and is asked about first"


def question(connection: Connection, import_id: str) -> Question:
    """The question about an import in review. Raises Refused if the import is not in review."""
    found = imports.load(connection, import_id)
    seen = Comparison.of(found)
    if found.state is not ImportState.IN_REVIEW or seen is None:
        raise Refused(_why_not_open(found), "look at `rollover status`.")
    answers = tuple(answer for answer in Answer if answer is not Answer.APPROVE_WITH_ID_MAP or seen.id_map_is_offered)
    return Question(
        import_id=import_id,
        seen=seen,
        markdown=markdown(found, seen, answers),
        answers=answers,
        digest=seen.digest,
    )


def open_question(connection: Connection, import_id: str, *, by_run: str, digest: str, now: datetime) -> str | None:
    """Record that a run asks about an import from now on, or return why it must not: see :func:`why_not_asked_again`.

    The caller holds the tenant's lock.
    """
    if why := why_not_asked_again(connection, import_id, by_run=by_run, digest=digest, now=now):
        return why
    until = (now + QUESTION_LASTS).isoformat(timespec="seconds")
    write_details(connection, import_id, ImportDetails(asked=Asked(run=by_run, digest=digest, until=until)))
    return None


def why_not_asked_again(
    connection: Connection, import_id: str, *, by_run: str, digest: str, now: datetime
) -> str | None:
    """Why a run does not ask about an import: another run's question is open. None if it may ask.

    `digest` is that of the comparison in the question. If the comparison has changed, or if nobody answered within
    `QUESTION_LASTS`, the question is a new one.
    """
    asked = imports.load(connection, import_id).details.asked
    is_open = asked is not None and asked.digest == digest and now < datetime.fromisoformat(asked.until)
    if asked is None or not is_open or asked.run == by_run:
        return None
    return f"import {import_id} is asked about by the run {asked.run} until {asked.until}"


def _close_question(connection: Connection, found: Import, digest: str) -> None:
    """Record that the question about a comparison is closed. A question about another comparison stays open."""
    asked = found.details.asked
    if asked is not None and _names(digest, asked.digest):
        write_details(connection, found.import_id, ImportDetails(asked=None))


def _names(start: str, digest: str) -> bool:
    """Whether `start` is a long enough beginning of a digest."""
    return len(start) >= LEAST_OF_A_DIGEST and digest.startswith(start)


@dataclass(frozen=True)
class Decided:
    """The result of an answer."""

    import_id: str
    state: ImportState
    decided: bool
    said: str
    """The answer, or why nothing was decided."""

    def as_json(self) -> dict[str, str | bool]:
        """What the task returns to Airflow."""
        return {**asdict(self), "state": self.state.value}


def decide(
    engine: Engine, tenant_id: str, import_id: str, answer: str, by: str, *, digest: str, reason: str | None = None
) -> Decided:
    """Do what a person answered: in review → ready, or rejected; returns what was decided, or why nothing was.

    `digest` is that of the comparison that the person saw, or its first characters. Nothing happens if the comparison
    has changed since, or if the import is no longer in review: it was superseded, or somebody else answered first.
    Raises Refused if the answer has no person, or was not offered.
    """
    given = _answer(answer)
    with tenant_session(engine, tenant_id, exclusive=True) as connection:
        found = imports.load(connection, import_id, for_update=True)
        why = _keep_answer(connection, import_id, digest, given, by, reason)
        if given is Answer.LATER:
            _close_question(connection, found, digest)
            said = (
                "nothing is decided; it is asked again"
                if found.state is ImportState.IN_REVIEW
                else _why_not_open(found)
            )
            return _undecided(found, said)
        seen = Comparison.of(found)
        if found.state is not ImportState.IN_REVIEW or seen is None:
            return _undecided(found, _why_not_open(found))
        if not _names(digest, seen.digest):
            return _undecided(found, "its numbers have changed: look at them, and answer again")
        if not by:
            raise Refused(f"Nobody is named as the one who decided about {import_id}.", "answer as a user.")
        if given is Answer.APPROVE_WITH_ID_MAP and not seen.id_map_is_offered:
            raise Refused(f"No id map is proposed for {import_id}.", f"answer one of: {', '.join(_others())}.")
        _record(connection, tenant_id, found, seen, given, by, why)
        return Decided(import_id, imports.load(connection, import_id).state, True, given.value)


def was_decided(found: Import, answer: str, by: str) -> bool:
    """Whether this answer of this person is the decision about an import: a killed task gives it again."""
    return (found.decision, found.decided_by) == (DECISIONS.get(Answer(answer)), by)


def _keep_answer(
    connection: Connection, import_id: str, digest: str, answer: Answer, by: str, reason: str | None
) -> str | None:
    """Record the answer to the question about these numbers, also if it decides nothing any more; returns the reason.

    An answer on the command line closes the question that Airflow asks, too.
    """
    if len(digest) < LEAST_OF_A_DIGEST:
        return reason
    questions.keep_reason(connection, import_id, digest, reason)
    questions.close(connection, import_id, digest, answer=answer.value, by=by)
    return reason or questions.reason_of(connection, import_id, digest)


def _answer(answer: str) -> Answer:
    try:
        return Answer(answer)
    except ValueError:
        raise Refused(f"'{answer}' is no answer.", f"answer one of: {', '.join(Answer)}.") from None


def _others() -> Iterator[str]:
    return (answer.value for answer in Answer if answer is not Answer.APPROVE_WITH_ID_MAP)


def _record(
    connection: Connection,
    tenant_id: str,
    found: Import,
    seen: Comparison,
    answer: Answer,
    by: str,
    reason: str | None,
) -> None:
    after = ImportState.REJECTED if answer is Answer.DISCARD else ImportState.READY
    said = "discarded in review" if answer is Answer.DISCARD else f"reviewed: {answer.lower()}"
    imports.advance(connection, found, after, reason=said)
    write_decision(connection, found.import_id, DECISIONS[answer], by)
    if after is ImportState.READY:
        supersede_in_review(connection, found)
    facts = {
        "import_id": found.import_id,
        "school_year": seen.school_year,
        "answer": DECISIONS[answer].value,
        "by": by,
        "why": reason,
        "digest": seen.digest,
        "over_limits": [
            {
                "code": b.code,
                "what": b.what,
                "school": b.school,
                "grade": b.grade,
                "expected": b.expected,
                "found": b.found,
            }
            for b in seen.breaches
        ],
        "people_with_other_ids": seen.id_map.people if answer is Answer.APPROVE_WITH_ID_MAP else None,
    }
    evidence.record(connection, tenant_id, "roster_decision", facts, None)


def _undecided(found: Import, said: str) -> Decided:
    return Decided(found.import_id, found.state, False, said)


def _why_not_open(found: Import) -> str:
    if found.decision is not None:
        return f"it is decided already ({found.decision.replace('_', ' ')}) and {found.state}; nothing was done"
    return f"it is {found.state}{f' ({found.reason})' if found.reason else ''}, not in review; nothing was done"

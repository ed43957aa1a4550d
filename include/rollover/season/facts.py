"""Types the facts of ``ledger.season``: what the ledger has about one tenant in one school year.

The view ``ledger.season_facts`` makes them (see migration 0002). Times are UTC. Nothing here reads a clock or a
district file: :mod:`rollover.season.state` does, and says what the facts mean.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rollover.ledger.results import Step
from rollover.ledger.rollovers import RolloverState
from rollover.roster.imports import ImportState


class Fact(BaseModel):
    """A part of the facts. Immutable; a field that nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class RolloverFacts(Fact):
    """The rollover of the year; see :class:`rollover.ledger.rollovers.Rollover`."""

    reset_date: date
    reset_at: datetime
    is_current: bool
    state: RolloverState
    run_id: str
    started_at: datetime
    finished_at: datetime | None


class PlanFacts(Fact):
    """The plan in force; `erase` and `archive` are numbers of rows."""

    plan_no: int
    plan_hash: str
    frozen_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    rejected_by: str | None
    rejected_at: datetime | None
    erase: int
    archive: int


class FailureFacts(Fact):
    """The last failure, if no step of the rollover was done after it.

    `reason` and `remedy` are those of an error of our own; another's text is in the task's log only.
    """

    step: str
    error_class: str
    is_refusal: bool
    reason: str | None
    remedy: str | None
    waits_for: Literal["data_engineer", "district_it", "customer_success"]
    failed_at: datetime
    run_id: str


class QuestionFacts(Fact):
    """The open question about the plan in force, and the DAG run in which Airflow asks it."""

    question_id: int
    kind: Literal["plan", "roster", "expiry"]
    subject: str
    asked_at: datetime
    dag_id: str
    run_id: str


class OpenQuestion(Fact):
    """A question that nobody has answered yet; see :class:`rollover.ledger.questions.Asked`."""

    question_id: int
    kind: Literal["plan", "roster", "expiry"]
    about: str
    plan_no: int | None
    digest: str
    subject: str
    rows_erased: int
    options: tuple[str, ...]
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    asked_at: datetime
    until: datetime | None


class ImportFacts(Fact):
    """A roster import: its files' dates on the district's server, and its numbers (None before it is read)."""

    import_id: str
    state: ImportState
    school_year: str | None
    format: str | None
    found_at: datetime
    changed_at: datetime
    reason: str | None
    files_from: datetime | None
    files_to: datetime | None
    rows: int | None
    rejected: int | None
    """Rows that are not imported because of errors; None before the set is checked."""
    errors: int | None
    warnings: int | None


class NewRoster(Fact):
    """The newest import of the following school year that is not superseded or undone."""

    import_id: str
    state: ImportState
    found_at: datetime
    changed_at: datetime
    reason: str | None


class InReview(Fact):
    """Roster imports in review: how many, since when the oldest, and which."""

    imports: int
    since: datetime
    import_ids: tuple[str, ...] = ()


class UnreadFiles(Fact):
    """The last files that were ignored, because no roster is read from them; their names are not shown."""

    files: int
    found_at: datetime


class OpenPause(Fact):
    """The current pause of the nightly sync: since when, by which person or rollover, and why."""

    since: datetime
    by: str
    reason: str


class OpenHolds(Fact):
    """Legal holds and open inspection requests: how many, how many of them on the whole district, and since when."""

    holds: int
    of_district: int
    since: datetime


class ExportFacts(Fact):
    """The exported files of the year: how many were written, and how many were removed when their time was over."""

    files: int
    written_at: datetime
    removed: int


class CertificateFacts(Fact):
    """The newest certificate; `path` is that of its JSON in storage."""

    plan_no: int
    issued_at: datetime
    sha256: str
    path: str


class NoticeFacts(Fact):
    """Notices about the year: when the district was first informed of the reset date, and when the last was sent.

    A notice to our own team does not inform the district. `failed` is the number of those that could not be sent yet.
    """

    informed_at: datetime | None
    last_sent_at: datetime | None
    failed: int


class DagFacts(Fact):
    """Whether Airflow has the tenant's DAG switched on, and since when that is known."""

    state: Literal["on", "paused", "missing"]
    since: datetime


class Facts(Fact):
    """All facts about a tenant in a school year. None: there is no such thing.

    Those of the roster, the open questions, the pause, the holds and the DAG are the tenant's, and the same in each of
    its years.
    """

    current_school_year: str
    rollover: RolloverFacts | None
    done: dict[Step, datetime]
    """The steps that are done for the plan in force, with when."""
    plan: PlanFacts | None
    failure: FailureFacts | None
    question: QuestionFacts | None
    questions: tuple[OpenQuestion, ...]
    """All open questions of the tenant, oldest first: also those about rosters and archived years."""
    newest_drop: ImportFacts | None
    live_roster: ImportFacts | None
    new_roster: NewRoster | None
    in_review: InReview | None
    import_failure: FailureFacts | None
    """The last failure of a task about a roster import that has not gone on since."""
    waiting_imports: int
    """Imports that are ready and wait to be applied."""
    unread: UnreadFiles | None
    pause: OpenPause | None
    holds: OpenHolds | None
    exports: ExportFacts | None
    certificate: CertificateFacts | None
    notices: NoticeFacts | None
    dag: DagFacts | None

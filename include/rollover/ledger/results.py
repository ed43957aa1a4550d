"""The steps of a rollover by name, and what each of them returns.

A result is small and without personal values: it goes to the ledger, into the evidence and through XCom, as JSON with
the fields below as keys.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class Step(StrEnum):
    """The steps, in the order in which a rollover takes them. What always runs together is one task: see `TASKS`."""

    GUARD = "guard"
    PAUSE_SYNC = "pause_sync"
    PLAN = "plan"
    EXPORT_REPORTS = "export_reports"
    ASK_APPROVAL = "ask_approval"
    APPROVE = "approve"
    ARCHIVE = "archive"
    ERASE = "erase"
    RESET = "reset"
    VERIFY_RESET = "verify_reset"
    AWAIT_ROSTER = "await_roster"
    IMPORT_ROSTER = "import_roster"
    VERIFY_ROSTER = "verify_roster"
    RESUME_SYNC = "resume_sync"
    CERTIFY = "certify"


TASKS: dict[Step, tuple[Step, ...]] = {
    Step.PLAN: (Step.GUARD, Step.PAUSE_SYNC, Step.PLAN),
    Step.EXPORT_REPORTS: (Step.EXPORT_REPORTS,),
    Step.ASK_APPROVAL: (Step.ASK_APPROVAL,),
    Step.ARCHIVE: (Step.APPROVE, Step.ARCHIVE),
    Step.ERASE: (Step.ERASE, Step.RESET, Step.VERIFY_RESET),
    Step.AWAIT_ROSTER: (Step.AWAIT_ROSTER,),
    Step.IMPORT_ROSTER: (Step.IMPORT_ROSTER, Step.VERIFY_ROSTER),
    Step.CERTIFY: (Step.RESUME_SYNC, Step.CERTIFY),
}
"""The tasks of a rollover in Airflow, by id, with the steps that each takes."""


def task_of(step: Step) -> Step:
    """The id of the task that takes a step; what a person clears to have it taken again."""
    return next(task for task, taken in TASKS.items() if step in taken)


class Result(BaseModel):
    """What a step returns. Unknown fields are refused, so that a result is never read as another version of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    step: ClassVar[Step]

    def as_json(self) -> dict[str, Any]:
        """The fields as the ledger and XCom have them."""
        return self.model_dump(mode="json")


AnyResult = TypeVar("AnyResult", bound=Result)


class Value(BaseModel):
    """A part of a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Admission(Result):
    """Whether the rollover may begin or go on. `go` is False if the year is certified and has no late rows."""

    step = Step.GUARD
    go: bool
    is_current: bool
    why: str


class Paused(Result):
    """The pause of the roster sync; `paused_at` is ISO."""

    step = Step.PAUSE_SYNC
    pause: int
    paused_by: str
    reason: str
    paused_at: str


class Planned(Result):
    """The plan as the approval shows it. `rows` by action; `markdown` has school names and numbers only."""

    step = Step.PLAN
    plan_no: int
    plan_hash: str
    rows: dict[str, int]
    warnings: list[str]
    approval_required: bool
    confirmations: list[str]
    """What an approval has to choose besides Approve."""
    question: str
    markdown: str


class ExportedReport(Value):
    """A report; `sha256` is its file's, or over those of its files."""

    report: str
    files: int
    rows: int
    sha256: str


class Exported(Result):
    """The reports that were written and delivered."""

    step = Step.EXPORT_REPORTS
    reports: list[ExportedReport]


class Approval(Result):
    """Who approved which plan; if nobody was asked, `why`."""

    step = Step.APPROVE
    approved_by: str | None
    plan_hash: str
    why: str | None = None


class ManifestFile(Value):
    """The file that lists the files of an archived year."""

    path: str
    sha256: str
    bytes: int


class Archived(Result):
    """What was archived. No manifest if nothing was; no key if the archive is not encrypted."""

    step = Step.ARCHIVE
    files: int
    rows: int
    bytes: int
    key_id: str | None
    manifest: ManifestFile | None


class Rows(Value):
    """A set of rows: their number, and their checksum as a decimal string."""

    rows: int
    checksum: str


class BeforeAndAfter(Value):
    """The rows of a kept table before and after a change, seen in the transaction that made the change."""

    before: Rows
    after: Rows


class ErasedRows(Value):
    """The rows that were erased: `archived` and `erased` by data class, `deleted` by table. `kept` has the kept tables,
    which are unchanged."""

    archived: dict[str, int]
    erased: dict[str, int]
    deleted: dict[str, int]
    kept_unchanged: bool
    kept: dict[str, BeforeAndAfter]


class ErasedPart(ErasedRows):
    """The evidence of one part of a plan that is erased in parts; `lines` are its schools and tables."""

    plan_no: int
    part: int
    lines: list[tuple[str, str]]


class Erased(ErasedRows, Result):
    """What a plan erased. `stayed` are schools and tables that another plan took, if this one was ended after parts of
    it went."""

    step = Step.ERASE
    stayed: list[tuple[str, str]] = []


class Reset(Result):
    """The rows that were reset, by data class, and the kept tables, which are unchanged."""

    step = Step.RESET
    rows: dict[str, int]
    kept_unchanged: bool
    kept: dict[str, BeforeAndAfter]
    current_school_year: str


class ResetVerified(Result):
    """What was seen after the reset: `remaining` are rows by table, the lists name tables."""

    step = Step.VERIFY_RESET
    rows_left: int
    remaining: dict[str, int]
    reports_blank: bool
    rows_held: int
    files_intact: int
    kept_changed_by_users_since_plan: list[str]
    changed_by_users_since_reset: list[str]


class RosterImported(Result):
    """The import that brought in the new year's roster."""

    step = Step.IMPORT_ROSTER
    import_id: str
    details: dict[str, Any] | None = None
    """JSON of :class:`rollover.roster.imports.details.ImportDetails`, as they were then."""


class RosterVerified(Result):
    """The numbers of the new roster; see :func:`rollover.roster.verifying.verify.verify_roster`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    step = Step.VERIFY_ROSTER
    school_year: str


class Resumed(Result):
    """The pause that was ended, if there was one."""

    step = Step.RESUME_SYNC
    was_paused: bool
    pause: int | None = None
    paused_by: str | None = None
    reason: str | None = None
    paused_at: str | None = None
    ended_by: str | None = None


class Certified(Result):
    """The certificate: its two files, the SHA-256 of both, its signature and the key that made it."""

    step = Step.CERTIFY
    plan_no: int
    path: str
    pdf: str
    sha256: str
    pdf_sha256: str
    key_id: str
    signature: str

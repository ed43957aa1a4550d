"""What certificates say, as typed values. Their JSON is what is signed: a change to a field needs another schema."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rollover.certificate import signing
from rollover.certificate.disposals import TableCounts
from rollover.certificate.still_kept import StillKept
from rollover.config import District, Product
from rollover.ledger.results import BeforeAndAfter


class Part(BaseModel):
    """A part of a certificate. It takes exactly its fields, and of exactly their types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Moment(Part):
    """A time in UTC and in the district's zone, both in ISO 8601, to the second."""

    utc: str
    local: str


class NamedDistrict(Part):
    """A district, as its file names it."""

    id: str
    name: str
    time_zone: str

    @classmethod
    def of(cls, district: District) -> NamedDistrict:
        return cls(id=district.district, name=district.name, time_zone=district.time_zone)


class NamedProduct(Part):
    """A product, as its file names it."""

    id: str
    name: str

    @classmethod
    def of(cls, product: Product) -> NamedProduct:
        return cls(id=product.product, name=product.name)


class Evidence(Part):
    """The tenant's chain of evidence when the certificate was issued."""

    algorithm: str = "SHA-256"
    entries: int
    head: str


class Statement(Part):
    """What every certificate says."""

    form: str = Field(serialization_alias="schema")
    number: str
    certificate_of: str
    issued_at: Moment
    district: NamedDistrict
    product: NamedProduct
    tenant: str
    school_year: str
    not_claimed: list[str]
    evidence: Evidence

    def as_json(self) -> dict[str, Any]:
        """The statement as it is signed."""
        return self.model_dump(mode="json", by_alias=True)


# The certificate of disposition


class Authority(Part):
    """The agreement, and the date that it or the product sets."""

    agreement: str | None
    reset_date: date
    reset_date_is: str
    reset_at: Moment


class DateRange(Part):
    """The first and the last day of the school year."""

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")


class SubscriptionRead(Part):
    """A school's subscription, as it was read from its source."""

    state: str
    starts_on: str
    ends_on: str
    source: str
    read_at: Moment


class SchoolInScope(Part):
    """A school, and its subscriptions when the last plan about it was frozen."""

    id: str
    name: str
    subscription_in_force_on_reset_date: bool
    subscriptions: list[SubscriptionRead]


class DataClassInScope(Part):
    """The rule of a data class, and the sentence that it comes from."""

    data_class: str
    action: str
    rule: str


class DisposalScope(Part):
    """What was disposed of: days, rows, schools and data classes."""

    date_range: DateRange
    rows: str
    schools: list[SchoolInScope]
    data_classes: list[DataClassInScope]


class ApprovedPlan(Part):
    """A plan, and who approved it; None if nobody was asked."""

    number: int
    sha256: str
    frozen_at: Moment
    approved_by: str | None
    approved_at: Moment | None


class HeldLine(Part):
    """A school's rows of a table that a hold kept, and why."""

    school: str
    data_class: str
    table: str
    rows: int
    why: str


class RunLine(HeldLine):
    """A school's rows of a table that went, with their checksum as a decimal number."""

    action: str
    checksum: str


class Export(Part):
    """A file of a report that was exported before the deletion."""

    report: str
    rows: int
    bytes: int
    sha256: str
    written_at: Moment


class Archive(Part):
    """An archived file; `expired_at` is when it was erased after its retention, if it was."""

    school_id: str
    table_name: str
    rows: int
    bytes: int
    sha256: str
    key_id: str | None
    checksum: str
    read_back_at: Moment
    expired_at: Moment | None


class RunPlan(Part):
    """A plan that was run, and what its steps recorded."""

    plan: ApprovedPlan
    deleted_at: Moment
    tables: list[TableCounts]
    lines: list[RunLine]
    rows_left_to_the_next_plan: int
    held: list[HeldLine]
    exports: list[Export]
    archives: list[Archive]


class ResetRows(Part):
    """The rows that were reset, by data class."""

    rows: dict[str, int]


class Retained(BeforeAndAfter):
    """A kept table before and after a step that changed other data."""

    data_class: str
    table: str
    step: str


class AgainAtIssue(Part):
    """What was checked once more when the certificate was issued; `past_their_time` counts what the nightly cleanup
    left, by kind."""

    rows_left: int
    files_intact: int
    evidence_whole: bool
    past_their_time: dict[str, int]


class Verification(Part):
    """How the end state was verified, and when."""

    by: str
    at: Moment
    rows_left: int
    reports_blank: bool
    files_intact: int
    kept_changed_by_users_since_plan: list[str]
    again_at_issue: AgainAtIssue


class Method(Part):
    """How rows were deleted and compared."""

    deletion: str
    comparison: str


class Backups(Part):
    """What is known about backups, in a sentence; None if the deployment declares no number of days."""

    statement: str
    days: int | None


class DeclaredBackups(Backups):
    """Backups with the day after which the last one has expired."""

    expired_by: Moment


class ExecutedBy(Part):
    """The program, the database and the run that did the work."""

    tool: str
    version: str
    database: str
    database_role: str
    airflow_run: str


class FinishedStep(Part):
    """A step of a plan, and when it was finished. The plan is 0 for a step that is done once whatever the plan."""

    step: str
    plan: int
    finished_at: Moment


class Disposition(Statement):
    """The certificate of one rollover."""

    form: str = Field(signing.SCHEMA, serialization_alias="schema")
    certificate_of: str = "the disposition of one district's data in one product for one school year"
    authority: Authority
    scope: DisposalScope
    disposals: list[RunPlan]
    reset: ResetRows
    retained: list[Retained]
    still_kept: list[StillKept]
    verification: Verification
    method: Method
    backups: DeclaredBackups | Backups
    executed_by: ExecutedBy
    steps: list[FinishedStep]


# The certificate of an archive's destruction


class DestructionPlan(Part):
    """The plan by which archived data was destroyed; nobody asks for the expiry of a year."""

    sha256: str
    frozen_at: Moment
    asked_by: str | None
    approved_by: str | None
    approved_at: Moment | None


class Tool(Part):
    """The program that did the work."""

    tool: str
    version: str


class Destruction(Statement):
    """The certificate of an archived year that expired, or of a key that was destroyed."""

    form: str = Field(signing.DESTRUCTION, serialization_alias="schema")
    agreement: str | None
    plan: DestructionPlan
    destroyed: dict[str, Any]
    """The content of the plan."""
    method: str
    executed_by: Tool

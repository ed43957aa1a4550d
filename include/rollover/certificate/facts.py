"""What a certificate says: what was done to one tenant's school year and no more. It names no student.

Its parts are those that agreements ask for (NDPA Exhibit D, NIST SP 800-88 appendix G), as far as a program can know
them. Everything is read from the ledger, whose steps the chain of evidence covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, text

from rollover.calendar import begins_on
from rollover.certificate.disposals import ArchivedFile, Disposal, ExportedFile
from rollover.certificate.statement import (
    AgainAtIssue,
    ApprovedPlan,
    Archive,
    Authority,
    Backups,
    DataClassInScope,
    DateRange,
    DeclaredBackups,
    DisposalScope,
    Disposition,
    Evidence,
    ExecutedBy,
    Export,
    FinishedStep,
    HeldLine,
    Method,
    Moment,
    NamedDistrict,
    NamedProduct,
    ResetRows,
    Retained,
    RunLine,
    RunPlan,
    SchoolInScope,
    SubscriptionRead,
    Verification,
)
from rollover.certificate.still_kept import StillKept
from rollover.config import Action
from rollover.database.session import APP_ROLE
from rollover.database.tables import metadata
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import steps
from rollover.ledger import disposal_plans, rollovers
from rollover.ledger.evidence import Chain
from rollover.ledger.plans import Line
from rollover.ledger.results import Reset, ResetVerified, Step
from rollover.run import Run

Finished = Mapping[tuple[str, int], datetime]
"""When each step was finished, by step and plan number (0: whatever the plan)."""

DELETION = (
    "Rows were removed from a live PostgreSQL database, by transactions each of which compared all rows that were "
    "still to go with a frozen plan. This is a logical deletion, and none of the sanitization methods of NIST SP "
    "800-88."
)
CHECKSUM = (
    "Rows are compared by their number and by the sum of a 64-bit hash of each (PostgreSQL's hash_record_extended). "
    "That shows a mistake; it is not made to withstand a forger. Files are compared by SHA-256."
)
NOT_CLAIMED = (
    "Nothing is claimed about the storage medium, or about the database server's logs and replicas.",
    "Nothing is claimed about other systems, or about data of other school years.",
    "What follows the roster is replaced by the new year's files, and is no part of this certificate.",
)
EXPORTS_STAY = (
    "The reports listed here were exported before the deletion. They hold such data, stay in the vendor's storage, and "
    "were put into the district's outbox."
)
HELD_STAYS = "Rows that a legal hold or an open request to inspect is on were not touched, and are still there."
ARCHIVE_STAYS = (
    "Archived rows are no longer in the live database, but are held in the archive. They are not destroyed, but for "
    "those of a file with an expired_at."
)
ARCHIVE_ENCRYPTED = (
    "Archive files with a key_id were written encrypted (Parquet Modular Encryption, AES-GCM), with a key of this "
    "tenant alone, and were decrypted when they were read back. Nothing is claimed about who has that key, or about "
    "copies of it."
)
KEY_DESTROYED = "A key that archive files name was destroyed since: without a copy of it nobody can read those files."
TOOL = "Rollover"


def facts(
    connection: Connection,
    run: Run,
    done: list[Disposal],
    chain: Chain,
    *,
    again: AgainAtIssue,
    kept: list[StillKept],
    at: datetime,
) -> Disposition:
    """The certificate of the plans `done`, issued at the time `at`.

    `again` is what was checked once more for it, `kept` what was still kept then.
    """
    times, finished = Times(run.district.time_zone), _finished(connection, run)
    reset = rollovers.result_of(connection, run, Reset)
    verified, number = done[-1].verified, done[-1].number
    assert verified is not None  # the ledger requires it before the certificate
    return Disposition(
        number=f"{run.id}/{number}",
        issued_at=times.of(at),
        district=NamedDistrict.of(run.district),
        product=NamedProduct.of(run.product),
        tenant=run.tenant.id,
        school_year=run.school_year.key,
        authority=_authority(connection, run, times),
        scope=_scope(connection, run, done, reset, times),
        disposals=[_run_plan(disposal, times, finished) for disposal in done],
        reset=ResetRows(rows=reset.rows if reset else {}),
        retained=_retained(done, reset),
        still_kept=kept,
        verification=_verification(verified, again, times.of(finished[Step.VERIFY_RESET, number])),
        method=Method(deletion=DELETION, comparison=CHECKSUM),
        not_claimed=list(_not_claimed(connection, done)),
        backups=_backups(run, times, max(finished[Step.ERASE, disposal.number] for disposal in done)),
        executed_by=_executed_by(connection, run),
        steps=[
            FinishedStep(step=step, plan=plan, finished_at=times.of(when))
            for (step, plan), when in sorted(finished.items(), key=lambda item: item[1])
        ],
        evidence=Evidence(entries=chain.entries, head=chain.head),
    )


class Times:
    """Makes moments of times, for a district's time zone."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)

    def of(self, at: datetime) -> Moment:
        return Moment(
            utc=at.astimezone(UTC).isoformat(timespec="seconds"),
            local=at.astimezone(self._zone).isoformat(timespec="seconds"),
        )

    def perhaps(self, at: datetime | None) -> Moment | None:
        """The moment of a time, if there is one."""
        return None if at is None else self.of(at)


def _finished(connection: Connection, run: Run) -> Finished:
    query = select(steps.c.step, steps.c.plan_no, steps.c.finished_at).where(steps.c.rollover_id == run.id)
    return {(row.step, row.plan_no): row.finished_at for row in connection.execute(query)}


def _authority(connection: Connection, run: Run, times: Times) -> Authority:
    rollover, own_date = rollovers.load(connection, run), run.facts.own_reset_date is not None
    return Authority(
        agreement=run.district.agreement,
        reset_date=rollover.reset_date,
        reset_date_is="the district's own" if own_date else "the product's default",
        reset_at=times.of(rollover.reset_at),
    )


def _scope(connection: Connection, run: Run, done: list[Disposal], reset: Reset | None, times: Times) -> DisposalScope:
    begins = run.district.school_year_begins
    return DisposalScope(
        date_range=DateRange(
            first=begins_on(run.school_year, begins),
            last=begins_on(run.school_year.next, begins) - timedelta(days=1),
        ),
        rows="of this school year, and the tenant's state at its end" if reset else "of this school year only",
        schools=_schools(connection, done, times),
        data_classes=[
            DataClassInScope(data_class=name, action=rule.action.value, rule=rule.source)
            for name, rule in run.product.data_classes.items()
            if rule.action is not Action.FOLLOW_ROSTER
        ],
    )


def _schools(connection: Connection, done: list[Disposal], times: Times) -> list[SchoolInScope]:
    """Each school of a plan, with its subscription as the last plan about it found it."""
    names = {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}
    known = {school.school_id: school for disposal in done for school in disposal.subscriptions}
    return [
        SchoolInScope(
            id=school_id,
            name=names[school_id],
            subscription_in_force_on_reset_date=school.in_force,
            subscriptions=[
                SubscriptionRead.model_validate({**read, "read_at": times.of(datetime.fromisoformat(read["read_at"]))})
                for read in school.subscriptions
            ],
        )
        for school_id, school in sorted(known.items())
    ]


def _run_plan(disposal: Disposal, times: Times, finished: Finished) -> RunPlan:
    """One plan that was run."""
    approval = disposal.approval  # not the plan's row, to which an approval is added: the chain covers this
    by_a_person = approval.approved_by is not None
    return RunPlan(
        plan=ApprovedPlan(
            number=disposal.number,
            sha256=approval.plan_hash,
            frozen_at=times.of(disposal.frozen_at),
            approved_by=approval.approved_by,
            approved_at=times.of(finished[Step.APPROVE, disposal.number]) if by_a_person else None,
        ),
        deleted_at=times.of(finished[Step.ERASE, disposal.number]),
        tables=disposal.tables,
        lines=[_run_line(line) for line in disposal.lines],
        rows_left_to_the_next_plan=sum(line.rows for line in disposal.stayed),
        held=[_held_line(line) for line in disposal.held],
        exports=[_export(file, times) for file in disposal.exports],
        archives=[_archive(file, times) for file in disposal.archives],
    )


def _held_line(line: Line) -> HeldLine:
    return HeldLine(
        school=line.school_id, data_class=line.data_class, table=line.table_name, rows=line.rows, why=line.reason
    )


def _run_line(line: Line) -> RunLine:
    return RunLine(**_held_line(line).model_dump(), action=line.action.value, checksum=str(line.checksum))


def _export(file: ExportedFile, times: Times) -> Export:
    return Export(
        report=file.report,
        rows=file.rows,
        bytes=file.bytes,
        sha256=file.sha256,
        written_at=times.of(file.written_at),
    )


def _archive(file: ArchivedFile, times: Times) -> Archive:
    return Archive(
        school_id=file.school_id,
        table_name=file.table_name,
        rows=file.rows,
        bytes=file.bytes,
        sha256=file.sha256,
        key_id=file.key_id,
        checksum=str(file.checksum),
        read_back_at=times.of(file.read_back_at),
        expired_at=times.perhaps(file.expired_at),
    )


def _retained(done: list[Disposal], reset: Reset | None) -> list[Retained]:
    """What is kept, with its rows before and after each step that changes data, seen in that step's transaction."""
    proofs = [(f"erase of plan {disposal.number}", disposal.erased.kept) for disposal in done]
    proofs += [("reset", reset.kept)] if reset else []
    return [
        Retained(
            data_class=metadata.tables[name].info["data_class"],
            table=name,
            step=step,
            before=rows.before,
            after=rows.after,
        )
        for step, kept in proofs
        for name, rows in sorted(kept.items())
    ]


def _verification(verified: ResetVerified, again: AgainAtIssue, at: Moment) -> Verification:
    return Verification(
        by=f"{TOOL}'s step verify_reset: queries of its own, in a transaction after the deletion",
        at=at,
        rows_left=verified.rows_left,
        reports_blank=verified.reports_blank,
        files_intact=verified.files_intact,
        kept_changed_by_users_since_plan=verified.kept_changed_by_users_since_plan,
        again_at_issue=again,
    )


def _not_claimed(connection: Connection, done: list[Disposal]) -> Iterator[str]:
    """What the certificate does not cover, in sentences, as far as it applies."""
    archives = [file for disposal in done for file in disposal.archives]
    keys = {file.key_id for file in archives if file.key_id}
    if any(disposal.held for disposal in done):
        yield HELD_STAYS
    if not all(file.expired_at for file in archives):
        yield ARCHIVE_STAYS
    if keys:
        yield ARCHIVE_ENCRYPTED
    if any(disposal_plans.destroyed(connection, key_id) for key_id in keys):
        yield KEY_DESTROYED
    if any(disposal.exports for disposal in done):
        yield EXPORTS_STAY
    yield from NOT_CLAIMED


def _backups(run: Run, times: Times, erased_at: datetime) -> Backups:
    days = run.backup_days
    if days is None:
        statement = "No claim is made about backups: nobody has said how long they are kept."
        return Backups(statement=statement, days=None)
    gone = times.of(erased_at + timedelta(days=days))
    return DeclaredBackups(
        statement=f"The deployment declares that backups are kept for {days} days, so that the last one with the "
        f"deleted rows in it expires by {gone.utc[:10]}. This was declared, and not checked.",
        days=days,
        expired_by=gone,
    )


def _executed_by(connection: Connection, run: Run) -> ExecutedBy:
    return ExecutedBy(
        tool=TOOL,
        version=version("rollover"),
        database=f"PostgreSQL {connection.scalar(text('SHOW server_version'))}",
        database_role=APP_ROLE,
        airflow_run=rollovers.load(connection, run).run_id,
    )

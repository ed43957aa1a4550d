"""Reports to a district what happened to its files: a summary for a school secretary, and every finding as CSV.

Both go to the district's outbox, in a folder per drop. The summary describes the state of the import, so it is written
again when the state changes; the findings stay as they are.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Connection, Engine, func, select, text, update
from upath import UPath

from rollover.calendar import utc_minute
from rollover.config import District, Product
from rollover.database.session import tenant_session
from rollover.database.tables import directory, ledger
from rollover.ledger import pause
from rollover.roster import imports
from rollover.roster.columnar import local_copy
from rollover.roster.findings import CONSEQUENCES
from rollover.roster.formats import FORMATS
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Reported
from rollover.roster.imports.files import TYPED, import_folder, typed_file
from rollover.roster.imports.model import write_details
from rollover.roster.reading.columns import ROW
from rollover.roster.reporting.summary import SHOWN_PLACES, ImportReport, Place, Problem, ranked_problems, summary
from rollover.sftp.drops import RemoteFile
from rollover.sheet import write_sheet
from rollover.storage import whole_file
from rollover.tenant import Tenant
from rollover.texts import render

log = logging.getLogger(__name__)

Deliver = Callable[[UPath, str], None]
"""Put a file at a path on the district's SFTP: ``deliver(file, remote path)``."""

SUMMARY, FINDINGS = "summary.txt", "findings.csv"
UNDER_WAY = (ImportState.FOUND, ImportState.FETCHED, ImportState.STAGED, ImportState.VALIDATED)
"""States of an import about which there is nothing to say yet."""
COLUMNS = ("severity", "code", "file", "row", "id", "column", "what is wrong and how to fix it")
FINDINGS_AT_ONCE = 500
"""The number of findings in memory at once."""

PLACES = f"""
    SELECT code, severity, file, "column", message, count(*) AS kept,
           (array_agg("row" ORDER BY "row") FILTER (WHERE "row" IS NOT NULL))[1:{SHOWN_PLACES}] AS rows
    FROM ledger.findings
    WHERE import_id = :import_id
    GROUP BY code, severity, file, "column", message
    ORDER BY severity, code, count(*) DESC, file, "column", message
"""
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('report of ' || :import_id, 0))"


def deliver_findings(
    engine: Engine,
    tenant_id: str,
    import_id: str,
    storage: UPath,
    district: District,
    product: Product,
    deliver: Deliver,
) -> ReportResult:
    """Write the report of an import and deliver it, unless the report in the outbox is the same.

    Does nothing for an import that is still under way, and for one that was superseded before it could be fetched.
    ``findings.csv`` is written only if there are findings. Returns numbers, codes and times of the import, for the log
    and the run's note, with ``delivered``: whether files were put into the outbox now.
    """
    with tenant_session(engine, tenant_id) as connection:
        # If two report at the same time, the later one must also have seen the later state.
        connection.execute(text(ONE_AT_A_TIME), {"import_id": import_id})
        found = imports.load(connection, import_id)
        report = report_of(connection, found, district, product)
        if found.state in UNDER_WAY or (found.state is ImportState.SUPERSEDED and found.sha256 is None):
            return _result(report, None, delivered=False)
        content = summary(report).encode()
        config = district.uses(Tenant.parse(tenant_id).product)
        remote = f"{config.outbox}/imports/{_folder_name(found)}"
        digest = hashlib.sha256(content).hexdigest()
        if found.details.reported is not None and found.details.reported.sha256 == digest:
            return _result(report, remote, delivered=False)
        _record_files(engine, connection, tenant_id, import_id)
        _write(connection, report, content, storage, remote, deliver)
        reported = Reported(folder=remote, sha256=digest, state=found.state)
        write_details(connection, import_id, ImportDetails(reported=reported))
        log.info("%s is %s; its report was delivered to %s", import_id, found.state, remote)
        return _result(report, remote, delivered=True)


def _record_files(engine: Engine, connection: Connection, tenant_id: str, import_id: str) -> None:
    """Record that there are files of the import in storage again, if they were removed: before they are written, in a
    transaction of its own."""
    row = ledger.imports.c
    were_removed = (row.import_id == import_id, row.files_removed_at.isnot(None))
    if connection.scalar(select(row.import_id).where(*were_removed)) is None:
        return
    with tenant_session(engine, tenant_id) as aside:
        aside.execute(update(ledger.imports).where(*were_removed).values(files_removed_at=None))


def report_of(connection: Connection, found: Import, district: District, product: Product) -> ImportReport:
    """The facts about an import of the session's tenant that its summary shows."""
    drop = connection.execute(
        select(ledger.drops.c.folder, ledger.drops.c.files).where(ledger.drops.c.drop_id == found.import_id)
    ).one_or_none()
    return ImportReport(
        found=found,
        folder=drop.folder if drop else "not known",
        files=[RemoteFile(**file) for file in drop.files] if drop else (),
        problems=problems_of(connection, found),
        current_year=str(connection.scalar(select(directory.tenants.c.current_school_year))),
        is_paused=pause.current(connection) is not None,
        district=district,
        product=product,
    )


def problems_of(connection: Connection, found: Import) -> list[Problem]:
    """The findings by code, with their total numbers: if there are many, not all are kept."""
    rows = connection.execute(text(PLACES), {"import_id": found.import_id}).all()
    problems = []
    for (severity, code), places in groupby(rows, key=lambda row: (row.severity, row.code)):
        of_code = tuple(Place(row.file, row.column, row.message, row.kept, tuple(row.rows or ())) for row in places)
        kept = sum(place.kept for place in of_code)
        counted = found.details.errors if severity == "error" else found.details.warnings
        total = counted.get(code, kept)
        problems.append(Problem(code, severity, max(kept, total), of_code))
    return problems


def _write(
    connection: Connection, report: ImportReport, content: bytes, storage: UPath, remote: str, deliver: Deliver
) -> None:
    """Write both files, then deliver them: the summary last, because it mentions the other."""
    files = import_folder(storage, report.found.import_id)
    folder = files / "report"
    # Once the typed rows are gone, a new list would lack the ids that the delivered one has.
    if report.problems and ((files / TYPED).exists() or report.found.details.reported is None):
        write_sheet(folder / FINDINGS, COLUMNS, _lines(connection, report, _ids(connection, report.found, storage)))
        deliver(folder / FINDINGS, f"{remote}/{FINDINGS}")
    with whole_file(folder / SUMMARY) as stream:
        stream.write(content.replace(b"\n", b"\r\n"))  # it is opened in Windows' Notepad
    deliver(folder / SUMMARY, f"{remote}/{SUMMARY}")


def _ids(connection: Connection, found: Import, storage: UPath) -> dict[tuple[str, int], str]:
    """By file and row: the id of the finding's record, if the file's typed rows have it.

    The ledger has no ids. The district needs them to look records up.
    """
    spec = FORMATS.get(found.format or "")
    rows = ledger.findings.c
    query = (
        select(rows.file, func.array_agg(rows.row.distinct()))
        .where(rows.import_id == found.import_id, rows.row.isnot(None))
        .group_by(rows.file)
    )
    ids: dict[tuple[str, int], str] = {}
    for name, places in connection.execute(query):
        file = next((file for file in spec.files if file.name == name), None) if spec else None
        if file is None or file.identity is None:
            continue
        typed = typed_file(storage, found.import_id, file.stem)
        if not typed.exists():
            continue
        with local_copy(typed) as path:
            typed_rows = pq.read_table(path, columns=[ROW, file.identity], filters=[(ROW, "in", places)])
        said = zip(typed_rows[ROW].to_pylist(), typed_rows[file.identity].to_pylist(), strict=True)
        ids |= {(name, row): sourced_id for row, sourced_id in said}
    return ids


def _lines(
    connection: Connection, report: ImportReport, ids: Mapping[tuple[str, int], str]
) -> Iterator[tuple[Any, ...]]:
    """Yield the findings: errors first, causes before their consequences, in the order of the rows; `ids` are those of
    the records. Then yield the total of each code of which not all findings are kept."""
    rows = ledger.findings.c
    is_caused = rows.code.in_(CONSEQUENCES)
    query = (
        select(rows.severity, rows.code, rows.file, rows.row, rows.column, rows.message)
        .where(rows.import_id == report.found.import_id)
        .order_by(rows.severity, is_caused, rows.file, rows.row.nulls_first(), rows.code, rows.finding_id)
    )
    for row in connection.execute(query.execution_options(yield_per=FINDINGS_AT_ONCE)):
        yield (*row[:4], ids.get((row.file, row.row)), *row[4:])
    for problem in report.problems:
        kept = sum(place.kept for place in problem.places)
        if problem.total > kept:
            note = render("findings_not_listed.txt.j2", total=problem.total, listed=kept)
            yield (problem.severity, problem.code, None, None, None, None, note)


def _folder_name(found: Import) -> str:
    """When the drop was found, in UTC, and the end of its id: in a listing, the newest is the last."""
    return f"{found.found_at.astimezone(UTC):%Y-%m-%dT%H%MZ}-{found.import_id[-6:]}"


@dataclass(frozen=True)
class ReportResult:
    """The state and numbers of an import, for the log and the run's note. No personal values. Times are UTC, to the
    minute."""

    import_id: str
    state: ImportState
    decision: str | None
    school_year: str | None
    format: str | None
    found_at: str
    changed_at: str
    files: int
    files_from: str | None
    """When the oldest file was last changed."""
    files_to: str | None
    rows: int
    kept_out: int | None
    """Rows; None for a set that was refused before they were counted."""
    errors: int
    warnings: int
    problems: list[str]
    """The codes of the most important problems."""
    over_limits: list[str]
    """The codes of the limits that are exceeded."""
    folder: str | None
    """In the outbox; None if there is nothing to report yet."""
    delivered: bool
    """Whether files were put into the outbox now."""

    def as_json(self) -> dict[str, Any]:
        """What the task returns to Airflow."""
        return {**asdict(self), "state": self.state.value}


def _result(report: ImportReport, remote: str | None, *, delivered: bool) -> ReportResult:
    found, seen = report.found, report.comparison
    modified = [file.modified for file in report.files]
    read, good = found.details.rows, found.details.validation.taken
    return ReportResult(
        import_id=found.import_id,
        state=found.state,
        decision=found.decision.value if found.decision else None,
        school_year=found.school_year,
        format=found.format,
        found_at=utc_minute(found.found_at),
        changed_at=utc_minute(found.changed_at),
        files=len(report.files),
        files_from=utc_minute(datetime.fromtimestamp(min(modified), UTC)) if modified else None,
        files_to=utc_minute(datetime.fromtimestamp(max(modified), UTC)) if modified else None,
        rows=sum(read.values()),
        kept_out=None if good is None else sum(read.values()) - sum(good.values()),
        errors=_total(report, "error"),
        warnings=_total(report, "warning"),
        problems=[problem.code for problem in ranked_problems(report.problems)[:3]],
        over_limits=sorted({breach.code.value for breach in seen.breaches}) if seen else [],
        folder=remote,
        delivered=delivered,
    )


def _total(report: ImportReport, severity: str) -> int:
    return sum(problem.total for problem in report.problems if problem.severity == severity)

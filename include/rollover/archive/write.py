"""Archives the rows that the plan names. A file counts only after it was read back and has exactly those rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, insert, select
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.archive.form import Content
from rollover.archive.keys import Key, Keys
from rollover.archive.manifest import ArchivedFile, Manifest
from rollover.archive.parquet import SCHEMA_VERSION, Verified, Writer, read
from rollover.archive.sent import blocks
from rollover.archive.tables import PEOPLE, SCHOOLS, archived_tables, person_columns, settings_tables
from rollover.database.checksums import NOTHING, RowsChecksum, where_clause
from rollover.database.tables import metadata
from rollover.database.tables.ledger import archives, evidence, steps
from rollover.errors import ProofFailed
from rollover.ledger import artifacts, disposal_plans, receipts
from rollover.ledger.plans import FrozenPlan, Line, PlanAction, stayed
from rollover.ledger.results import Archived, ManifestFile, Step
from rollover.ledger.steps import PLAN_AGAIN
from rollover.run import Run
from rollover.storage import read_back, remove_parts, storage_path, whole_file

log = logging.getLogger(__name__)
_Item = TypeVar("_Item")

AT_ONCE = 64
"""How many schools' files are written at the same time. A table of a larger district is read several times."""
READERS = 2
"""How many files are read back at once."""
RESTORED = "archive_restored"
"""The kind of evidence of a restored year: its rows are live again, and its archive is a copy."""


@dataclass(frozen=True)
class _Lot:
    """Rows of one table that one statement reads, with their lines of the plan. Each school gets a file."""

    table: Table
    schools: tuple[str, ...]
    where: str
    values: dict[str, Any]
    planned: dict[str, RowsChecksum] | None = None
    school_of: str = "t.school_id"

    @property
    def bound(self) -> bool:
        """Whether the file is a copy of rows that stay live."""
        return self.planned is None


@dataclass(frozen=True)
class _Written:
    """One school's rows of a table, in one file."""

    table: Table
    school_id: str
    bound: bool
    path: UPath
    live: RowsChecksum
    content: Content


@dataclass(frozen=True)
class _Kept(_Written):
    """A file that was read back, and has the rows that PostgreSQL sent."""

    verified: Verified
    sha256: str
    bytes: int
    key_id: str | None


def archive(connection: Connection, plan: FrozenPlan) -> Archived:
    """Archive every line of the plan that is to be archived, with the codes and names needed to read it, and write the
    manifest.

    Needs a REPEATABLE READ transaction, so that all files show the same instant. Raises ProofFailed if the live rows
    are no longer those of the plan, or if a file, read back, has other rows. Raises Refused if the tenant's key is
    missing.
    """
    lines = plan.lines_of(PlanAction.ARCHIVE)
    if not lines:
        return Archived(files=0, rows=0, bytes=0, key_id=None, manifest=None)
    run = plan.run
    remove_parts(manifests.folder_of(run))
    artifacts.intend(plan, artifacts.STORAGE, _paths(plan, lines))
    key = Keys(run.archive_keys).to_write(run.tenant.id)
    kept = _keep(connection, plan, _planned(run, lines), key)
    kept += _keep(connection, plan, _bound(run, kept), key)
    for file in kept:
        _record(connection, plan, file)
    log.info("archived %s files", len(kept))
    return Archived(
        files=len(kept),
        rows=sum(line.rows for line in lines),
        bytes=sum(file.bytes for file in kept),
        key_id=key.id if key else None,
        manifest=_manifest(connection, plan, kept),
    )


def _paths(plan: FrozenPlan, lines: list[Line]) -> list[UPath]:
    """Return every file that archiving these lines may write, the manifest last."""
    folder, plan_no = manifests.folder_of(plan.run), plan.number
    bound = [*settings_tables(plan.run.product), SCHOOLS, PEOPLE]
    names = [(line.school_id, metadata.tables[line.table_name].name) for line in lines]
    names += [(school_id, table.name) for school_id in {line.school_id for line in lines} for table in bound]
    files = [folder / school_id / receipts.file_name(name, "parquet", plan_no) for school_id, name in names]
    return [*files, folder / receipts.file_name(manifests.STEM, "json", plan_no)]


def _planned(run: Run, lines: list[Line]) -> Iterator[_Lot]:
    """Return the lots of the rows that the plan archives."""
    for name in sorted({line.table_name for line in lines}):
        table = metadata.tables[name]
        where, values = where_clause(table, school_year=run.school_year.key, held=False)
        of_table = [line for line in lines if line.table_name == name]
        for some in _at_once(of_table):
            planned = {line.school_id: line.rows_checksum for line in some}
            yield _of_schools(_Lot(table, tuple(planned), where, values, planned))


def _bound(run: Run, archived: list[_Kept]) -> Iterator[_Lot]:
    """Return the lots of copied rows that stay live: codes, settings and names of the archived schools."""
    named: dict[str, set[str]] = {}
    for file in archived:
        named.setdefault(file.school_id, set()).update(file.verified.named)
    for schools in _at_once(sorted(named)):
        for table in settings_tables(run.product):
            yield _of_schools(_Lot(table, tuple(schools), *where_clause(table, school_year=run.school_year.key)))
        yield _of_schools(_Lot(SCHOOLS, tuple(schools), "true", {}))
    for school_id, ids in sorted(named.items()):
        where, values = where_clause(PEOPLE, school_year=None)
        own = {**values, "school_id": school_id, "ids": sorted(ids)}
        where += " AND t.sourced_id = ANY(%(ids)s)"
        yield _Lot(PEOPLE, (school_id,), where, own, school_of="CAST(%(school_id)s AS text)")


def _at_once(items: list[_Item]) -> Iterator[list[_Item]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def _of_schools(lot: _Lot) -> _Lot:
    where = f"{lot.where} AND t.school_id = ANY(%(schools)s)"
    return replace(lot, where=where, values={**lot.values, "schools": list(lot.schools)})


def _keep(connection: Connection, plan: FrozenPlan, lots: Iterable[_Lot], key: Key | None) -> list[_Kept]:
    """Write a file for each school of each lot. While one lot is written, earlier files are read back."""
    with ThreadPoolExecutor(READERS) as aside:
        checks = [aside.submit(_checked, file, key) for lot in lots for file in _written(connection, plan, lot, key)]
        return [check.result() for check in checks]


def _written(connection: Connection, plan: FrozenPlan, lot: _Lot, key: Key | None) -> list[_Written]:
    """Write a lot. Raises ProofFailed, and leaves no file, if the rows are not those of the plan."""
    run, name = plan.run, receipts.file_name(lot.table.name, "parquet", plan.number)
    same = {
        "tenant_id": run.tenant.id,
        "district_id": run.tenant.district,
        "school_year": run.school_year.key,
    }
    writers: dict[str, Writer] = {}
    live: dict[str, RowsChecksum] = {}
    paths = {school_id: manifests.folder_of(run) / school_id / name for school_id in lot.schools}
    with ExitStack() as files:
        for block in blocks(connection, lot.table, lot.schools, lot.where, lot.values, school_of=lot.school_of):
            school_id = block.school_id
            if school_id not in writers:
                stream = files.enter_context(whole_file(paths[school_id]))
                writers[school_id] = Writer(lot.table, {**same, "school_id": school_id}, stream, key)
            writers[school_id].add(block.lines)
            live[school_id] = live.get(school_id, NOTHING) + block.rows_checksum
        contents = {school_id: writer.close() for school_id, writer in writers.items()}
        for school_id, planned in (lot.planned or {}).items():
            _check_planned(run, lot.table, school_id, planned, live.get(school_id, NOTHING))
    return [
        _Written(lot.table, school_id, lot.bound, paths[school_id], live[school_id], content)
        for school_id, content in contents.items()
    ]


def _check_planned(run: Run, table: Table, school_id: str, planned: RowsChecksum, live: RowsChecksum) -> None:
    if live != planned:
        raise ProofFailed(
            f"{table.fullname} of school {school_id} in {run.id}: the plan has {planned.rows} rows, the database "
            f"{live.rows}{'' if live.rows != planned.rows else ' with other content'}.",
            PLAN_AGAIN,
        )


def _checked(file: _Written, key: Key | None) -> _Kept:
    """Read a file back from storage. Raises ProofFailed unless it has exactly the rows that were sent."""
    with file.path.open("rb") as stream:
        verified = read(file.table, stream, person_columns(file.table), key)
    rows = file.live.rows
    if verified.content != file.content or file.content.rows != rows:
        raise ProofFailed(
            f"{file.table.fullname} of school {file.school_id}: there are {rows} rows, the archive read back "
            f"{verified.content.rows}{'' if verified.content.rows != rows else ' with other content'}.",
            "clear this task.",
        )
    digest, size = read_back(file.path)
    log.info("%s, school %s: %s rows, %s bytes, read back", file.table.fullname, file.school_id, rows, size)
    return _Kept(**vars(file), verified=verified, sha256=digest, bytes=size, key_id=key.id if key else None)


def _record(connection: Connection, plan: FrozenPlan, file: _Kept) -> None:
    connection.execute(
        insert(archives).values(
            tenant_id=plan.run.tenant.id,
            rollover_id=plan.run.id,
            plan_no=plan.number,
            school_id=file.school_id,
            table_name=file.table.fullname,
            path=str(file.path),
            rows=file.live.rows,
            checksum=file.live.checksum,
            bytes=file.bytes,
            sha256=file.sha256,
            key_id=file.key_id,
        )
    )


def _manifest(connection: Connection, plan: FrozenPlan, kept: list[_Kept]) -> ManifestFile:
    """Write the manifest of the year: these files, and those of the plans that were run before."""
    run, number = plan.run, plan.number
    before = _run_before(connection, run, number)
    folder = manifests.folder_of(run)
    files = [
        ArchivedFile(
            school=file.school_id,
            table=file.table.fullname,
            data_class=file.table.info["data_class"],
            bound=file.bound,
            plan_no=number,
            path=f"{file.school_id}/{file.path.name}",
            rows=file.live.rows,
            bytes=file.bytes,
            sha256=file.sha256,
            key_id=file.key_id,
            content_sha256=file.verified.content.sha256,
            checksum=str(file.live.checksum),
            ranges=file.verified.ranges,
        )
        for file in kept
    ]
    covered = [*archived_tables(run.product), *settings_tables(run.product), PEOPLE, SCHOOLS]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        tenant=run.tenant.id,
        product=run.tenant.product,
        district=run.tenant.district,
        school_year=run.school_year.key,
        plan_no=number,
        plan_hash=plan.plan_hash,
        archived_at=run.now,
        reset_date=plan.rollover.reset_date,
        holds_current_state=before.holds_current_state if before else plan.holds_current_state,
        tools=manifests.tools(connection),
        tables=sorted(table.fullname for table in covered),
        files=[*(_readable(connection, before.files) if before else []), *files],
    )
    return manifests.write(manifest, folder / receipts.file_name(manifests.STEM, "json", number))


def _readable(connection: Connection, files: list[ArchivedFile]) -> list[ArchivedFile]:
    """Return the files whose key still exists. A year is read whole or not at all, so the others are not listed."""
    lost = {
        key_id
        for key_id in {file.key_id for file in files if file.key_id}
        if disposal_plans.destroyed(connection, key_id)
    }
    return [file for file in files if file.key_id not in lost]


def _run_before(connection: Connection, run: Run, number: int) -> Manifest | None:
    """Return the manifest of the last earlier plan whose rows left the live database and were neither restored nor
    expired."""
    erased = select(steps.c.plan_no).where(
        steps.c.rollover_id == run.id, steps.c.step == Step.ERASE, steps.c.plan_no < number
    )
    query = select(steps.c.result["manifest"]).where(
        steps.c.rollover_id == run.id, steps.c.step == Step.ARCHIVE, steps.c.plan_no.in_(erased)
    )
    if over := disposal_plans.expired(connection, run.school_year.key):
        query = query.where(steps.c.finished_at > over.done_at)
    found = [row for row in connection.scalars(query.order_by(steps.c.plan_no.desc())) if row]
    if not found:
        return None
    restored = connection.scalars(
        select(evidence.c.facts["manifest_sha256"].astext).where(
            evidence.c.rollover_id == run.id, evidence.c.kind == RESTORED
        )
    )
    if found[0]["sha256"] in set(restored):
        return None
    manifest = manifests.read(storage_path(found[0]["path"]), found[0]["sha256"])
    return manifest.model_copy(update={"files": [f for f in manifest.files if _went(connection, run, f)]})


def _went(connection: Connection, run: Run, file: ArchivedFile) -> bool:
    """Whether a file has rows that left the live database, or codes and names to read those."""
    return file.bound or (file.school, file.table) not in stayed(connection, run, file.plan_no)

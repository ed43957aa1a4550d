"""Archive what the plan says is archived. A file counts when it was read back and holds the very rows of the plan."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table, func, insert, select
from upath import UPath

from rollover import ledger, plan, receipts
from rollover.archive import manifest as manifests
from rollover.archive.manifest import ArchivedFile, Manifest
from rollover.archive.parquet import SCHEMA_VERSION, Content, Told, blocks, read, write
from rollover.archive.tables import PEOPLE, SCHOOLS, archived_tables, person_columns, settings_tables
from rollover.database.fingerprint import Fingerprint, fingerprint, fingerprints_by_school, scope
from rollover.database.tables import metadata
from rollover.database.tables.ledger import archives, evidence, steps
from rollover.errors import ProofFailed
from rollover.run import Run
from rollover.storage import read_back, remove_parts, whole_file

log = logging.getLogger(__name__)
_Item = TypeVar("_Item")

SORTED_IN = "64MB"
"""What PostgreSQL may take to sort a school's rows; more rows go by way of its disk."""
RESTORED = "archive_restored"
"""The kind of evidence of a year that was put back: its rows are live again, and its archive is a copy."""


@dataclass(frozen=True)
class _Part:
    """What goes into one file: one school's rows of one table."""

    table: Table
    school_id: str
    where: str
    values: dict[str, Any]
    live: Fingerprint
    bound: bool = False


@dataclass(frozen=True)
class _Kept:
    """A file that was read back, and holds the rows that PostgreSQL sent."""

    part: _Part
    path: UPath
    told: Told
    sha256: str
    bytes: int


def archive(connection: Connection, run: Run) -> dict[str, Any]:
    """Archive every line of the plan that says so, with what the year is read with bound in, and its manifest.

    Needs a REPEATABLE READ transaction: the fingerprints and the files are of the same rows. Returns ``{"files": n,
    "rows": n, "bytes": n, "manifest": {"path", "sha256", "bytes"}}``; no manifest where nothing is archived. Raises
    ProofFailed where the live rows are no longer those of the plan, or a file does not hold the rows it was made of.
    """
    lines = plan.current_lines(connection, run, plan.ARCHIVE)
    if not lines:
        return {"files": 0, "rows": 0, "bytes": 0, "manifest": None}
    remove_parts(manifests.folder_of(run))
    connection.execute(select(func.set_config("work_mem", SORTED_IN, True)))
    kept = _keep(connection, run, list(_planned(connection, run, lines)))
    kept += _keep(connection, run, list(_bound(connection, run, kept)))
    for file in kept:
        _record(connection, run, file)
    log.info("archived %s files", len(kept))
    return {
        "files": len(kept),
        "rows": sum(line.rows for line in lines),
        "bytes": sum(file.bytes for file in kept),
        "manifest": _manifest(connection, run, kept),
    }


def _planned(connection: Connection, run: Run, lines: list[plan.Line]) -> Iterator[_Part]:
    """The parts of the plan. Their live rows must be those that the plan was frozen with."""
    for name in sorted({line.table_name for line in lines}):
        table = metadata.tables[name]
        live = fingerprints_by_school(connection, table, run.school_year.key, held=False)
        for line in lines:
            if line.table_name != name:
                continue
            found = live.get(line.school_id)
            if found != line.fingerprint:
                rows = found.rows if found else 0
                raise ProofFailed(
                    f"{name} of school {line.school_id} in {run.id}: the plan has {line.rows} rows, the database "
                    f"{rows}{'' if rows != line.rows else ' with other content'}.",
                    ledger.PLAN_ANEW,
                )
            where, values = scope(table, school_year=run.school_year.key, school_id=line.school_id, held=False)
            yield _Part(table, line.school_id, where, values, line.fingerprint)


def _bound(connection: Connection, run: Run, archived: list[_Kept]) -> Iterator[_Part]:
    """What stays live, as it is now: the codes and settings of the archived schools, their names, their people's."""
    named: dict[str, set[str]] = {}
    for file in archived:
        named.setdefault(file.part.school_id, set()).update(file.told.named)
    for table in settings_tables(run.product):
        live = fingerprints_by_school(connection, table, run.school_year.key)
        for school_id in sorted(named.keys() & live.keys()):
            where, values = scope(table, school_year=run.school_year.key, school_id=school_id)
            yield _Part(table, school_id, where, values, live[school_id], bound=True)
    for school_id, ids in sorted(named.items()):
        where, values = scope(PEOPLE, school_year=None)
        for table, condition, own in (
            (SCHOOLS, "t.school_id = %(school_id)s", {"school_id": school_id}),
            (PEOPLE, f"{where} AND t.sourced_id = ANY(%(ids)s)", {**values, "ids": sorted(ids)}),
        ):
            live_rows = fingerprint(connection, table, condition, own)
            if live_rows.rows:
                yield _Part(table, school_id, condition, own, live_rows, bound=True)


def _keep(connection: Connection, run: Run, parts: list[_Part]) -> list[_Kept]:
    """A file for each part. While a block is written, the next one comes, and the last file is read back."""
    number = ledger.plan_number(connection, run)
    checks = []
    with ThreadPoolExecutor(1) as aside:
        for part_no, sent in groupby(_ahead(_sent(connection, parts)), key=itemgetter(0)):
            part = parts[part_no]
            name = receipts.file_name(part.table.name, "parquet", number)
            path = manifests.folder_of(run) / part.school_id / name
            with whole_file(path) as stream:
                content = write(part.table, (block for _, block in sent), stream)
            checks.append(aside.submit(_checked, part, path, content))
        kept = [check.result() for check in checks]
    if len(kept) != len(parts):
        raise ProofFailed(f"{run.id}: {len(parts)} files were to be written, {len(kept)} were.", "clear this task.")
    return kept


def _sent(connection: Connection, parts: list[_Part]) -> Iterator[tuple[int, bytearray]]:
    """The rows of each part in turn, in blocks, each with the number of its part."""
    for part_no, part in enumerate(parts):
        for block in blocks(connection, part.table, part.table.fullname, part.where, part.values):
            yield part_no, block


def _ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The items, each one made while the one before it is used."""
    end = object()
    with ThreadPoolExecutor(1) as aside:
        coming = aside.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = aside.submit(next, items, end)
            yield cast(_Item, item)


def _checked(part: _Part, path: UPath, sent: Content) -> _Kept:
    """Read a file back from storage. Raises ProofFailed unless it holds the very rows that were sent, and all."""
    with path.open("rb") as stream:
        told = read(part.table, stream, person_columns(part.table))
    if told.content != sent or sent.rows != part.live.rows:
        raise ProofFailed(
            f"{part.table.fullname} of school {part.school_id}: there are {part.live.rows} rows, the archive read back "
            f"{told.content.rows}{'' if told.content.rows != part.live.rows else ' with other content'}.",
            "clear this task.",
        )
    digest, size = read_back(path)
    log.info("%s, school %s: %s rows, %s bytes, read back", part.table.fullname, part.school_id, sent.rows, size)
    return _Kept(part, path, told, digest, size)


def _record(connection: Connection, run: Run, file: _Kept) -> None:
    connection.execute(
        insert(archives).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            plan_no=ledger.plan_number(connection, run),
            school_id=file.part.school_id,
            table_name=file.part.table.fullname,
            path=str(file.path),
            rows=file.part.live.rows,
            checksum=file.part.live.checksum,
            bytes=file.bytes,
            sha256=file.sha256,
        )
    )


def _manifest(connection: Connection, run: Run, kept: list[_Kept]) -> dict[str, Any]:
    """Write the manifest of the year: these files, and those of the plans that were carried out before."""
    number = ledger.plan_number(connection, run)
    before = _carried_out_before(connection, run, number)
    folder = manifests.folder_of(run)
    files = [
        ArchivedFile(
            school=file.part.school_id,
            table=file.part.table.fullname,
            data_class=file.part.table.info["data_class"],
            bound=file.part.bound,
            plan_no=number,
            path=f"{file.part.school_id}/{file.path.name}",
            rows=file.part.live.rows,
            bytes=file.bytes,
            sha256=file.sha256,
            content_sha256=file.told.content.sha256,
            checksum=str(file.part.live.checksum),
            ranges=file.told.ranges,
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
        plan_hash=plan.hash_of(connection, run, number),
        archived_at=run.now,
        holds_current_state=before.holds_current_state if before else plan.holds_current_state(connection, run),
        tools=manifests.tools(connection),
        tables=sorted(table.fullname for table in covered),
        files=[*(before.files if before else []), *files],
    )
    return manifests.write(manifest, folder / receipts.file_name(manifests.STEM, "json", number))


def _carried_out_before(connection: Connection, run: Run, number: int) -> Manifest | None:
    """The manifest of the last plan before this one whose rows left the live database, and are not back in it."""
    erased = select(steps.c.plan_no).where(
        steps.c.rollover_id == run.id, steps.c.step == "erase", steps.c.plan_no < number
    )
    query = select(steps.c.result["manifest"]).where(
        steps.c.rollover_id == run.id, steps.c.step == "archive", steps.c.plan_no.in_(erased)
    )
    found = [row for row in connection.scalars(query.order_by(steps.c.plan_no.desc())) if row]
    if not found:
        return None
    restored = connection.scalars(
        select(evidence.c.facts["manifest_sha256"].astext).where(
            evidence.c.rollover_id == run.id, evidence.c.kind == RESTORED
        )
    )
    return None if found[0]["sha256"] in set(restored) else manifests.read(UPath(found[0]["path"]), found[0]["sha256"])

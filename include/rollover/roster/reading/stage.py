"""Reads a fetched set into typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import IO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine
from upath import UPath

from rollover.config.models import TenantConfig
from rollover.database.session import tenant_session
from rollover.roster import imports
from rollover.roster.columnar import local_copy, without_values
from rollover.roster.findings import Findings, added, why_refused
from rollover.roster.formats import FORMATS, MANIFEST
from rollover.roster.formats.spec import File, Format, Kind
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import ReadAs, Reading
from rollover.roster.imports.earlier import same_set
from rollover.roster.imports.files import fetched_file, fetched_folder, typed_file
from rollover.roster.reading.clean import (
    FILLED,
    FILLED_MESSAGE,
    NO_USERNAME,
    NO_USERNAME_MESSAGE,
    OTHER_STATUS,
    OTHER_STATUS_MESSAGE,
    clean,
    with_status,
    with_usernames,
)
from rollover.roster.reading.columns import IS_DELETED, KEPT_OUT, ROW
from rollover.roster.reading.header import read_header
from rollover.roster.reading.manifest import Contents, contents
from rollover.roster.reading.rows import NOT_CSV, batches
from rollover.roster.reading.text import as_text
from rollover.storage import whole_file

AT_ONCE = 2
"""Files that are read at the same time. Memory holds a batch of each."""
NO_UPDATES = "the set says that there are no updates"
_TYPES = {
    Kind.TEXTS: pa.large_list(pa.large_string()),
    Kind.GRADES: pa.large_list(pa.large_string()),
    Kind.DATE: pa.date32(),
    Kind.BOOLEAN: pa.bool_(),
}


@dataclass
class Read:
    """The result of reading one file."""

    rows: int = 0
    unnamed: int = 0
    """The number of rejected rows that cannot be identified."""
    usable: bool = False
    other_status: int = 0
    """Rows of a full file whose status is neither active nor tobedeleted, and nothing says what it means."""
    cut_off: bool = False
    """Whether the file ends inside a row."""
    columns: frozenset[str] = frozenset()
    findings: Findings = field(default_factory=Findings)


def stage(
    engine: Engine,
    tenant_id: str,
    import_id: str,
    storage: UPath,
    config: TenantConfig,
    *,
    needs_username: bool = True,
) -> Import:
    """Read a fetched set into one Parquet file of typed rows per file: fetched → staged.

    Rows in error are marked, so that :func:`rollover.roster.validating.validate.validate` finds the rows that depend on
    them. The set is refused if it cannot be read as a whole: its format is unknown, or a required file or column is
    missing. Its other files are still read, and the details have ``refused_for``, for which validating rejects it. A
    set without any usable file is ``rejected`` at once. A set that is identical, byte for byte, to the live one is
    ``ready`` at once. If a product `needs_username`, a person without one is an error.
    """
    fetched = imports.current(engine, tenant_id, import_id)
    if fetched.state is not ImportState.FETCHED:
        return fetched
    findings = Findings()
    names = set(fetched.details.fetched.files)
    others = {name.lower() for name in fetched.details.fetched.files_ignored}
    folder, without_manifest = fetched_folder(storage, import_id), config.manifest == "none"
    found = contents(folder, names, others, findings, without_manifest=without_manifest)
    read_as = ReadAs(
        formats=tuple(sorted(FORMATS)),
        column_map=config.column_map,
        status_means=config.status_means,
        needs_username=needs_username,
    )
    if found is not None and config.roster_format not in (None, found.format.name):
        message = f"The set is {found.format.label}, but the district file says {config.roster_format}."
        findings.refuse("other_format", MANIFEST, message)
    if found is not None and not findings.refusing and _is_live_already(engine, tenant_id, fetched, found, read_as):
        return imports.current(engine, tenant_id, import_id)
    read = {} if found is None else read_all(found, storage, import_id, read_as)
    for each in read.values():
        findings.extend(each.findings)
    return _finish(engine, fetched, findings, found, read, read_as)


def _is_live_already(engine: Engine, tenant_id: str, fetched: Import, found: Contents, read_as: ReadAs) -> bool:
    """Whether the set is the one that is live; it then needs no other step."""
    read = ImportDetails(reading=Reading(read_as=read_as))
    as_it_would_be = replace(fetched, format=found.format.name, details=read)
    with tenant_session(engine, tenant_id) as connection:
        live = same_set(connection, as_it_would_be)
        return live is not None and imports.advance(
            connection,
            fetched,
            ImportState.READY,
            school_year=live.school_year,
            format=live.format,
            details=ImportDetails(reading=read.reading, unchanged=True),
        )


def read_all(found: Contents, storage: UPath, import_id: str, read_as: ReadAs) -> dict[str, Read]:
    """Write the typed rows of every file of a fetched set, the largest first, a few files at a time."""

    def read(file: File) -> Read:
        with without_values():
            return _read_file(file, found, storage, import_id, read_as)

    by_size = sorted(
        found.files, key=lambda file: fetched_file(storage, import_id, file.name).stat().st_size, reverse=True
    )
    with ThreadPoolExecutor(AT_ONCE) as pool:
        done = dict(zip([file.name for file in by_size], pool.map(read, by_size), strict=True))
    return {file.name: done[file.name] for file in found.files}


def _read_file(file: File, found: Contents, storage: UPath, import_id: str, read_as: ReadAs) -> Read:
    read = Read()
    spec, delta = found.format, file.name in found.deltas
    column_map = read_as.column_map.get(file.name, {})
    target = typed_file(storage, import_id, file.stem)
    with local_copy(fetched_file(storage, import_id, file.name)) as path, as_text(path) as text:
        header = read_header(text, file, spec, column_map, read.findings, delta=delta)
        if header is None:
            return read
        read.columns = frozenset(header.positions)
        with whole_file(target) as stream, _fast_parquet(stream, schema_of(file)) as writer:
            for batch in batches(text, file, spec, header, read.findings, delta=delta):
                batch = _in_format_words(batch, file, read_as, read.findings)
                typed = clean(batch, file, spec, read.findings, delta=delta)
                read.rows += typed.height
                writer.write_table(_as_arrow(typed, file))
        read.findings.finish_columns(FILLED, FILLED_MESSAGE)
        read.findings.finish_columns(NO_USERNAME, NO_USERNAME_MESSAGE)
        read.other_status = read.findings.finish_columns(OTHER_STATUS, OTHER_STATUS_MESSAGE)
        read.cut_off = text.is_cut_off
        read.unnamed = len(text.unnamed) + len(text.too_long)
    read.usable = NOT_CSV not in read.findings.errors
    if read.usable and not read.rows:
        _judge_empty(file, read, delta=delta)
    return read


def _in_format_words(batch: pl.DataFrame, file: File, read_as: ReadAs, findings: Findings) -> pl.DataFrame:
    batch = with_status(batch, read_as.status_means)
    return batch if read_as.needs_username else with_usernames(batch, file, findings)


def _fast_parquet(stream: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of files that only the next step reads."""
    return pq.ParquetWriter(stream, schema, compression="lz4", use_dictionary=False, write_statistics=False)


def schema_of(file: File) -> pa.Schema:
    """The columns of a file's typed rows."""
    own = [(column.name, _TYPES.get(column.kind, pa.large_string())) for column in file.columns]
    own = [(name, kind) for name, kind in own if name not in file.bulk_is_blank]
    return pa.schema([(ROW, pa.int32()), (KEPT_OUT, pa.bool_()), (IS_DELETED, pa.bool_()), *own])


def _as_arrow(frame: pl.DataFrame, file: File) -> pa.Table:
    schema = schema_of(file)
    return frame.select(schema.names).to_arrow().cast(schema)


def _judge_empty(file: File, read: Read, *, delta: bool) -> None:
    if file.required and not delta:
        message = "The file holds no rows, and an empty file never means that everything is deleted. Fill it."
        read.findings.refuse("empty_file", file.name, message)
    else:
        message = "The file holds no rows; what is known stays as it is. Leave a file without rows out."
        read.findings.add("empty_file", "warning", file.name, message)
    read.usable = False


def _finish(
    engine: Engine,
    fetched: Import,
    findings: Findings,
    found: Contents | None,
    read: Mapping[str, Read],
    read_as: ReadAs,
) -> Import:
    reading = _reading(findings, found, read, read_as)
    after, reason = ImportState.STAGED, None
    if findings.refusing:
        after = ImportState.STAGED if reading.refused_for else ImportState.REJECTED
        reason = why_refused(findings.refusing)
    elif found is not None and not found.files:
        after, reason = ImportState.SUPERSEDED, NO_UPDATES
    details = ImportDetails(
        rows={name: each.rows for name, each in read.items()},
        errors=findings.errors,
        warnings=added(fetched.details.warnings, findings.warnings),
        reading=reading,
    )
    with tenant_session(engine, fetched.tenant_id) as connection:
        moved = imports.advance(
            connection,
            fetched,
            after,
            format=found.format.name if found else None,
            reason=reason,
            details=details,
        )
        if moved:
            findings.store(connection, fetched.import_id, fetched.tenant_id)
        return imports.load(connection, fetched.import_id)


def _reading(findings: Findings, found: Contents | None, read: Mapping[str, Read], read_as: ReadAs) -> Reading:
    """The results for the ledger. A refused set is validated anyway if it has rows and no delta."""
    if found is None or not found.files:
        return Reading(read_as=read_as)
    usable = {name: each for name, each in read.items() if each.usable}
    is_validated = usable and not found.deltas
    return Reading(
        read_as=read_as,
        files_read=tuple(usable),
        deltas=tuple(sorted(found.deltas)),
        not_said=not_said(found.format, read, found.deltas),
        not_identified={name: each.unnamed for name, each in usable.items() if each.unnamed},
        other_status={name: each.other_status for name, each in usable.items() if each.other_status},
        cut_off=tuple(name for name, each in usable.items() if each.cut_off),
        refused_for=tuple(sorted(set(findings.refusing))) if is_validated else (),
    )


def not_said(spec: Format, read: Mapping[str, Read], deltas: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """The columns that the set lacks, because a column or file is missing: [table, column], and a role if it lacks the
    column for people of that role only.

    A delta is laid over the live roster, so only columns of its files count.
    """
    found: list[tuple[str, ...]] = []
    for file in spec.files:
        if file.name in read and read[file.name].usable:
            there = read[file.name].columns
        elif deltas:
            continue
        else:
            there = frozenset()
        found += [column.fills for column in file.columns if column.fills and column.name not in there]
    return tuple(found)

"""Parse a fetched set into typed rows."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine
from upath import UPath

from rollover.config.models import TenantConfig
from rollover.database.session import tenant_session
from rollover.roster import imports
from rollover.roster.columnar import local_copy, without_values
from rollover.roster.files import fetched_file, fetched_folder, typed_file
from rollover.roster.findings import Findings, added, why_refused
from rollover.roster.formats import FORMATS, MANIFEST
from rollover.roster.formats.spec import File, Format, Kind
from rollover.roster.imports import Import
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


@dataclass(frozen=True)
class ReadAs:
    """What else than the bytes of a set decides how it is read."""

    column_map: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By file: under which header the district sends a column."""
    status_means: Mapping[str, str] = field(default_factory=dict)
    """What other values of the column ``status`` than the format's stand for."""
    needs_username: bool = True
    """Whether a person without a username is an error."""

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it; what nobody has said is left out."""
        maps = {name: dict(columns) for name, columns in self.column_map.items()}
        more: dict[str, Any] = {"status_means": dict(self.status_means)} if self.status_means else {}
        if not self.needs_username:
            more["needs_username"] = False
        return {"formats": sorted(FORMATS), "column_map": maps, **more}

    def applied(self, batch: pl.DataFrame, file: File, findings: Findings) -> pl.DataFrame:
        """A batch of rows in the format's words."""
        batch = with_status(batch, self.status_means)
        return batch if self.needs_username else with_usernames(batch, file, findings)


AS_THE_FORMAT_SAYS = ReadAs()


@dataclass
class Read:
    """What reading one file gave."""

    rows: int = 0
    unnamed: int = 0
    """Rows that are kept out, and of which nobody can tell who they are about."""
    usable: bool = False
    other_status: int = 0
    """Rows of a full file whose status is neither active nor tobedeleted, and nothing says what it means."""
    cut_off: bool = False
    """The file ends inside a row."""
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
) -> dict[str, Any]:
    """Read a fetched set into one Parquet file of typed rows per file: fetched → staged.

    Rows in error are marked, for :func:`rollover.roster.validating.validate.validate` to tell what depends on them. The
    set is refused where it cannot be read as a whole: its format is not known, or a required file or a column that no
    row can be without is missing. Then what is there is read all the same, and ``counts`` has ``refused_for``, with
    which validating rejects it; ``rejected`` at once is a set of which nothing can be looked at. A set that is, byte
    for byte, the one that is live is ``ready`` at once. Where a product `needs_username`, a person without one is an
    error.
    """
    fetched = imports.current(engine, tenant_id, import_id)
    if fetched.state != "fetched":
        return fetched.summary()
    findings = Findings()
    names = set(fetched.counts.get("files", {}))
    others = {name.lower() for name in fetched.counts.get("files_ignored", ())}
    folder, without_manifest = fetched_folder(storage, import_id), config.manifest == "none"
    found = contents(folder, names, others, findings, without_manifest=without_manifest)
    read_as = ReadAs(config.column_map, config.status_means, needs_username)
    known_as = read_as.as_json()
    if found is not None and config.roster_format not in (None, found.format.name):
        message = f"The set is {found.format.label}, but the district file says {config.roster_format}."
        findings.refuse("other_format", MANIFEST, message)
    if found is not None and not findings.refusing and _is_live_already(engine, tenant_id, fetched, found, known_as):
        return imports.current(engine, tenant_id, import_id).summary()
    read = {} if found is None else read_all(found, storage, import_id, read_as)
    for each in read.values():
        findings.extend(each.findings)
    return _finish(engine, tenant_id, import_id, findings, found, read, known_as)


def _is_live_already(engine: Engine, tenant_id: str, fetched: Import, found: Contents, read_as: dict[str, Any]) -> bool:
    """Whether the set is the one that is live; it then needs no other step."""
    as_it_would_be = replace(fetched, format=found.format.name, counts={**fetched.counts, imports.READ_AS: read_as})
    with tenant_session(engine, tenant_id) as connection:
        live = imports.same_set(connection, as_it_would_be)
        return live is not None and imports.advance(
            connection,
            fetched.import_id,
            before="fetched",
            after="ready",
            school_year=live.school_year,
            format=live.format,
            counts={imports.UNCHANGED: True, imports.READ_AS: read_as},
        )


def read_all(found: Contents, storage: UPath, import_id: str, read_as: ReadAs = AS_THE_FORMAT_SAYS) -> dict[str, Read]:
    """Write the typed rows of every file of a fetched set, the largest first; a batch of each of a few at a time."""

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
        with whole_file(target) as stream, pq.ParquetWriter(stream, schema_of(file), **PARQUET) as writer:
            for batch in batches(text, file, spec, header, read.findings, delta=delta):
                typed = clean(read_as.applied(batch, file, read.findings), file, spec, read.findings, delta=delta)
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


PARQUET: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""How files between two steps are written: fast."""


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
    tenant_id: str,
    import_id: str,
    findings: Findings,
    found: Contents | None,
    read: Mapping[str, Read],
    read_as: dict[str, Any],
) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows": {name: each.rows for name, each in read.items()}, imports.READ_AS: read_as}
    after, reason = "staged", None
    usable = [name for name, each in read.items() if each.usable]
    if findings.refusing:
        after, reason = "rejected", why_refused(findings.refusing)
        if found is not None and usable and not found.deltas:
            after, counts[imports.REFUSED_FOR] = "staged", sorted(set(findings.refusing))
    elif found is not None and not found.files:
        after, reason = "superseded", NO_UPDATES
    if found is not None and found.files:
        counts["files_read"] = usable
        counts["deltas"] = sorted(found.deltas)
        counts[imports.NOT_IDENTIFIED] = {name: read[name].unnamed for name in usable if read[name].unnamed}
        counts[imports.OTHER_STATUS] = {name: read[name].other_status for name in usable if read[name].other_status}
        counts[imports.CUT_OFF] = [name for name in usable if read[name].cut_off]
        counts["not_said"] = not_said(found.format, read, found.deltas)
    with tenant_session(engine, tenant_id) as connection:
        before = imports.load(connection, import_id)
        counts["errors"] = findings.errors
        counts["warnings"] = added(before.counts.get("warnings", {}), findings.warnings)
        moved = imports.advance(
            connection,
            import_id,
            before="fetched",
            after=after,
            format=found.format.name if found else None,
            reason=reason,
            counts=counts,
        )
        if moved:
            findings.store(connection, import_id, tenant_id)
        return imports.load(connection, import_id).summary()


def not_said(spec: Format, read: Mapping[str, Read], deltas: frozenset[str]) -> list[list[str]]:
    """What of the live roster the set says nothing about, since its column or file is not there: [table, column], and
    where it is so for people of one role only, that role.

    A delta is laid over the live roster, so only columns of the files that it has count.
    """
    found = []
    for file in spec.files:
        if file.name in read and read[file.name].usable:
            there = read[file.name].columns
        elif deltas:
            continue
        else:
            there = frozenset()
        found += [list(column.fills) for column in file.columns if column.fills and column.name not in there]
    return found

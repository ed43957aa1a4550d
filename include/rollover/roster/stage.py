"""Parse a fetched set into typed rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, Table, select
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import roster
from rollover.roster import imports, model
from rollover.roster.clean import clean
from rollover.roster.files import fetched_file, fetched_folder, staged_file
from rollover.roster.findings import Findings, why_rejected
from rollover.roster.manifest import files_to_read
from rollover.roster.model import File
from rollover.roster.read import BROKEN_OFF, ROW, batches, read_header
from rollover.roster.staged import TABLES, StagedWriter, read_staged
from rollover.storage import whole_file

AGENTS = "agents"
"""Staged beside the tables: who names whom in ``agentSourcedIds``, as (row, person_id, agent_id)."""
_AGENTS_SCHEMA = pa.schema([(ROW, pa.int32()), ("person_id", pa.large_string()), ("agent_id", pa.large_string())])
_BIRTH_DATES: dict[str, Any] = {"sourced_id": pl.String, "birth_date": pl.Date}


def stage(engine: Engine, tenant_id: str, import_id: str, storage: UPath) -> dict[str, Any]:
    """Read a fetched set into one Parquet file per roster table: fetched → staged.

    Broken values are findings, and :func:`rollover.roster.validate.validate` judges them together with what
    only the whole set can show. The set is ``rejected`` here where a file cannot be read at all: its manifest,
    a required file or a column that is read is missing, or a file is empty.
    """
    fetched = imports.current(engine, tenant_id, import_id)
    if fetched.state != "fetched":
        return fetched.summary()
    findings = Findings()
    rows: dict[str, int] = {}
    files = files_to_read(fetched_folder(storage, import_id), findings)
    headers = {file.name: read_header(fetched_file(storage, import_id, file.name), file, findings) for file in files}
    if not findings.errors:
        birth_dates = _birth_dates(engine, tenant_id)
        for file in files:
            path, header = fetched_file(storage, import_id, file.name), headers[file.name]
            assert header is not None
            cleaned = (clean(batch, file, findings) for batch in batches(path, file, header, findings))
            if file is model.DEMOGRAPHICS:
                birth_dates, rows[file.name] = _read_birth_dates(cleaned, findings)
            elif file is model.USERS:
                rows[file.name] = _stage_users(cleaned, birth_dates, storage, import_id)
                _stage_guardians(storage, import_id)
            else:
                rows[file.name] = _stage_file(cleaned, file, storage, import_id)
            if file.required and not rows[file.name]:
                message = "The file holds no rows, and an empty file never means that everything is deleted. Fill it."
                findings.add("empty_file", "error", file.name, message)
    return _finish(engine, tenant_id, import_id, findings, rows, unreadable=not _is_whole(rows, findings))


def _is_whole(rows: dict[str, int], findings: Findings) -> bool:
    """Whether the set can be judged as a whole: every required file was read to its end, and has rows."""
    there = all(rows.get(file.name) for file in model.FILES if file.required)
    return there and not BROKEN_OFF & findings.errors.keys()


def _finish(
    engine: Engine, tenant_id: str, import_id: str, findings: Findings, rows: dict[str, int], *, unreadable: bool
) -> dict[str, Any]:
    with tenant_session(engine, tenant_id) as connection:
        before = imports.load(connection, import_id)
        warnings = {**before.counts.get("warnings", {}), **findings.warnings}
        moved = imports.advance(
            connection,
            import_id,
            before="fetched",
            after="rejected" if unreadable else "staged",
            reason=why_rejected(findings.errors) if unreadable else None,
            counts={"rows": rows, "errors": findings.errors, "warnings": warnings},
        )
        if moved:
            findings.store(connection, import_id, tenant_id)
        return imports.load(connection, import_id).summary()


def _stage_file(cleaned: Iterable[pl.DataFrame], file: File, storage: UPath, import_id: str) -> int:
    rows = 0
    with _written(storage, import_id, TABLES[file.table]) as writer:
        for frame in cleaned:
            writer.write(frame)
            rows += frame.height
    return rows


def _birth_dates(engine: Engine, tenant_id: str) -> pl.DataFrame:
    """The birth dates that the live roster has.

    They stand in for a demographics file that is not in the set: a missing file never clears anything.
    """
    known = select(roster.people.c.sourced_id, roster.people.c.birth_date).where(
        roster.people.c.birth_date.is_not(None)
    )
    with tenant_session(engine, tenant_id) as connection:
        rows = [tuple(row) for row in connection.execute(known)]
    return pl.DataFrame(rows, schema=_BIRTH_DATES, orient="row")


def _read_birth_dates(cleaned: Iterable[pl.DataFrame], findings: Findings) -> tuple[pl.DataFrame, int]:
    frames = [*cleaned, pl.DataFrame(schema={ROW: pl.Int32, **_BIRTH_DATES})]
    frame = pl.concat(frames).filter(pl.col("sourced_id").is_not_null())
    again = frame.filter(~frame["sourced_id"].is_first_distinct())
    message = "The person has a row already. Keep one."
    findings.add("duplicate", "error", model.DEMOGRAPHICS.name, message, column="sourcedId", rows=again[ROW].to_list())
    once = frame.unique("sourced_id", keep="first", maintain_order=True)
    return once.select("sourced_id", "birth_date"), frame.height


def _stage_users(cleaned: Iterable[pl.DataFrame], birth_dates: pl.DataFrame, storage: UPath, import_id: str) -> int:
    """Write people, each with the birth date, and who names whom as agent."""
    rows = 0
    agents_file = staged_file(storage, import_id, AGENTS)
    with (
        _written(storage, import_id, roster.people) as people,
        whole_file(agents_file) as stream,
        pq.ParquetWriter(stream, _AGENTS_SCHEMA) as agents,
    ):
        for frame in cleaned:
            rows += frame.height
            named = frame.select(ROW, person_id="sourced_id", agent_id="agent_ids").explode("agent_id")
            agents.write_table(named.drop_nulls().to_arrow().cast(_AGENTS_SCHEMA))
            people.write(frame.join(birth_dates, on="sourced_id", how="left", maintain_order="left"))
    return rows


def _stage_guardians(storage: UPath, import_id: str) -> None:
    """A student's agents, as either side names the other, each pair once.

    Only pairs of one student and one other person of the set count; validate tells about the rest.
    """
    people = read_staged(storage, import_id, roster.people.name, ["sourced_id", "role"]).unique("sourced_id")
    is_student = people.select("sourced_id", student=pl.col("role") == "student")
    named = (
        read_staged(storage, import_id, AGENTS)
        .join(is_student.rename({"sourced_id": "person_id", "student": "person_is"}), on="person_id")
        .join(is_student.rename({"sourced_id": "agent_id", "student": "agent_is"}), on="agent_id")
    )
    columns = (ROW, "student_id", "guardian_id")
    forward = named.filter(pl.col("person_is") & ~pl.col("agent_is"))
    backward = named.filter(~pl.col("person_is") & pl.col("agent_is"))
    pairs = pl.concat(
        [
            forward.rename({"person_id": "student_id", "agent_id": "guardian_id"}).select(columns),
            backward.rename({"agent_id": "student_id", "person_id": "guardian_id"}).select(columns),
        ]
    ).unique(["student_id", "guardian_id"], keep="first", maintain_order=True)
    with _written(storage, import_id, roster.guardians) as writer:
        writer.write(pairs)


@contextmanager
def _written(storage: UPath, import_id: str, table: Table) -> Iterator[StagedWriter]:
    """A writer of one table's staged file, which appears when it is whole."""
    with whole_file(staged_file(storage, import_id, table.name)) as stream, StagedWriter(stream, table) as writer:
        yield writer

"""Receives the rows of a table from PostgreSQL by COPY, a block at a time, so that memory stays flat."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Table, Text, text

from rollover.archive.form import Content, as_sent, digest_of, own_columns, parsed, same_columns, sent_schema
from rollover.database.checksums import NOTHING, RowsChecksum, row_hash
from rollover.database.copying import Batch, CopyOut, ahead
from rollover.errors import ProofFailed

BLOCK_BYTES = 4 << 20
BLOCKS_BYTES = 64 << 20
"""The largest total of all blocks in memory, in bytes, while rows of several schools arrive."""
AHEAD = 8
"""How many batches of rows may wait in memory."""
LINE = "line_of_file"
"""The column that numbers the rows of a file when they are restored."""
MARK = 32
"""The hexadecimal digits before each line: the number of its school, and the hash of the row."""
LONGEST = 2**31 - 1
_MARK = np.dtype([("school", ">i8"), ("row", ">i8")])


@dataclass
class Block:
    """Whole rows of one school as PostgreSQL sent them, and their checksum."""

    school_id: str
    lines: bytearray = field(default_factory=bytearray)
    rows_checksum: RowsChecksum = NOTHING


def blocks(
    connection: Connection,
    table: Table,
    schools: Collection[str],
    where: str,
    bound: Mapping[str, Any],
    *,
    school_of: str = "t.school_id",
) -> Iterator[Block]:
    """Yield the rows ``t`` of a table that match `where`, in blocks of one school.

    The table is read once, in one statement: rows come in stored order, and are separated by school here, because
    sorting would take PostgreSQL as long as sending. `school_of` is SQL for a row's school; the query must return rows
    of the `schools` only.
    """
    known = _schools_by_mark(connection, schools)
    size = min(BLOCK_BYTES, BLOCKS_BYTES // max(len(known), 1))
    mark = f"encode(int8send(hashtextextended({school_of}, 0)) || int8send({row_hash(table)}), 'hex')"
    query = _copy(table, table.fullname, where, mark)
    filling = {school_id: Block(school_id) for school_id in known.values()}
    for batch in ahead(iter(CopyOut(connection, query, bound, BLOCK_BYTES)), AHEAD):
        for school_id, lines, found in _lines_by_school(batch, known):
            block = filling[school_id]
            block.lines += lines
            block.rows_checksum += found
            if len(block.lines) >= size:
                yield block
                filling[school_id] = Block(school_id)
    yield from (block for block in filling.values() if block.lines)


def content_of(connection: Connection, table: Table, relation: str) -> Content:
    """Return the content of a relation that has the rows of one file: the columns of `table`, and :data:`LINE`."""
    names = same_columns(table)
    digest, rows = hashlib.sha256(), 0
    if names:
        found = connection.execute(text(f"SELECT DISTINCT {', '.join(names)} FROM {relation}")).mappings().all()  # noqa: S608
        if len(found) > 1:
            raise ProofFailed(f"{relation} holds rows of more than one school.", "report this.")
        digest = digest_of(table, dict(found[0])) if found else digest
    for lines, _ in CopyOut(connection, _copy(table, relation, f"true ORDER BY t.{LINE}"), batch_bytes=BLOCK_BYTES):
        digest.update(lines)
        rows += parsed(table, lines, sent_schema(table)).num_rows
    return Content(rows, digest.hexdigest())


def _lines_by_school(batch: Batch, known: Mapping[int, str]) -> Iterator[tuple[str, pa.Buffer, RowsChecksum]]:
    """Yield the lines of each school, without the mark before them. Raises ProofFailed if a row belongs to another
    school, because no file would have it."""
    ends = pa.py_buffer(np.asarray(batch.ends, dtype=np.int32))
    rows = pa.BinaryArray.from_buffers(pa.binary(), len(batch.ends) - 1, [None, ends, pa.py_buffer(batch.rows)])
    marks = np.frombuffer(bytes.fromhex(pc.binary_slice(rows, 0, MARK).buffers()[2].to_pybytes().decode()), dtype=_MARK)
    if not np.isin(marks["school"], list(known)).all():
        raise ProofFailed("A row came that is of none of the schools that were asked for.", "report this.")
    lines = pc.binary_slice(rows, MARK + len(","), LONGEST)
    for number, school_id in known.items():
        own = np.flatnonzero(marks["school"] == number)
        if len(own):
            hashes = Decimal(sum(marks["row"][own].tolist()))
            yield school_id, lines.take(pa.array(own)).buffers()[2], RowsChecksum(len(own), hashes)


def _schools_by_mark(connection: Connection, schools: Collection[str]) -> dict[int, str]:
    """Return the schools by the number that marks their lines: a school's id itself may contain any character."""
    query = text("SELECT school, hashtextextended(school, 0) FROM unnest(CAST(:schools AS text[])) school")
    found = {mark: school for school, mark in connection.execute(query, {"schools": list(schools)})}
    if len(found) != len(set(schools)):
        raise ProofFailed("Two schools have the same hash.", "report this.")
    return found


def _copy(table: Table, relation: str, where: str, *before: str) -> str:
    """Return a COPY of rows ``t``: the columns that differ within a file, after the expression `before`."""
    columns = own_columns(table)
    names = ", ".join([*before, *(as_sent(column) for column in columns)])
    texts = ", ".join(f'"{column.name}"' for column in columns if isinstance(column.type, Text))
    return (
        f"COPY (SELECT {names} FROM {relation} t WHERE {where}) "  # noqa: S608
        f"TO STDOUT (FORMAT csv, ENCODING 'UTF8'{f', FORCE_QUOTE ({texts})' if texts else ''})"
    )

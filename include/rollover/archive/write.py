"""Archive what the plan says is archived. A file counts when it was loaded back and equals the live rows."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, Table, insert, text
from upath import UPath

from rollover import ledger, plan, receipts
from rollover.archive.parquet import copy_in, copy_out
from rollover.database.fingerprint import Fingerprint, fingerprint, fingerprints_by_school, scope
from rollover.database.tables import metadata, tables_of
from rollover.database.tables.ledger import archives
from rollover.errors import ProofFailed
from rollover.run import Run
from rollover.storage import read_back, whole_file

log = logging.getLogger(__name__)


def archive(connection: Connection, run: Run) -> dict[str, Any]:
    """Archive every line of the plan that says so, with the codes and settings of the year bound in.

    Returns ``{"files": n, "rows": n, "bytes": n}``. Raises ProofFailed where the live rows are no longer those
    of the plan, or a file does not read back as the rows it was made of.
    """
    lines = plan.current_lines(connection, run, plan.ARCHIVE)
    for line in lines:
        _keep(connection, run, metadata.tables[line.table_name], line.school_id, line.fingerprint)
    _bind(connection, run, {line.school_id for line in lines})
    kept = receipts.of_archives(connection, run)
    log.info("archived %s files", len(kept))
    return {
        "files": len(kept),
        "rows": sum(line.rows for line in lines),
        "bytes": sum(row["bytes"] for row in kept),
    }


def folder(run: Run) -> UPath:
    """``archive/<product>/<district>/<school year>``, below the storage."""
    return run.storage / "archive" / run.tenant.product / run.tenant.district / run.school_year.key


def _bind(connection: Connection, run: Run, schools: set[str]) -> None:
    """Codes and settings stay, but an archived year must be read with those of its time."""
    for name, rule in run.product.data_classes.items():
        if not rule.bound_to_archive:
            continue
        for table in tables_of(run.product.product, name):
            live = fingerprints_by_school(connection, table, run.school_year.key)
            for school_id in sorted(schools & live.keys()):
                _keep(connection, run, table, school_id, live[school_id], held=None)


def _keep(
    connection: Connection, run: Run, table: Table, school_id: str, expected: Fingerprint, *, held: bool | None = False
) -> None:
    """Write one file, load it back, and record it when it equals `expected`. Rows that are held are not in it."""
    number = ledger.plan_number(connection, run)
    path = folder(run) / school_id / receipts.file_name(table.name, "parquet", number)
    where, bound = scope(table, school_year=run.school_year.key, school_id=school_id, held=held)
    with whole_file(path) as stream:
        copy_out(connection, table, where, bound, stream)
    found = _load_back(connection, table, path)
    if found != expected:
        raise ProofFailed(
            f"{table.fullname} of school {school_id} in {run.id}: the plan has {expected.rows} rows, the archive "
            f"read back {found.rows}{'' if found.rows != expected.rows else ' with other content'}.",
            ledger.PLAN_ANEW,
        )
    digest, size = read_back(path)
    log.info("%s, school %s: %s rows, %s bytes, read back", table.fullname, school_id, found.rows, size)
    connection.execute(
        insert(archives).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            plan_no=number,
            school_id=school_id,
            table_name=table.fullname,
            path=str(path),
            rows=found.rows,
            checksum=found.checksum,
            bytes=size,
            sha256=digest,
        )
    )


def _load_back(connection: Connection, table: Table, path: UPath) -> Fingerprint:
    """Load a file into a temporary table of the same shape, and take its fingerprint there."""
    connection.execute(text(f"CREATE TEMP TABLE read_back (LIKE {table.fullname}) ON COMMIT DROP"))
    with path.open("rb") as stream:
        copy_in(connection, table, stream, "read_back")
    found = fingerprint(connection, "read_back")
    connection.execute(text("DROP TABLE read_back"))
    return found

"""Restores an archived year, row for row: into a new schema, into the live tables, or into temporary tables for a
report.

Each file is checked before its rows are loaded, and the loaded rows before the transaction commits.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, PrimaryKeyConstraint, Table, select, text
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.archive.form import Content
from rollover.archive.keys import Key, Keys
from rollover.archive.manifest import ArchivedFile, Manifest
from rollover.archive.parquet import columns_in, copy_in
from rollover.archive.sent import LINE, content_of
from rollover.archive.tables import table_of
from rollover.archive.write import RESTORED
from rollover.calendar import SchoolYear
from rollover.database.checksums import NOTHING, RowsChecksum, rows_checksum, where_clause
from rollover.database.school_years import ensure_school_year
from rollover.database.session import APP_ROLE, tenant_session
from rollover.database.tables.ledger import steps
from rollover.errors import ProofFailed, Refused
from rollover.ledger import disposal_plans, evidence
from rollover.ledger.results import Step
from rollover.storage import storage_path
from rollover.tenant import Tenant, rollover_id

log = logging.getLogger(__name__)

COPIED = "archive_copied"
"""The kind of evidence of a year that was put into a schema of its own."""
LIVE = "the live tables"
STAGING = "restored_file"
NOT_BACK = "nothing was put back: report this."


@dataclass(frozen=True)
class Archived:
    """An archived year as the ledger has it."""

    folder: UPath
    manifest: Manifest
    sha256: str


def archived_year(connection: Connection, tenant: Tenant, year: SchoolYear) -> Archived:
    """Find the archive of the session's tenant and a year, by the manifest in the ledger.

    Raises Refused if the year was never archived, or its archive is gone. Raises ProofFailed if the manifest was
    changed.
    """
    over = disposal_plans.expired(connection, year.key)
    query = (
        select(steps.c.result["manifest"])
        .where(steps.c.rollover_id == rollover_id(tenant.id, year.key), steps.c.step == Step.ARCHIVE)
        .order_by(steps.c.plan_no.desc())
    )
    if over is not None:
        query = query.where(steps.c.finished_at > over.done_at)
    receipt = next((found for found in connection.scalars(query) if found), None)
    if receipt is None and over is not None:
        raise Refused(f"The archive of {year} of {tenant} expired {over}.", "nothing brings it back.")
    if receipt is None:
        raise Refused(f"The ledger has no archive of {year} of {tenant}.", "see `rollover archive list`.")
    path = storage_path(receipt["path"])
    manifest = manifests.read(path, receipt["sha256"])
    for key_id in {file.key_id for file in manifest.files if file.key_id}:
        if gone := disposal_plans.destroyed(connection, key_id):
            raise Refused(
                f"The key {key_id} of the archive of {year} of {tenant} was destroyed {gone}.",
                "nothing brings it back.",
            )
    return Archived(path.parent, manifest, receipt["sha256"])


def into_live(engine: Engine, tenant: Tenant, year: SchoolYear, keys: Keys, *, by: str, reason: str) -> dict[str, Any]:
    """Put a year back into the live tables. Codes and settings are still live, and are not changed.

    Returns ``{"into", "rows": {table: n}, …}`` as recorded in the evidence. Raises Refused, with nothing changed, if a
    table already has rows of that tenant and year.
    """
    with tenant_session(engine, tenant.id, isolation="REPEATABLE READ", exclusive=True) as connection:
        kept = archived_year(connection, tenant, year)
        ensure_school_year(connection, year.key)
        files = [file for file in kept.manifest.files if not file.bound]
        tables = {name: table_of(name) for name in sorted({file.table for file in files})}
        before = {name: _live(connection, table, year) for name, table in tables.items()}
        if taken := [f"{name} has {found.rows}" for name, found in before.items() if found.rows]:
            raise Refused(
                f"The live tables already have rows of {year} of {tenant}: {', '.join(taken)}.",
                "restore it into a schema of its own with --into.",
            )
        expected = load(connection, kept, files, tables, keys)
        for name, table in tables.items():
            if _live(connection, table, year) != expected[name]:
                raise ProofFailed(f"{name} does not hold the archived rows after they were put back.", NOT_BACK)
        return _recorded(connection, tenant, year, kept, expected, LIVE, RESTORED, by, reason)


def into_schema(
    engine: Engine, tenant: Tenant, year: SchoolYear, schema: str, keys: Keys, *, by: str, reason: str
) -> dict[str, Any]:
    """Copy a year, with its codes and names, into a new schema that belongs to the login of `engine`.

    Returns and records as :func:`into_live` does. Raises Refused if the schema exists, or may not be created.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", schema) or schema.startswith("pg_"):
        raise Refused(f"'{schema}' is no name for a schema.", "take small letters, digits and underscores.")
    with tenant_session(engine, tenant.id, isolation="REPEATABLE READ", exclusive=True) as connection:
        kept = archived_year(connection, tenant, year)
        connection.execute(text("SET LOCAL ROLE NONE"))
        if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": schema}) is not None:
            raise Refused(f"There is a schema '{schema}' already.", "name a new one, or drop that one.")
        if not connection.scalar(text("SELECT has_database_privilege(current_database(), 'CREATE')")):
            raise Refused("This login may not make a schema.", "set ROLLOVER_DATABASE_URL to the owner's URL.")
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))
        tables = sandbox(connection, kept.manifest, schema)
        expected = load(connection, kept, kept.manifest.files, tables, keys)
        for name in {file.table for file in kept.manifest.files if not file.bound}:
            relation = connection.dialect.identifier_preparer.format_table(tables[name])
            if rows_checksum(connection, tables[name], relation=relation) != expected[name]:
                raise ProofFailed(f"{relation} does not hold the archived rows after they were put back.", NOT_BACK)
        connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))
        return _recorded(connection, tenant, year, kept, expected, schema, COPIED, by, reason)


def sandbox(connection: Connection, manifest: Manifest, schema: str | None) -> dict[str, Table]:
    """Make an empty table for each archived table; returns them by the full name of the original."""
    tables = {name: in_sandbox(table_of(name), schema) for name in manifest.tables}
    for table in tables.values():
        table.create(connection)
    return tables


def in_sandbox(table: Table, schema: str | None) -> Table:
    """Return a table like `table` in another schema; without a schema, a temporary table of this transaction."""
    temporary: dict[str, Any] = {"prefixes": ["TEMPORARY"], "postgresql_on_commit": "DROP"}
    return Table(
        table.name,
        MetaData(),
        *(Column(column.name, column.type, nullable=column.nullable) for column in table.columns),
        PrimaryKeyConstraint(*(column.name for column in table.primary_key.columns)),
        schema=schema,
        **({} if schema else temporary),
    )


def load(
    connection: Connection, kept: Archived, files: list[ArchivedFile], tables: dict[str, Table], keys: Keys
) -> dict[str, RowsChecksum]:
    """Load files into the tables that stand for the original ones; returns the rows of each table.

    If several files have a copy of the same code, setting or name, the first stays. Raises ProofFailed if a file is
    damaged or missing, or if its rows, read back from PostgreSQL, are not those that were archived. Raises Refused if
    the table has other columns now, or a key is missing.
    """
    got = dict.fromkeys(tables, NOTHING)
    for file in files:
        target, path = tables[file.table], kept.folder / file.path
        manifests.check(kept.folder, file)
        got[file.table] += _load(connection, path, file, target, keys.to_read(kept.manifest.tenant, file.key_id))
    return got


def _live(connection: Connection, table: Table, year: SchoolYear) -> RowsChecksum:
    where, bound = where_clause(table, school_year=year.key)
    return rows_checksum(connection, table, where, bound)


def _load(connection: Connection, path: UPath, file: ArchivedFile, target: Table, key: Key | None) -> RowsChecksum:
    columns = [column.name for column in target.columns]
    with path.open("rb") as stream:
        if columns_in(stream, key) != columns:
            raise Refused(
                f"{file.table} has other columns now than in {path}.",
                "read it with `rollover archive query`, or restore it with the version that wrote it.",
            )
    names = ", ".join(f'"{column}"' for column in columns)
    name = connection.dialect.identifier_preparer.format_table(target)
    connection.execute(
        text(f"CREATE TEMPORARY TABLE {STAGING} ON COMMIT DROP AS SELECT {names} FROM {name} LIMIT 0")  # noqa: S608
    )
    connection.execute(text(f"ALTER TABLE {STAGING} ADD {LINE} bigint GENERATED ALWAYS AS IDENTITY"))
    with path.open("rb") as stream:
        copy_in(connection, target, stream, STAGING, key)
    if content_of(connection, target, STAGING) != Content(file.rows, file.content_sha256):
        raise ProofFailed(f"The rows of {path} are not those that were archived.", "report this.")
    found = rows_checksum(connection, target, relation=STAGING)
    once = " ON CONFLICT DO NOTHING" if file.bound else ""
    connection.execute(text(f"INSERT INTO {name} ({names}) SELECT {names} FROM {STAGING}{once}"))  # noqa: S608
    connection.execute(text(f"DROP TABLE {STAGING}"))
    log.info("%s, school %s: %s rows put back", file.table, file.school, file.rows)
    return found


def _recorded(
    connection: Connection,
    tenant: Tenant,
    year: SchoolYear,
    kept: Archived,
    got: dict[str, RowsChecksum],
    into: str,
    kind: str,
    by: str,
    reason: str,
) -> dict[str, Any]:
    facts = {
        "into": into,
        "school_year": year.key,
        "rows": {name: found.rows for name, found in sorted(got.items())},
        "manifest_sha256": kept.sha256,
        "by": by,
        "why": reason,
    }
    evidence.record(connection, tenant.id, kind, facts, rollover_id(tenant.id, year.key))
    return facts

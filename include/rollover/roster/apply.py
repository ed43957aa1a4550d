"""Make a ready set the live roster, in one transaction."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    Table,
    and_,
    func,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from upath import UPath

from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.bulk import copy_in
from rollover.roster.diff import Difference, difference
from rollover.roster.imports import Import
from rollover.roster.provision import provision
from rollover.roster.staged import ROW_HASH, key_columns, read_staged, value_columns
from rollover.tenant import Tenant

# The same choice as StagedSet.school_year makes.
LIVE_SCHOOL_YEAR = """
    SELECT school_year FROM roster.academic_sessions
    WHERE status = 'active'
    GROUP BY school_year
    ORDER BY bool_or(type = 'schoolYear') DESC, count(*) DESC, school_year DESC
    LIMIT 1
"""
# Of those who were students until now; whoever left in an earlier year has no grade of last year.
REMEMBER_GRADES = """
    UPDATE roster.people
    SET last_year_grade = CASE WHEN status = 'active' AND role = 'student' THEN grade END
    WHERE last_year_grade IS DISTINCT FROM CASE WHEN status = 'active' AND role = 'student' THEN grade END
"""


def apply(engine: Engine, tenant_id: str, import_id: str, storage: UPath, *, rollover_id: str | None) -> dict[str, Any]:
    """Merge a ready set into the live roster and provision accounts: ready → applied.

    New rows are added, rows with another hash changed, rows that are missing become ``tobedeleted`` and come
    back to ``active`` when they reappear. The first set of a new school year first notes every student's grade.

    Returns the import's summary with ``applied``. It is False, and the set stays ``ready``, while the sync is
    paused and `rollover_id` is None (only a rollover imports then), and while the set is of a later school year
    than the tenant. A set of an earlier year, or with a newer one of its year applied (or ready, unless a
    rollover waited for this one), becomes ``superseded``. Raises Refused for an import that is not ready yet.
    """
    with tenant_session(engine, tenant_id) as connection:
        lock_tenant(connection)
        found = imports.load(connection, import_id, for_update=True)
        if found.state in imports.TERMINAL:
            return found.summary() | {"applied": found.state == "applied"}
        if found.state != "ready" or found.school_year is None:
            raise Refused(
                f"Import {import_id} is {found.state}, not ready.", "run fetch, stage, validate and compare first."
            )
        if kept := _why_kept(connection, tenant_id, found, rollover_id):
            return found.summary() | {"applied": False, "reason": kept}
        if superseded := _why_superseded(connection, tenant_id, found, rollover_id):
            imports.advance(connection, import_id, before="ready", after="superseded", reason=superseded)
            return imports.load(connection, import_id).summary() | {"applied": False}
        if _begins_a_year(connection, found.school_year):
            connection.execute(text(REMEMBER_GRADES))
        changes = {table.name: _merge(connection, tenant_id, import_id, table, storage) for table in ROSTER_TABLES}
        provisioned = provision(connection, Tenant.parse(tenant_id).product)
        counts = {"changes": changes, "provisioned": provisioned}
        imports.advance(connection, import_id, before="ready", after="applied", counts=counts)
        _supersede_older(connection, found)
        return imports.load(connection, import_id).summary() | {"applied": True}


def _current_year(connection: Connection, tenant_id: str) -> str:
    tenants = directory.tenants.c
    query = select(tenants.current_school_year).where(tenants.tenant_id == tenant_id)
    return str(connection.execute(query).scalar_one())


def _why_kept(connection: Connection, tenant_id: str, found: Import, rollover_id: str | None) -> str | None:
    pauses = ledger.pauses.c
    pause = connection.execute(select(pauses.paused_by, pauses.reason).where(pauses.ended_at.is_(None))).first()
    if pause is not None and rollover_id is None:
        return f"paused by {pause.paused_by}: {pause.reason}"
    current = _current_year(connection, tenant_id)
    if str(found.school_year) > current:
        return f"kept for the rollover: the set is of {found.school_year}, the tenant is in {current}"
    return None


def _why_superseded(connection: Connection, tenant_id: str, found: Import, rollover_id: str | None) -> str | None:
    current = _current_year(connection, tenant_id)
    if str(found.school_year) < current:
        return f"of {found.school_year}, a school year that is over: the tenant is in {current}"
    rows = ledger.imports.c
    # A rollover takes the set that it waited for; one that got ready meanwhile follows when the sync resumes.
    overtaking = ("applied", "ready") if rollover_id is None else ("applied",)
    newer = connection.scalar(
        select(rows.import_id)
        .where(rows.state.in_(overtaking), rows.school_year == found.school_year)
        .where(tuple_(rows.found_at, rows.import_id) > (found.found_at, found.import_id))
        .limit(1)
    )
    return None if newer is None else f"import {newer} of the same school year is newer"


def _supersede_older(connection: Connection, applied: Import) -> None:
    """Older ready sets of this or an earlier school year can never be applied any more."""
    rows = ledger.imports.c
    connection.execute(
        update(ledger.imports)
        .where(rows.state == "ready", rows.school_year <= applied.school_year)
        .where(tuple_(rows.found_at, rows.import_id) < (applied.found_at, applied.import_id))
        .values(
            state="superseded",
            reason=literal(f"import {applied.import_id} is newer and applied"),
            changed_at=func.clock_timestamp(),
        )
    )


def _begins_a_year(connection: Connection, school_year: str) -> bool:
    live = connection.scalar(text(LIVE_SCHOOL_YEAR))
    return live is not None and live != school_year


def _merge(connection: Connection, tenant_id: str, import_id: str, table: Table, storage: UPath) -> dict[str, int]:
    """Send the rows that differ, and only those, to temporary tables and merge them from there.

    COPY cannot write to a table with row-level security, unless it is the owner's.
    """
    found = difference(connection, table, storage, import_id)
    if found.added.height or found.changed.height:
        _upsert(connection, tenant_id, import_id, table, _rows_to_send(found, table, storage, import_id))
    if found.removed.height:
        _mark_removed(connection, import_id, table, found.removed)
    return found.counts


def _rows_to_send(found: Difference, table: Table, storage: UPath, import_id: str) -> pl.DataFrame:
    keys = key_columns(table)
    rows = read_staged(storage, import_id, table.name, [*value_columns(table), ROW_HASH])
    return rows.unique(keys, keep="first").join(pl.concat([found.added, found.changed]), on=keys, how="semi")


def _upsert(connection: Connection, tenant_id: str, import_id: str, table: Table, rows: pl.DataFrame) -> None:
    keys, columns = key_columns(table), [*value_columns(table), ROW_HASH]
    incoming = _sent(connection, table, "incoming", rows.select(columns))
    given = {"tenant_id": literal(tenant_id), "status": literal("active"), "import_id": literal(import_id)}
    # In the order of the key, which fills the index several times faster.
    source = select(*given.values(), *incoming.c).order_by(*(incoming.c[key] for key in keys))
    statement = insert(table).from_select([*given, *columns], source)
    changed = {name: statement.excluded[name] for name in (*given, *columns) if name not in ("tenant_id", *keys)}
    connection.execute(statement.on_conflict_do_update(constraint=table.primary_key, set_=changed))


def _mark_removed(connection: Connection, import_id: str, table: Table, removed: pl.DataFrame) -> None:
    gone = _sent(connection, table, "gone", removed)
    same = and_(*(table.c[key] == gone.c[key] for key in key_columns(table)))
    connection.execute(update(table).where(same).values(status="tobedeleted", import_id=import_id))


def _sent(connection: Connection, table: Table, prefix: str, rows: pl.DataFrame) -> Table:
    """A temporary table with some columns of `table`, filled; it goes with the transaction."""
    columns = [Column(name, table.c[name].type) for name in rows.columns]
    temporary = Table(
        f"{prefix}_{table.name}", MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP"
    )
    temporary.create(connection, checkfirst=False)
    copy_in(connection, temporary.name, rows)
    return temporary

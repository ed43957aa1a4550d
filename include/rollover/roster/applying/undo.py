"""Undoes the last import: the roster and the product's accounts become what they were before.

The old values are in ``roster.history`` (see :mod:`rollover.roster.applying.history`). Rows that have been used since
stay: an account with activity, a balance with points.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, select, text, update

from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import directory, ledger, product_tables
from rollover.database.tables.roster import ROSTER_TABLES, people
from rollover.errors import ProofFailed, Refused
from rollover.ledger import evidence
from rollover.ledger.results import Step
from rollover.ledger.rollovers import RolloverState
from rollover.roster import imports
from rollover.roster.applying import history
from rollover.roster.applying.bulk import planner
from rollover.roster.applying.merge import BUT_BY_KEY
from rollover.roster.applying.provision import CLASSROOM_COLUMNS, STUDENT_COLUMNS
from rollover.roster.applying.rename import rename_back
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Undone
from rollover.roster.imports.earlier import WENT_LIVE, last_live
from rollover.roster.imports.roster_version import bump_version
from rollover.roster.staged import key_columns
from rollover.tenant import Tenant

log = logging.getLogger(__name__)

# The roster

BEFORE = """
    CREATE TEMPORARY TABLE before_{name} ON COMMIT DROP AS
    SELECT r.* FROM roster.history h
    CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, h.before) r
    WHERE h.table_name = '{table}' AND jsonb_typeof(h.before -> '{first_key}') = 'string'
"""
# Of the rows that have the import's id, those it removed are not active, and of those it changed there is history.
ADDED = """
    DELETE FROM {table} t
    WHERE t.import_id = :import_id AND t.status = 'active'
      AND NOT EXISTS (SELECT FROM pg_temp.before_{name} b WHERE {same_key})
"""
CHANGED = "UPDATE {table} t SET {assignments} FROM pg_temp.before_{name} b WHERE {same_key}"
# The rows whose keys are in one list, and which had the same values. As for an import (see history.FOUND), each is
# looked up by its key and changed in its place.
IN_LIST = """
    UPDATE {table} t SET {assignments}
    WHERE t.ctid = ANY (ARRAY(
        SELECT found.place
        FROM roster.history h
        CROSS JOIN LATERAL ROWS FROM ({elements}) AS b ({keys})
        CROSS JOIN LATERAL (SELECT ctid AS place FROM {table} t WHERE {same_key} OFFSET 0) found
        WHERE h.change_no = :change_no
    ))
"""
LISTS = """
    SELECT h.change_no, {values} FROM roster.history h
    WHERE h.table_name = '{table}' AND jsonb_typeof(h.before -> '{first_key}') = 'array'
      AND jsonb_exists(h.before, '{which}')
    ORDER BY h.change_no
"""

# The product

MADE = """
    SELECT jsonb_array_elements_text(h.before -> '{key}') FROM roster.history h
    WHERE h.table_name = '{table}' AND jsonb_typeof(h.before -> '{key}') = 'array'
"""
# As it was made: nothing was earned or redeemed since.
BALANCES_MADE = """
    DELETE FROM hero.point_balances t
    WHERE t.student_id IN ({made}) AND t.balance = 0 AND t.as_of <= :applied_at
      AND NOT EXISTS (
        SELECT FROM hero.points_ledger l WHERE l.student_id = t.student_id AND l.entered_at > :applied_at
    )
"""
# What is in lists is unfolded before it is joined, or the other side would be gone through for each list.
RESTORED = """
    WITH b AS MATERIALIZED (
        SELECT r.* FROM roster.history h
        CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, h.before) r
        WHERE h.table_name = '{table}' AND jsonb_typeof(h.before -> '{key}') = 'string'
    )
    UPDATE {table} t SET {assignments} FROM b WHERE t.{key} = b.{key}
"""
REMOVED_ROWS = "DELETE FROM {table} t WHERE t.{key} IN ({made})"
UNLESS_USED = " AND NOT EXISTS (SELECT FROM {table} used WHERE used.{column} = t.account_id)"
SEATS = """
    WITH s AS MATERIALIZED (
        SELECT k.*, h.school_id FROM (
            SELECT h.before, h.before ->> 'school_id' AS school_id FROM roster.history h
            WHERE h.table_name = '{table}' OFFSET 0
        ) h
        CROSS JOIN LATERAL ROWS FROM (
            jsonb_array_elements_text(h.before -> 'classroom_id'), jsonb_array_elements_text(h.before -> 'account_id')
        ) AS k (classroom_id, account_id)
    )
"""
SEATS_MADE = (
    SEATS
    + """
    DELETE FROM {table} t USING s
    WHERE s.school_id IS NULL AND t.classroom_id = s.classroom_id AND t.account_id = s.account_id
"""
)
SEATS_LEFT = (
    SEATS
    + """
    INSERT INTO {table} (tenant_id, school_id, classroom_id, account_id)
    SELECT current_setting('rollover.tenant_id'), s.school_id, s.classroom_id, s.account_id
    FROM s
    JOIN {schema}.classrooms r ON r.classroom_id = s.classroom_id
    JOIN {schema}.student_accounts a ON a.account_id = s.account_id
    WHERE s.school_id IS NOT NULL
    ON CONFLICT (tenant_id, classroom_id, account_id) DO NOTHING
"""
)


def undo(engine: Engine, tenant_id: str, import_id: str | None = None, *, by: str, reason: str) -> Import:
    """Undo a tenant's last import, or the named one, if it is the last: applied → undone.

    Rows of the roster get their old values. Accounts, classrooms, seats and balances that the import made are removed,
    unless they have been used since. Ids of people that it changed are changed back. If people have changed a row by
    hand since, the columns that the import changed get their old values, too.

    Returns the import; ``details.undone`` has the rows that were put back. The same drop does not come back by itself:
    a new import needs a new drop. Raises Refused if a later import was applied, if the history is gone, if the import's
    school year is over, or if a rollover is under way or has recorded this import. Raises ProofFailed, with nothing
    changed, if the roster is not as the import left it.
    """
    with tenant_session(engine, tenant_id) as connection:
        lock_tenant(connection)
        found = imports.load(connection, import_id or _last(connection), for_update=True)
        if found.state is ImportState.UNDONE:
            return found
        _refuse_unless_last(connection, found)
        _refuse_over(connection, tenant_id, found)
        _refuse_in_rollover(connection, found)
        undone = Undone()
        if found.details.has_changed_the_roster:
            undone = _restore(connection, Tenant.parse(tenant_id).product, found)
            history.clear(connection)
            # Rows that came back are again marked by older imports, whose rows were all removed.
            again = update(ledger.imports).where(ledger.imports.c.rows_removed_at.isnot(None))
            connection.execute(again.values(rows_removed_at=None))
            bump_version(connection)
        facts = {"import_id": found.import_id, "by": by, "why": reason, "rows": undone.model_dump()}
        evidence.record(connection, tenant_id, "import_undone", facts, None)
        imports.advance(connection, found, ImportState.UNDONE, reason=reason, details=ImportDetails(undone=undone))
        log.info("%s is undone: %s", found.import_id, undone)
        return imports.load(connection, found.import_id)


# Whether it can be undone


def _last(connection: Connection) -> str:
    last = last_live(connection, WENT_LIVE)
    if last is None:
        raise Refused("No import of this tenant was applied.", "there is nothing to undo.")
    if last.state is ImportState.UNDONE:
        before = last_live(connection)
        raise Refused(
            f"The last import, {last.import_id}, is undone already.",
            f"name the one before it to undo that too: {before.import_id}." if before else "there is no other.",
        )
    return last.import_id


def _refuse_unless_last(connection: Connection, found: Import) -> None:
    if found.state is not ImportState.APPLIED:
        raise Refused(f"Import {found.import_id} is {found.state}: it was not applied.", "see `rollover status`.")
    last = last_live(connection)
    if last is not None and last.import_id != found.import_id:
        raise Refused(
            f"Import {last.import_id} was applied after {found.import_id}.",
            "undo that one first, or ask the district for a corrected drop.",
        )
    if found.details.history_is_gone:
        raise Refused(
            f"What {found.import_id} removed or changed is not kept any more: another import changed the roster since, "
            "or the days of grace are over.",
            "ask the district for a corrected drop.",
        )


def _refuse_over(connection: Connection, tenant_id: str, found: Import) -> None:
    tenants = directory.tenants.c
    current = connection.scalar(select(tenants.current_school_year).where(tenants.tenant_id == tenant_id))
    if found.school_year is None or current is None or found.school_year < current:
        raise Refused(
            f"Import {found.import_id} is of {found.school_year}, which is over: the tenant is in {current}.",
            "the new year's roster replaces it.",
        )


def _refuse_in_rollover(connection: Connection, found: Import) -> None:
    """Refuse while a rollover is under way, or if one has recorded this import as its new roster."""
    took_in = connection.scalar(
        select(ledger.evidence.c.rollover_id)
        .where(ledger.evidence.c.kind == Step.IMPORT_ROSTER)
        .where(ledger.evidence.c.facts["import_id"].astext == found.import_id)
        .limit(1)
    )
    if took_in is not None:
        raise Refused(
            f"{took_in} took {found.import_id} in as the new year's roster, and its ledger says so.",
            "ask the district for a corrected drop. While the rollover runs, clear 'await_roster' and what follows "
            "when it is there; later, the sync takes it in.",
        )
    rollovers = ledger.rollovers.c
    running = connection.execute(
        select(rollovers.rollover_id, rollovers.school_year, rollovers.is_current).where(
            rollovers.state == RolloverState.RUNNING
        )
    ).first()
    # Its own new roster can be undone while it waits for one: it has recorded none.
    if running is not None and not (running.is_current and str(found.school_year) > running.school_year):
        raise Refused(f"{running.rollover_id} is under way.", "undo the import when the rollover is finished.")


# What it changes


def _restore(connection: Connection, product: str, found: Import) -> Undone:
    in_roster: dict[str, dict[str, int]] = {table.name: {} for table in ROSTER_TABLES}
    with planner(connection, "nestloop"):
        in_product = _balances(connection, found) if product == "hero" else _accounts(connection, product)
        for table in ROSTER_TABLES:
            in_roster[table.name] = _added_and_changed(connection, table, found)
    with planner(connection, *BUT_BY_KEY):
        for table in ROSTER_TABLES:
            in_roster[table.name]["removed"] = _in_lists(connection, table, ("import_id", "status"))
            _prove(table, found, in_roster[table.name])
        _in_lists(connection, people, ("last_year_grade",))
    if found.details.applied.renamed:
        in_product["renamed_back"] = sum(rename_back(connection, product, found.import_id).values())
    return Undone(roster={name: sum(rows.values()) for name, rows in in_roster.items()}, product=in_product)


def _added_and_changed(connection: Connection, table: Table, found: Import) -> dict[str, int]:
    keys = key_columns(table)
    names = {
        "table": table.fullname,
        "name": table.name,
        "first_key": keys[0],
        "same_key": _same_key(keys),
        "assignments": _assignments([c.name for c in table.columns if c.name not in ("tenant_id", *keys)]),
    }

    def run(statement: str) -> int:
        return connection.execute(text(statement.format(**names)), {"import_id": found.import_id}).rowcount

    run(BEFORE)
    return {"added": run(ADDED), "changed": run(CHANGED)}


def _in_lists(connection: Connection, table: Table, columns: Sequence[str]) -> int:
    """Restore the common values of rows that are kept in lists; returns how many."""
    keys = key_columns(table)
    values = ", ".join(f"h.before ->> '{name}' AS {name}" for name in columns)
    lists = LISTS.format(table=table.fullname, first_key=keys[0], which=columns[0], values=values)
    statement = IN_LIST.format(
        table=table.fullname,
        assignments=", ".join(f"{name} = :{name}" for name in columns),
        elements=", ".join(f"jsonb_array_elements_text(h.before -> '{key}')" for key in keys),
        keys=", ".join(keys),
        same_key=_same_key(keys),
    )
    each = connection.execute(text(lists)).mappings().all()
    return sum(connection.execute(text(statement), dict(one)).rowcount for one in each)


def _same_key(keys: Sequence[str]) -> str:
    return " AND ".join(f"t.{key} = b.{key}" for key in keys)


def _prove(table: Table, found: Import, done: dict[str, int]) -> None:
    counted = found.details.changes[table.name]
    expected = {**counted, "changed": counted["changed"] + counted["returned"]}
    wrong = [
        f"{rows} rows {change}, not {expected[change]}" for change, rows in done.items() if rows != expected[change]
    ]
    if wrong:
        raise ProofFailed(
            f"{table.fullname} is not as {found.import_id} left it: {', '.join(wrong)}.",
            "find out what else changed the roster; ask the district for a corrected drop.",
        )


def _balances(connection: Connection, found: Import) -> dict[str, int]:
    made = MADE.format(table="hero.point_balances", key="student_id")
    gone = connection.execute(text(BALANCES_MADE.format(made=made)), {"applied_at": found.changed_at}).rowcount
    return {"point_balances_removed": gone}


def _accounts(connection: Connection, schema: str) -> dict[str, int]:
    """Remove seats before classrooms, and classrooms before accounts, so that no row refers to a removed one."""
    students, educators = f"{schema}.student_accounts", f"{schema}.educator_accounts"
    classrooms, seats = f"{schema}.classrooms", f"{schema}.classroom_students"

    def run(statement: str, **parts: Any) -> int:
        return connection.execute(text(statement.format(schema=schema, **parts))).rowcount

    def restore(table: str, key: str, columns: Sequence[str]) -> int:
        return run(RESTORED, table=table, key=key, assignments=_assignments(columns))

    def remove(table: str, key: str, used_by: Sequence[tuple[str, str]] = (), made_in: str | None = None) -> int:
        unless = "".join(UNLESS_USED.format(table=name, column=column) for name, column in used_by)
        made = MADE.format(table=made_in or table, key=key)
        return run(REMOVED_ROWS + unless, table=table, key=key, made=made)

    return {
        "classroom_students_removed": run(SEATS_MADE, table=seats) + remove(seats, "classroom_id", made_in=classrooms),
        "classrooms_removed": remove(classrooms, "classroom_id"),
        "classrooms_restored": restore(classrooms, "classroom_id", CLASSROOM_COLUMNS),
        "student_accounts_removed": remove(students, "account_id", _activity_by_account(schema)),
        "educator_accounts_removed": remove(educators, "account_id", [(classrooms, "educator_account_id")]),
        "student_accounts_restored": restore(students, "account_id", STUDENT_COLUMNS),
        "classroom_students_restored": run(SEATS_LEFT, table=seats),
    }


def _activity_by_account(schema: str) -> list[tuple[str, str]]:
    """Every table whose rows belong to a student's account, except seats."""
    others = ("student_accounts", "educator_accounts", "classroom_students")
    tables = [table for table in product_tables(schema) if "account_id" in table.c and table.name not in others]
    return [(table.fullname, "account_id") for table in tables]


def _assignments(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = b."{name}"' for name in columns)

"""Builds SQL that finds the rows on hold. It reads the ledger in the statement that it is part of, so that a new hold
counts at once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Table, TextClause, text

from rollover.database.tables.people import PERSON_COLUMNS

IN_FORCE = "h.lifted_at IS NULL"
OPEN = f"FROM ledger.holds h WHERE h.tenant_id = (SELECT current_setting('rollover.tenant_id')) AND {IN_FORCE}"
ANY = f"EXISTS (SELECT {OPEN})"
"""Evaluated once in a statement: if there is no hold, no row is held."""
DISTRICT = f"EXISTS (SELECT {OPEN} AND h.school_id IS NULL AND h.student_id IS NULL)"
SCHOOLS = f"SELECT h.school_id {OPEN} AND h.school_id IS NOT NULL"
# A student whose id a person's answer to an import changed is held under the new id too.
STUDENTS = f"""
    WITH RECURSIVE held (id) AS (
        SELECT h.student_id {OPEN} AND h.student_id IS NOT NULL
        UNION
        SELECT m.new_id FROM held
        JOIN ledger.id_maps m ON m.old_id = held.id AND m.tenant_id = (SELECT current_setting('rollover.tenant_id'))
        JOIN ledger.imports i ON i.import_id = m.import_id AND i.decision = 'approve_with_id_map'
    ) SELECT id FROM held
"""  # noqa: S608

_IN_A_SCHOOL = "SELECT p.sourced_id FROM roster.people p WHERE p.school_ids && ARRAY({schools})"
_GUARDIANS = "SELECT g.guardian_id FROM roster.guardians g WHERE g.student_id IN ({students})"
_CLASSES = "SELECT e.class_id FROM roster.enrollments e WHERE e.person_id IN ({students})"
# Roster rows that are needed to read a held student's row are held too.
OF_THE_ROSTER = {
    "people": f"t.sourced_id IN ({{students}}) OR t.school_ids && ARRAY({{schools}}) OR t.sourced_id IN ({_GUARDIANS})",
    "guardians": f"t.student_id IN ({{students}}) OR t.student_id IN ({_IN_A_SCHOOL})",
    "enrollments": "t.person_id IN ({students}) OR t.school_id IN ({schools})",
    "classes": f"t.school_id IN ({{schools}}) OR t.sourced_id IN ({_CLASSES})",
}


def anything_is_held(connection: Connection) -> bool:
    """Whether the session's tenant has a hold. The answer stays true while the tenant's lock is held, and in a
    REPEATABLE READ transaction."""
    return bool(connection.scalar(text(f"SELECT {ANY}")))


def is_held_in_roster(table: Table) -> str:
    """Return SQL that says whether a row ``t`` of a table of the roster is on hold.

    Courses, sessions and orgs name no person: they are on hold while anything of the tenant is.
    """
    held = OF_THE_ROSTER.get(table.name, "true").format(students=STUDENTS, schools=SCHOOLS)
    return f"({ANY} AND ({DISTRICT} OR {held}))"


def is_held(table: Table, row: str = "t") -> str:
    """Return SQL that says whether a `row` of a product's table is on hold, by district, school or student.

    Imagine's rows by account belong to the account's student, and so does a classroom in which the student has a seat.
    """
    held = [DISTRICT, f"{row}.school_id IN ({SCHOOLS})"]
    held += [f"{row}.{column} IN ({STUDENTS})" for column in PERSON_COLUMNS.get(table.fullname, ())]
    accounts = f"SELECT a.account_id FROM {table.schema}.student_accounts a WHERE a.person_id IN ({STUDENTS})"  # noqa: S608
    if "account_id" in table.c:
        held.append(f"{row}.account_id IN ({accounts})")
    elif "classroom_id" in table.c:
        seats = f"SELECT s.classroom_id FROM {table.schema}.classroom_students s WHERE s.account_id IN ({accounts})"  # noqa: S608
        held.append(f"{row}.classroom_id IN ({seats})")
    return f"({ANY} AND ({' OR '.join(held)}))"


def not_held(table: Table, *, since: datetime | None = None) -> TextClause:
    """Return the condition that a row of the table is not on hold, and was not at any time since `since`."""
    held = is_held(table, table.fullname)
    if since is None:
        return text(f"NOT {held}")
    held = held.replace(IN_FORCE, f"({IN_FORCE} OR h.lifted_at > :held_since)")
    return text(f"NOT {held}").bindparams(held_since=since)

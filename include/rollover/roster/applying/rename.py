"""Changes the ids of people whose id changed at its source, in the live roster and in all tables of a product.

So a child whose district changed its system keeps logins, points, accounts and parents. The map of old ids to new ones
was proposed for an import, and a person approved it.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, text

from rollover.database.tables.people import PERSON_COLUMNS
from rollover.errors import Refused
from rollover.roster.applying.bulk import planner

log = logging.getLogger(__name__)

MAP = """
    SELECT count(*) AS people, count(DISTINCT m.new_id) AS new_ids, count(p.sourced_id) AS live
    FROM ledger.id_maps m
    LEFT JOIN roster.people p ON p.sourced_id = m.old_id AND p.status = 'active'
    WHERE m.import_id = :import_id
"""
IN_USE = """
    SELECT EXISTS (
        SELECT FROM {table} t JOIN ledger.id_maps m ON m.new_id = t.{column} WHERE m.import_id = :import_id
    )
"""
RENAME = """
    UPDATE {table} t SET {column} = m.{after}
    FROM ledger.id_maps m
    WHERE m.import_id = :import_id AND t.{column} = m.{before}
"""
Rows = dict[str, int]
"""Rows by table."""


def rename_people(connection: Connection, product: str, import_id: str) -> Rows:
    """Change old ids to new ones as the import's map says; returns the rows changed, by table.

    Raises Refused, with nothing changed, if an old id is no longer live or a new one is in use: renaming would merge
    two people.
    """
    with planner(connection, "nestloop"):
        _check(connection, product, import_id)
        return _rename(connection, product, import_id, before="old_id", after="new_id")


def rename_back(connection: Connection, product: str, import_id: str) -> Rows:
    """Undo :func:`rename_people`. Rows that were added under a new id since then get the old one, too."""
    with planner(connection, "nestloop"):
        return _rename(connection, product, import_id, before="new_id", after="old_id")


def _columns(product: str) -> list[tuple[str, str]]:
    own = [(table, column) for table, columns in PERSON_COLUMNS.items() for column in columns]
    return [("roster.people", "sourced_id"), *(pair for pair in own if pair[0].startswith(f"{product}."))]


def _check(connection: Connection, product: str, import_id: str) -> None:
    given = {"import_id": import_id}
    found = connection.execute(text(MAP), given).one()
    in_use = [
        f"{table}.{column}"
        for table, column in _columns(product)
        if connection.scalar(text(IN_USE.format(table=table, column=column)), given)
    ]
    if found.people and found.people == found.new_ids == found.live and not in_use:
        return
    wrong = (
        f"new ids are in use in {', '.join(in_use)}" if in_use else f"{found.live} of {found.people} people are live"
    )
    raise Refused(
        f"The id map of {import_id} cannot be applied: {wrong}.",
        "ask for a new drop, and decide about that one without the id map.",
    )


def _rename(connection: Connection, product: str, import_id: str, *, before: str, after: str) -> Rows:
    rows: Rows = {}
    for table, column in _columns(product):
        statement = RENAME.format(table=table, column=column, before=before, after=after)
        rows[table] = rows.get(table, 0) + connection.execute(text(statement), {"import_id": import_id}).rowcount
    log.info("%s: ids changed from %s to %s in %s rows", import_id, before, after, sum(rows.values()))
    return rows

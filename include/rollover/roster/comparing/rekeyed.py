"""Finds people and schools whose id changed: matches a removed row with the added row of the same person or school.

Sources change ids when a district moves to another SIS, merges records or renumbers. By id alone, one child would leave
and another one come: logins, points and parent links would be lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import duckdb
from sqlalchemy import Connection, func, insert, select, text

from rollover.database.tables.ledger import id_maps
from rollover.roster.comparing.tally import KIND_OF_PERSON, Counts

_BATCH = 10_000

CREATE = """
    CREATE TABLE rekeyed (
        table_name VARCHAR, kind VARCHAR, old_id VARCHAR, new_id VARCHAR, matched_by VARCHAR
    )
"""
# What a person is matched by; an empty text is none.
CANDIDATES = """
    CREATE TABLE {name} AS
    SELECT p.sourced_id, {kind} AS kind,
           nullif(lower(trim(identifier)), '') AS identifier,
           nullif(lower(trim(email)), '') AS email,
           nullif(lower(trim(username)), '') AS username,
           lower(trim(given_name)) AS given_name, lower(trim(family_name)) AS family_name, birth_date,
           lower(trim(given_name)) || chr(31) || lower(trim(family_name)) || chr(31) || birth_date::VARCHAR
               AS name_and_birth_date
    FROM {side}_people p
    JOIN diff_people diff ON diff.sourced_id = p.sourced_id AND diff.change = '{change}'
"""
MATCHERS = ("identifier", "email", "username", "name_and_birth_date")
"""In this order: a row that an earlier one matched is not matched again."""
# Unique among all who went and among all who came of a type, not only among those who are left to match. Two who share
# an identifier, but have other birth dates (or, if one has none, neither name in common), are two people.
MATCH = """
    INSERT INTO rekeyed
    SELECT 'people', gone.kind, gone.sourced_id, come.sourced_id, '{by}'
    FROM gone
    JOIN come ON come.kind = gone.kind AND come.{by} = gone.{by}
    WHERE gone.sourced_id IN (SELECT any_value(sourced_id) FROM gone GROUP BY kind, {by} HAVING count(*) = 1)
      AND come.sourced_id IN (SELECT any_value(sourced_id) FROM come GROUP BY kind, {by} HAVING count(*) = 1)
      AND gone.sourced_id NOT IN (SELECT old_id FROM rekeyed)
      AND come.sourced_id NOT IN (SELECT new_id FROM rekeyed)
      AND coalesce(gone.birth_date = come.birth_date,
                   gone.given_name = come.given_name OR gone.family_name = come.family_name)
"""
# A school by its number in the state or district; without one, by its name.
SCHOOLS = """
    INSERT INTO rekeyed
    WITH gone AS (
        SELECT live.sourced_id, nullif(lower(trim(coalesce(identifier, name))), '') AS same
        FROM live_orgs live JOIN diff_orgs diff USING (sourced_id)
        WHERE diff.change = 'removed' AND type = 'school'
    ), come AS (
        SELECT staged.sourced_id, nullif(lower(trim(coalesce(identifier, name))), '') AS same
        FROM staged_orgs staged JOIN diff_orgs diff USING (sourced_id)
        WHERE diff.change = 'added' AND type = 'school'
    )
    SELECT 'orgs', 'schools', any_value(gone.sourced_id), any_value(come.sourced_id), 'identifier'
    FROM gone JOIN come USING (same)
    GROUP BY same HAVING count(*) = 1
"""
# The hash of a map, in DuckDB and in PostgreSQL: over the pairs, in the order of the old ids' bytes.
HASH = """
    SELECT count(*), sha256(coalesce(string_agg(old_id || chr(31) || new_id, chr(30) ORDER BY old_id), ''))
    FROM rekeyed WHERE table_name = 'people'
"""
PROPOSED_HASH = """
    SELECT encode(sha256(convert_to(
        coalesce(string_agg(old_id || chr(31) || new_id, chr(30) ORDER BY old_id COLLATE "C"), ''), 'UTF8')), 'hex')
    FROM ledger.id_maps WHERE import_id = :import_id
"""


@dataclass(frozen=True)
class IdMap:
    """The proposed map of old ids to new ones, in numbers."""

    people: int = 0
    sha256: str = ""
    matched_by: dict[str, int] = field(default_factory=dict)


def find(duck: duckdb.DuckDBPyConnection, counts: Counts) -> None:
    """Fill the table ``rekeyed``. The set is open (see :func:`rollover.roster.comparing.tally.open_set`)."""
    duck.execute(CREATE)
    if counts["orgs"]["removed"] and counts["orgs"]["added"]:
        duck.execute(SCHOOLS)
    if not counts["people"]["removed"] or not counts["people"]["added"]:
        return
    for name, side, change in (("gone", "live", "removed"), ("come", "staged", "added")):
        duck.execute(CANDIDATES.format(name=name, side=side, change=change, kind=KIND_OF_PERSON))
    for by in MATCHERS:
        duck.execute(MATCH.format(by=by))


def summary(duck: duckdb.DuckDBPyConnection) -> IdMap:
    """The map that was found."""
    row: Any = duck.execute(HASH).fetchone()
    by = "SELECT matched_by, count(*) FROM rekeyed WHERE table_name = 'people' GROUP BY 1 ORDER BY 1"
    return IdMap(people=int(row[0]), sha256=str(row[1]), matched_by=dict(duck.execute(by).fetchall()))


def propose(connection: Connection, duck: duckdb.DuckDBPyConnection, import_id: str, found: IdMap) -> bool:
    """Write the map to the ledger, as proposed for an import; False if there is none to offer.

    A proposed map is never changed, because a person may have seen it: if the roster, and with it the map, has changed
    since, no map is offered any more.
    """
    if not found.people:
        return False
    if connection.scalar(select(id_maps.c.old_id).where(id_maps.c.import_id == import_id).limit(1)) is not None:
        proposed = connection.scalar(text(PROPOSED_HASH), {"import_id": import_id})
        return bool(proposed == found.sha256)
    pairs = duck.execute("SELECT old_id, new_id, matched_by FROM rekeyed WHERE table_name = 'people' ORDER BY old_id")
    while batch := pairs.fetchmany(_BATCH):
        rows = [dict(zip(("old_id", "new_id", "matched_by"), pair, strict=True)) for pair in batch]
        tenant_id = func.current_setting("rollover.tenant_id")
        connection.execute(insert(id_maps).values(tenant_id=tenant_id, import_id=import_id), rows)
    return True

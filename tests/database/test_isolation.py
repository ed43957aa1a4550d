"""A tenant never touches another tenant: PostgreSQL enforces it for the role that works."""

from __future__ import annotations

import pytest
from psycopg import Error
from sqlalchemy import Connection, Engine, delete, func, insert, select, text, update
from sqlalchemy.exc import ProgrammingError

from rollover.database.session import driver_of, tenant_session
from rollover.database.tables import hero, metadata, roster
from rollover.errors import DatabaseFailed
from tests.support.small_district import everything, hero_world, imagine_world, rows

HERE, OTHER = "hero__riverside-ca", "hero__lakeside-ca"
TENANT_TABLES = sorted(name for name, table in metadata.tables.items() if "tenant_id" in table.c)


def test_every_table_is_under_row_level_security(owner: Engine) -> None:
    query = text(
        "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relrowsecurity "
        "AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)"
    )
    with owner.connect() as connection:
        assert set(connection.scalars(query)) == set(metadata.tables)
    assert len(TENANT_TABLES) > 30


def test_the_role_that_works_owns_nothing_and_bypasses_nothing(owner: Engine) -> None:
    query = text(
        "SELECT (SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
        " WHERE r.rolname LIKE 'rollover%'), bool_or(rolsuper OR rolbypassrls)"
        " FROM pg_roles WHERE rolname LIKE 'rollover%'"
    )
    with owner.connect() as connection:
        assert tuple(connection.execute(query).one()) == (0, False)


def test_without_a_tenant_there_is_no_row(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    with engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(select(func.count()).select_from(hero.tracking_events))
        connection.rollback()
        connection.execute(text("SET ROLE rollover_app"))
        for name in TENANT_TABLES:
            assert connection.scalar(select(func.count()).select_from(metadata.tables[name])) == 0, name


def test_a_session_sees_its_own_tenant_only(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    with tenant_session(engine, HERE) as connection:
        assert connection.scalar(select(func.count()).select_from(hero.tracking_events)) == 20
        assert set(connection.scalars(select(hero.tracking_events.c.tenant_id))) == {HERE}
        assert connection.scalar(text("SELECT count(*) FROM directory.districts")) == 1
        other = select(hero.tracking_events).where(hero.tracking_events.c.tenant_id == OTHER)
        assert connection.execute(other).all() == []


@pytest.mark.parametrize("world", [hero_world, imagine_world])
def test_a_session_cannot_change_or_erase_another_tenant(owner: Engine, engine: Engine, world: object) -> None:
    hero_world(owner) if world is hero_world else imagine_world(owner)
    schema = "hero" if world is hero_world else "imagine_math"
    here, other = f"{schema}__riverside-ca", f"{schema}__lakeside-ca"
    before = everything(owner, other, [schema, "roster"])
    assert any(before.values())
    with tenant_session(engine, here) as connection:
        for name, table in metadata.tables.items():
            if table.schema in (schema, "roster"):
                if table is not roster.history:  # nobody may change what undoing goes by
                    connection.execute(update(table).where(table.c.tenant_id == other).values(tenant_id=other))
                connection.execute(delete(table).where(table.c.tenant_id == other))
                connection.execute(delete(table))
                assert connection.scalar(select(func.count()).select_from(table)) == 0, name
    assert everything(owner, other, [schema, "roster"]) == before


def test_a_row_of_another_tenant_cannot_be_written(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    for statement in (
        insert(hero.point_balances).values(
            tenant_id=OTHER, school_id="north", student_id="x", balance=1, as_of=func.now()
        ),
        update(hero.point_balances).values(tenant_id=OTHER),
    ):
        with pytest.raises(DatabaseFailed, match="InsufficientPrivilege"), tenant_session(engine, HERE) as connection:
            connection.execute(statement)


def test_a_partition_cannot_be_read_around_its_policy(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    with (
        pytest.raises(DatabaseFailed, match="InsufficientPrivilege"),
        tenant_session(engine, HERE) as connection,
    ):
        connection.execute(text("SELECT * FROM hero.tracking_events__y2025"))


ORG = {"sourced_id": "o9", "name": "Nine", "type": "school", "status": "active", "row_hash": "1", "import_id": "i"}


def copy(connection: Connection, row: dict[str, str]) -> None:
    """Copy a row into the partition that holds all orgs, which has no row-level security."""
    statement = f"COPY roster.orgs__rows ({', '.join(row)}) FROM STDIN (FORMAT csv)"
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as sent:
        sent.write(",".join(row.values()) + "\n")


def test_a_row_that_is_copied_is_of_the_sessions_tenant(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    before = everything(owner, OTHER, ["roster"])
    with tenant_session(engine, HERE) as connection:
        copy(connection, ORG)
        there = select(roster.orgs.c.tenant_id).where(roster.orgs.c.sourced_id == "o9")
        assert connection.scalars(there).all() == [HERE]
    with tenant_session(engine, OTHER) as connection:
        assert connection.scalars(there).all() == []
        copy(connection, ORG)  # a key of its own: it is another tenant's row
        assert connection.scalars(there).all() == [OTHER]
        connection.rollback()
    assert everything(owner, OTHER, ["roster"]) == before


def test_a_row_cannot_be_copied_for_another_tenant(engine: Engine) -> None:
    with (
        pytest.raises(DatabaseFailed, match="InsufficientPrivilege"),
        tenant_session(engine, HERE) as connection,
    ):
        copy(connection, {**ORG, "tenant_id": OTHER})


@pytest.mark.parametrize("tenant", ["", None])
def test_a_row_cannot_be_copied_for_no_tenant(engine: Engine, tenant: str | None) -> None:
    with engine.connect() as connection, pytest.raises(Error, match=r"tenant_id"):
        connection.execute(text("SET ROLE rollover_app"))
        if tenant is not None:
            connection.execute(select(func.set_config("rollover.tenant_id", tenant, False)))
        copy(connection, ORG)


def test_the_rows_of_the_roster_can_be_added_to_and_nothing_else(owner: Engine) -> None:
    columns = """
        SELECT attname FROM pg_attribute
        WHERE attrelid = CAST(:name AS regclass) AND attnum > 0
          AND has_column_privilege('rollover_app', attrelid, attnum, 'INSERT')
    """
    more = """
        SELECT has_any_column_privilege('rollover_app', :name, 'SELECT, UPDATE, REFERENCES')
            OR has_table_privilege('rollover_app', :name, 'INSERT, DELETE, TRUNCATE, TRIGGER')
    """
    with owner.connect() as connection:
        for table in roster.ROSTER_TABLES:
            rows = {"name": ".".join(roster.rows_of(table))}
            assert {*connection.scalars(text(columns), rows), "tenant_id"} == set(table.c.keys()), table.name
            assert "tenant_id" not in connection.scalars(text(columns), rows).all(), table.name
            assert connection.scalar(text(more), rows) is False, table.name


def test_an_error_leaves_nothing_behind(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    with pytest.raises(ZeroDivisionError), tenant_session(engine, HERE) as connection:
        connection.execute(delete(hero.tracking_events))
        raise ZeroDivisionError
    assert rows(owner, "hero.tracking_events", HERE) == 20


def test_an_error_quotes_no_row(owner: Engine, engine: Engine) -> None:
    hero_world(owner)
    statement = text("INSERT INTO hero.point_balances VALUES (:t, 'north', 'Rosalind', -5, now())")
    with (
        pytest.raises(DatabaseFailed, match=r"CheckViolation.*never_negative") as raised,
        tenant_session(engine, HERE) as connection,
    ):
        connection.execute(statement, {"t": HERE})
    assert "Rosalind" not in str(raised.value) and raised.value.__cause__ is None

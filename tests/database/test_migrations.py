"""The migrations make exactly the tables that the code declares."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from rollover.database import migrate
from rollover.database.school_years import ensure_school_year
from rollover.database.tables import hero, metadata, product_tables, roster
from rollover.tenant import PRODUCTS


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    return not (kind == "table" and name is not None and (name == "schema_version" or "__y" in name))


def test_the_database_is_what_the_tables_say(owner: Engine) -> None:
    with owner.begin() as connection:
        ensure_school_year(connection, "2025-26")
        options = {"include_schemas": True, "include_name": is_ours, "version_table": "schema_version"}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(owner: Engine) -> None:
    migrate.upgrade(owner)
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM schema_version")) == 1


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_product_table_names_its_data_class(product: str) -> None:
    tables = product_tables(product)
    assert len(tables) >= 7
    assert [t.fullname for t in [*tables, *roster.ROSTER_TABLES] if not t.info.get("data_class")] == []


def test_a_school_year_gets_its_partitions_once(owner: Engine, engine: Engine) -> None:
    with owner.begin() as connection:
        ensure_school_year(connection, "2099-00")
        ensure_school_year(connection, "2099-00")
        name = f"{hero.tracking_events.fullname}__y2099"
        assert connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None


@pytest.mark.parametrize("year", ["2025-27", "2025", "x'; DROP TABLE hero.tracking_events; --", ""])
def test_what_is_no_school_year_gets_none(owner: Engine, year: str) -> None:
    with pytest.raises(DBAPIError, match="is not a school year"), owner.begin() as connection:
        ensure_school_year(connection, year)

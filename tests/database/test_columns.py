"""Each column of a table with districts' data is reviewed: a key, of a data class, or exempt."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from rollover.database.tables import metadata, product_tables, roster
from rollover.database.tables.columns import COLUMNS, column_problems
from rollover.tenant import PRODUCTS

TABLES = [*(table for product in PRODUCTS for table in product_tables(product)), *roster.ROSTER_TABLES]


def changed(name: str, *columns: Column[object], drop: str = "") -> Table:
    """A copy of a table with other columns."""
    table = metadata.tables[name]
    gone = {drop, *(column.name for column in columns)}
    kept = [column.copy() for column in table.columns if column.name not in gone]
    return Table(table.name, MetaData(), *kept, *columns, schema=table.schema)


def test_every_column_of_every_table_is_reviewed() -> None:
    assert len(TABLES) > 30
    assert [said for table in TABLES for said in column_problems(table)] == []
    assert COLUMNS.keys() == {table.fullname for table in TABLES}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (changed("hero.student_logins", Column("email", Text)), "hero.student_logins.email is neither a key"),
        (changed("hero.behavior_codes", Column("points", Text)), "points is exempt as INTEGER, but its type is TEXT"),
        (changed("hero.portal_settings", drop="parents_see_schedules"), "the table has no such column"),
        (Table("notes", MetaData(), Column("id", Integer), schema="hero"), "hero.notes.id is neither a key"),
    ],
)
def test_a_column_that_says_nothing_and_an_exemption_that_no_longer_fits(table: Table, said: str) -> None:
    (problem,) = column_problems(table)
    assert said in problem


def test_lint_refuses_a_product_with_such_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from rollover.lint import load_catalog

    products = Path(__file__).parents[2] / "include" / "products"
    monkeypatch.setitem(COLUMNS, "hero.student_logins", COLUMNS["hero.parent_logins"].__class__("tenant_id school_id"))
    catalog = load_catalog(products.parent / "districts", products)
    assert [str(p) for p in catalog.problems if "hero.student_logins.username is neither a key" in str(p)]
    assert "hero" not in catalog.products and "imagine_math" in catalog.products

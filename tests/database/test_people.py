"""No table that holds a person's id is forgotten when that id changes."""

from __future__ import annotations

import pytest
from sqlalchemy import Text

from rollover.database.tables import metadata, product_tables
from rollover.database.tables.people import PERSON_COLUMNS
from rollover.tenant import PRODUCTS

OTHER_IDS = frozenset(
    {
        *("tenant_id", "school_id", "class_id", "classroom_id", "account_id", "educator_account_id", "login_id"),
        *("code_id", "action_id", "event_id", "assignment_id", "entry_id", "assessment_id"),
        *("schedule_id", "template_id"),
    }
)
"""Ids in a product's tables that are not a person's: every column ``…_id`` is here or in PERSON_COLUMNS."""


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_id_in_a_product_is_a_persons_or_is_known_not_to_be(product: str) -> None:
    tables = product_tables(product)
    ids = {(table.fullname, column.name) for table in tables for column in table.columns if column.name.endswith("_id")}
    assert len(ids) > 20
    declared = {(table, column) for table, columns in PERSON_COLUMNS.items() for column in columns}
    assert {(table, column) for table, column in ids if column not in OTHER_IDS} == {
        pair for pair in declared if pair[0].startswith(f"{product}.")
    }


def test_what_is_declared_exists_and_holds_text() -> None:
    for table, columns in PERSON_COLUMNS.items():
        for column in columns:
            assert isinstance(metadata.tables[table].c[column].type, Text), f"{table}.{column}"
    assert not OTHER_IDS & {column for columns in PERSON_COLUMNS.values() for column in columns}

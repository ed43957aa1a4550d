"""What the ledger keeps of an import's details: typed, with a schema version, each stage its own part."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import CheckConstraint, Engine, insert, select

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.imports import Decision, ImportDetails, ImportState, advance
from rollover.roster.imports.details import SCHEMA_VERSION, Applied, Asked, Reading, Validation
from rollover.roster.imports.model import write_details
from tests.support.small_district import add_directory

TENANT = "hero__springfield-il"
IMPORT = f"{TENANT}__000000000001"


def test_what_was_written_is_what_is_read() -> None:
    details = ImportDetails(
        rows={"users.csv": 3},
        reading=Reading(not_said=(("people", "birth_date"), ("people", "email", "teacher")), deltas=("users.csv",)),
        validation=Validation(taken={"users.csv": 2}, school_year_begins=(8, 1)),
        asked=Asked(run="one", digest="d", until="2026-08-01T23:00:00+00:00"),
    )
    assert ImportDetails.from_json(details.as_json()) == details
    assert details.as_json()["schema_version"] == SCHEMA_VERSION
    assert ImportDetails.from_json({}) == ImportDetails(), "of an import that was only found"


@pytest.mark.parametrize("version", [None, 0, SCHEMA_VERSION + 1, "1"])
def test_another_schema_version_is_refused(version: Any) -> None:
    with pytest.raises(Refused, match=f"schema version {version}; this release reads {SCHEMA_VERSION}"):
        ImportDetails.from_json({"rows": {}, "schema_version": version})


def test_a_key_that_nobody_declared_is_refused_without_its_value() -> None:
    with pytest.raises(ValidationError, match="surprise") as caught:
        ImportDetails.from_json({"schema_version": SCHEMA_VERSION, "surprise": "a value"})
    assert "a value" not in str(caught.value)


@pytest.mark.parametrize(
    ("details", "changed"),
    [
        ({}, False),
        ({"changes": {"people": {"added": 0, "unchanged": 5}}}, False),
        ({"changes": {"people": {"added": 0, "removed": 1}}}, True),
        ({"applied": Applied(renamed={"roster.people": 0})}, True),
    ],
)
def test_whether_an_import_changed_the_roster(details: dict[str, Any], changed: bool) -> None:
    assert ImportDetails(**details).has_changed_the_roster is changed


@pytest.fixture
def found(owner: Engine, engine: Engine) -> Engine:
    """A tenant with an import that was only found."""
    with owner.begin() as connection:
        add_directory(connection, "springfield-il", ["hero"])
        connection.execute(insert(ledger.imports).values(tenant_id=TENANT, import_id=IMPORT, state="found"))
    return engine


def test_a_stage_replaces_its_own_parts_and_no_others(found: Engine) -> None:
    with tenant_session(found, TENANT) as connection:
        first = ImportDetails(rows={"users.csv": 1}, unchanged=True)
        assert advance(connection, imports.load(connection, IMPORT), ImportState.FETCHED, details=first)
        write_details(connection, IMPORT, ImportDetails(asked=Asked(run="one", digest="d", until="u")))
        second = ImportDetails(unchanged=False, reading=Reading(cut_off=("users.csv",)))
        assert advance(connection, imports.load(connection, IMPORT), ImportState.STAGED, details=second)
        write_details(connection, IMPORT, ImportDetails(asked=None))
        row = imports.load(connection, IMPORT)
        kept = connection.scalar(select(ledger.imports.c.details))
    assert row.state is ImportState.STAGED
    assert row.details == ImportDetails(rows={"users.csv": 1}, reading=Reading(cut_off=("users.csv",)))
    assert kept["schema_version"] == SCHEMA_VERSION


def test_who_comes_second_changes_nothing(found: Engine) -> None:
    with tenant_session(found, TENANT) as connection:
        as_both_saw_it = imports.load(connection, IMPORT)
        assert advance(connection, as_both_saw_it, ImportState.FETCHED)
        late = ImportDetails(rows={"users.csv": 1})
        assert not advance(connection, as_both_saw_it, ImportState.REJECTED, details=late)
        row = imports.load(connection, IMPORT)
    assert (row.state, row.details, row.as_json()["state"]) == (ImportState.FETCHED, ImportDetails(), "fetched")


def test_the_ledger_and_the_docs_have_the_same_states_and_decisions() -> None:
    checks = [str(each.sqltext) for each in ledger.imports.constraints if isinstance(each, CheckConstraint)]
    for column, values in (("state", ImportState), ("decision", Decision)):
        (check,) = (check for check in checks if check.startswith(f"{column} IN"))
        assert re.findall(r"'(\w+)'", check) == list(values)
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    table = page.split("| State | What it means |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(ImportState)

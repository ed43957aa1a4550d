"""What is looked at besides the plan's tables, before a certificate is issued."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text, update
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import ledger, roster
from rollover.errors import ProofFailed
from rollover.roster.imports.files import import_folder
from rollover.run import Run
from rollover.yearend import leftovers, steps
from tests.support.certified import resumed
from tests.support.sampling import others_slow
from tests.support.small_district import YEAR, hero_world, run_of, unguarded
from tests.yearend.test_rollover_steps import HERO, RUN_ID, certify, nobody, until_reset

ELSEWHERE = {
    "a row of the roster": "roster.people",
    "history": "roster.history",
    "a finding": "findings that name a person",
    "a staged set": "staged sets",
    "an export": "exports",
}


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    run = run_of(engine, storage)
    until_reset(run)
    return run


def leave(owner: Engine, run: Run, what: str, *, days: int) -> None:
    """Leave something behind whose time was over so many days before the pause."""
    with owner.begin() as connection:
        paused = connection.scalar(select(ledger.pauses.c.paused_at).where(ledger.pauses.c.tenant_id == HERO))
        over = min(paused, run.now) - timedelta(days=days)
        grace = timedelta(days=run.product.grace_days_of(run.config))
        imported = {"tenant_id": HERO, "import_id": "old", "state": "applied", "changed_at": over - grace}
        match what:
            case "a row of the roster":
                add_import(connection, imported)
                person = roster.people.c
                gone = update(roster.people).where(person.tenant_id == HERO, person.sourced_id == "n1")
                connection.execute(gone.values(status="tobedeleted", import_id="old"))
            case "history":
                add_import(connection, imported)
                row = {"tenant_id": HERO, "import_id": "old", "table_name": "people", "before": {"sourced_id": "n1"}}
                connection.execute(insert(roster.history).values(**row))
            case "a finding":
                login = connection.scalar(select(roster.people.c.username).where(roster.people.c.tenant_id == HERO))
                add_import(connection, {**imported, "changed_at": over})
                found = {"import_id": "old", "code": "x", "severity": "error", "file": "users.csv", "row": 2}
                said = f"The login {login} is there twice." if days > 2 else "The login is there twice."
                connection.execute(insert(ledger.findings).values(tenant_id=HERO, **found, message=said))
            case "a staged set":
                add_import(connection, {**imported, "changed_at": over})
                (import_folder(run.storage, "old") / "files").mkdir(parents=True)
            case _:
                kept = timedelta(days=run.product.exports_kept_days_of(run.config))
                before = {"rollover_id": "before", "school_year": YEAR.previous.key, "state": "certified"}
                at = {"finished_at": over - kept, "reset_at": run.reset_at, "reset_date": run.reset_date}
                connection.execute(
                    insert(ledger.rollovers).values(tenant_id=HERO, **before, **at, run_id="r", is_current=False)
                )
                export = connection.execute(select(ledger.exports).where(ledger.exports.c.tenant_id == HERO)).first()
                assert export is not None
                connection.execute(insert(ledger.exports).values(**{**export._mapping, "rollover_id": "before"}))


def add_import(connection: Any, values: dict[str, Any]) -> None:
    columns = {
        column.name for column in ledger.imports.columns if not column.nullable and column.server_default is None
    }
    fill = {name: "x" for name in columns - values.keys() if str(ledger.imports.c[name].type) == "TEXT"}
    connection.execute(insert(ledger.imports).values(**fill, **values))


def found(run: Run) -> dict[str, int]:
    with tenant_session(run.engine, HERO) as connection:
        return {name: count for name, count in leftovers.past_their_time(connection, run).items() if count}


@pytest.mark.parametrize("what", others_slow(list(reversed(ELSEWHERE))))
def test_what_is_past_its_time_is_found_and_no_certificate_issued(run: Run, owner: Engine, what: str) -> None:
    assert found(run) == {}
    leave(owner, run, what, days=3)
    assert found(run) == {ELSEWHERE[what]: 1}
    steps.verify_reset(run)
    resumed(run)
    with pytest.raises(ProofFailed, match=rf"{ELSEWHERE[what]}: 1 are left though .* trigger 'roster_sync'"):
        certify(run)


@pytest.mark.parametrize("what", others_slow(list(ELSEWHERE)))
def test_what_the_next_night_removes_is_no_leftover(run: Run, owner: Engine, what: str) -> None:
    leave(owner, run, what, days=1)
    assert found(run) == {}


def test_a_pause_of_last_year_is_no_excuse(run: Run, owner: Engine) -> None:
    leave(owner, run, "history", days=3)
    with owner.begin() as connection:
        unguarded(connection, "pauses")
        a_year_ago = {"paused_at": run.now - timedelta(days=365), "ended_at": run.now - timedelta(days=360)}
        connection.execute(update(ledger.pauses).values(**a_year_ago, ended_by="dana"))
    assert found(run) == {"roster.history": 1}


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE hero.notes (tenant_id text, school_year text, note text)", "hero.notes"),
        ("CREATE TABLE hero.account_notes (tenant_id text, login_id text, note text)", "hero.account_notes"),
        ("CREATE TABLE hero.notes_of_logins (login_id text, note text)", "hero.notes_of_logins"),
        ("CREATE TABLE roster.photos (tenant_id text, sourced_id text)", "roster.photos"),
        ("CREATE MATERIALIZED VIEW hero.copy AS SELECT * FROM hero.student_logins", "hero.copy"),
        ("ALTER TABLE hero.student_logins ADD email text", "hero.student_logins.email"),
    ],
)
def test_what_nobody_declared_stops_it(run: Run, owner: Engine, statement: str, name: str) -> None:
    with owner.begin() as connection:
        connection.execute(text(statement))
    with pytest.raises(ProofFailed, match=rf"^{name} in the database belongs to no data class"):
        steps.verify_reset(run)


def test_no_rollover_begins_where_a_table_is_not_declared(owner: Engine, engine: Engine, storage: UPath) -> None:
    hero_world(owner)
    with owner.begin() as connection:
        connection.execute(text("CREATE TABLE hero.notes (tenant_id text, note text)"))
    with pytest.raises(ProofFailed, match=r"hero\.notes in the database belongs to no data class"):
        steps.guard(run_of(engine, storage), RUN_ID, nobody)

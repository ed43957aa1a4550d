"""The migrations make exactly the tables that the code declares, and an upgrade from 0.1.0 loses nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from rollover.database import migrate
from rollover.database.school_years import ensure_school_year
from rollover.database.session import connect, tenant_session
from rollover.database.tables import hero, product_tables, roster
from rollover.ledger import evidence
from rollover.roster.imports.model import ImportState, query_imports, read_import
from rollover.tenant import PRODUCTS
from rollover_demo.postgres import LOGIN, PostgresServer
from tests.support.upgrade import digest, undeclared, upgraded_season

RELEASED = {"0001": "5925e35ab9e0aec7fd8d809a37cfcd0126f6643f54bc73adc3ada7e321514be1"}
"""The migrations of each release. To change the schema, add a migration; one that was released stays as it is."""
VERSIONS = migrate.MIGRATIONS / "versions"


def test_the_database_is_what_the_tables_say(owner: Engine) -> None:
    with owner.begin() as connection:
        ensure_school_year(connection, "2025-26")
    assert undeclared(owner) == []


def test_upgrading_twice_changes_nothing(owner: Engine) -> None:
    migrate.upgrade(owner)
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM schema_version")) == 1


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_migration_is_never_changed(revision: str) -> None:
    assert digest(revision, VERSIONS) == RELEASED[revision], "changed after its release: add a migration instead"


@pytest.mark.parametrize("file", ["0001_initial.py", "0001_initial/access.sql", "0001_initial/more.sql"])
def test_a_change_of_a_released_migration_is_noticed(migrations: Path, file: str) -> None:
    with (migrations / "versions" / file).open("a") as stream:
        stream.write(" ")
    assert digest("0001", migrations / "versions") != RELEASED["0001"]


def test_a_season_of_0_1_0_is_upgraded_and_nothing_is_lost(postgres: PostgresServer) -> None:
    with upgraded_season(postgres) as (database, wrong):
        assert wrong == []
        engine = connect(postgres.url(database, user=LOGIN))
        with tenant_session(engine, "hero__riverside-ca") as connection:
            chain = evidence.check(connection)
        with tenant_session(engine, "hero__springfield-il") as connection:
            imports = [read_import(row) for row in connection.execute(query_imports())]
    assert chain.entries > 10 and chain.wrong == ()
    assert {found.state for found in imports} == {ImportState.SUPERSEDED, ImportState.APPLIED}


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to which a test may add one."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    return folder


IF_USED = "DO $$ BEGIN IF EXISTS (SELECT FROM ledger.plans) THEN {} END IF; END $$"
LOSSES = {
    "UPDATE roster.people SET grade = '07' WHERE grade = '05'": "rows of roster.people are lost or changed",
    "DELETE FROM roster.history": "rows of roster.history are lost or changed",
    "ALTER TABLE hero.parent_logins DROP COLUMN username": "rows of hero.parent_logins are lost or changed",
    "DROP TABLE ledger.id_maps": "rows of ledger.id_maps are lost or changed",
    "ALTER TABLE imagine_math.avatars ADD COLUMN size text": "('remove_column', 'imagine_math', 'avatars', Column(",
    "ALTER TABLE ledger.holds DROP CONSTRAINT ck_holds_kind": "declared otherwise: ('ledger.holds', 'ck_holds_kind')",
    IF_USED.format("DROP TRIGGER changed_once ON ledger.plans;"): "a new database has it: CREATE TRIGGER changed_once ",
    IF_USED.format("GRANT DELETE ON ledger.plans TO rollover_app;"): "GRANT SELECT,INSERT,DELETE ON TABLE ledger.plans",
}
"""Statements of a migration that would lose something, and what is then reported."""


def test_a_migration_that_loses_something_is_noticed(postgres: PostgresServer, migrations: Path) -> None:
    head = max(path.stem for path in (migrations / "versions").glob("*.py")).partition("_")[0]
    done = "".join(f"    op.execute({statement!r})\n" for statement in LOSSES)
    (migrations / "versions" / "9999_next.py").write_text(
        f'from alembic import op\n\nrevision, down_revision = "9999", "{head}"\n\n\ndef upgrade() -> None:\n{done}'
    )
    with upgraded_season(postgres) as (_, wrong):
        assert [loss for loss in LOSSES.values() if not any(loss in problem for problem in wrong)] == [], wrong


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

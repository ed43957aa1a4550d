"""Archive, erase, put back: the same rows, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text, update
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.restore import into_live, into_schema
from rollover.archive.tables import archived_tables, settings_tables
from rollover.database.checksums import checksums_by_school
from rollover.database.session import tenant_session
from rollover.database.tables import hero, metadata
from rollover.errors import ProofFailed, Refused
from rollover.ledger import evidence
from rollover.run import Run
from rollover.yearend import steps
from tests.archive.conftest import run_for, until_archived
from tests.support.sampling import others_slow
from tests.support.small_district import YEAR, add_hero, everything, rows
from tests.yearend.test_rollover_steps import OTHER, RUN_ID, answer_to, no_outbox, nobody

WHO: dict[str, Any] = {"keys": Keys(None), "by": "dana", "reason": "the district asks"}


def archived_rows(owner: Engine, run: Run) -> dict[str, Any]:
    names = {table.fullname for table in archived_tables(run.product)}
    found = everything(owner, run.tenant.id, [run.product.product])
    return {name: found[name] for name in names}


def checksums(run: Run) -> dict[str, Any]:
    with tenant_session(run.engine, run.tenant.id) as connection:
        return {
            table.fullname: dict(checksums_by_school(connection, table, run.school_year.key))
            for table in archived_tables(run.product)
        }


@pytest.mark.parametrize("product", others_slow(["hero", "imagine_math", "imagine_math_facts"]))
def test_a_year_comes_back_row_for_row(product: str, owner: Engine, engine: Engine, storage: UPath) -> None:
    run = run_for(product, owner, engine, storage)
    before, marks = archived_rows(owner, run), checksums(run)
    assert len(before) >= 3 and all(before.values())
    untouched = everything(owner, f"{product}__lakeside-ca", [product, "roster", "ledger"])
    until_archived(run)
    steps.erase(run)
    assert not any(archived_rows(owner, run).values())
    kept = everything(owner, run.tenant.id, [product, "roster"])

    result = into_live(engine, run.tenant, YEAR, **WHO)
    assert archived_rows(owner, run) == before
    assert checksums(run) == marks
    assert result["rows"] == {name: len(found) for name, found in before.items()}
    after = everything(owner, run.tenant.id, [product, "roster"])
    assert {name: found for name, found in after.items() if name not in before} == {
        name: found for name, found in kept.items() if name not in before
    }
    assert everything(owner, f"{product}__lakeside-ca", [product, "roster", "ledger"]) == untouched
    with tenant_session(engine, run.tenant.id) as connection:
        last = connection.execute(evidence.evidence.select().order_by(evidence.evidence.c.evidence_id.desc())).first()
        assert last is not None and (last.kind, last.facts) == ("archive_restored", result)
        assert last.facts["why"] == WHO["reason"] and evidence.check(connection).wrong == ()


@pytest.mark.parametrize("product", others_slow(["imagine_math", "hero"]))
def test_a_year_comes_back_into_a_schema(product: str, owner: Engine, engine: Engine, storage: UPath) -> None:
    run = run_for(product, owner, engine, storage)
    tables = [*archived_tables(run.product), *settings_tables(run.product)]
    before = everything(owner, run.tenant.id, [product])
    until_archived(run)
    steps.erase(run)
    live = everything(owner, run.tenant.id, [product, "roster"])
    result = into_schema(owner, run.tenant, YEAR, "asked_for", **WHO)
    assert everything(owner, run.tenant.id, [product, "roster"]) == live
    with owner.connect() as connection:
        for table in tables:
            put_back = metadata.tables[table.fullname].to_metadata(metadata.__class__(), schema="asked_for")
            found = sorted((tuple(row) for row in connection.execute(put_back.select())), key=repr)
            assert found == before[table.fullname] and found, table.fullname
    assert result["into"] == "asked_for"
    with pytest.raises(Exception, match="permission denied"), engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE rollover_app"))
        connection.execute(text("SELECT * FROM asked_for.people"))
    with pytest.raises(Refused, match="schema 'asked_for' already"):
        into_schema(owner, run.tenant, YEAR, "asked_for", **WHO)


@pytest.mark.parametrize("name", others_slow(["x; drop", 'a"b', "pg_more", "", "Hero"]))
def test_a_schema_has_a_plain_name(run: Run, owner: Engine, name: str) -> None:
    with pytest.raises(Refused, match="no name for a schema"):
        into_schema(owner, run.tenant, YEAR, name, **WHO)


def test_the_role_that_works_makes_no_schema(run: Run, engine: Engine) -> None:
    until_archived(run)
    with pytest.raises(Refused, match="may not make a schema"):
        into_schema(engine, run.tenant, YEAR, "mine", **WHO)


def test_a_year_that_is_live_is_not_put_beside_itself(run: Run, owner: Engine, engine: Engine) -> None:
    until_archived(run)
    before = everything(owner, run.tenant.id, ["hero", "roster", "ledger"])
    with pytest.raises(Refused, match=r"already have rows of 2025-26.*hero.tracking_events has 20"):
        into_live(engine, run.tenant, YEAR, **WHO)
    steps.erase(run)
    with owner.begin() as connection:
        late = {"tenant_id": run.tenant.id, "school_year": YEAR.key, "school_id": "south", "student_id": "s1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": run.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
    with pytest.raises(Refused, match=r"hero.points_ledger has 1\."):
        into_live(engine, run.tenant, YEAR, **WHO)
    assert rows(owner, "hero.tracking_events", run.tenant.id) == 0
    assert before["ledger.archives"] == everything(owner, run.tenant.id, ["ledger"])["ledger.archives"]


@pytest.mark.slow
def test_another_year_of_the_tenant_does_not_matter(run: Run, owner: Engine, engine: Engine) -> None:
    until_archived(run)
    steps.erase(run)
    with owner.begin() as connection:
        add_hero(connection, run.tenant.id, YEAR.next)
    into_live(engine, run.tenant, YEAR, **WHO)
    assert rows(owner, "hero.tracking_events", run.tenant.id) == 40


def test_a_year_that_the_ledger_does_not_know_is_not_put_back(run: Run, engine: Engine) -> None:
    with pytest.raises(Refused, match="no archive of 2025-26 of hero__riverside-ca"):
        into_live(engine, run.tenant, YEAR, **WHO)


@pytest.mark.parametrize("name", ["north/tracking_events.parquet", "manifest.json"])
@pytest.mark.parametrize("damage", others_slow(["change", "remove"]))
def test_a_damaged_archive_puts_nothing_back(run: Run, owner: Engine, engine: Engine, name: str, damage: str) -> None:
    until_archived(run)
    steps.erase(run)
    path = Path(run.storage.path) / "archive" / "hero" / "riverside-ca" / "2025-26" / name
    if damage == "remove":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(ProofFailed, match=r"restore it from the storage"):
        into_live(engine, run.tenant, YEAR, **WHO)
    assert not any(archived_rows(owner, run).values())


def test_rows_that_are_not_those_of_the_manifest_are_not_put_back(
    run: Run, owner: Engine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if loading had changed one: the file is right, and what PostgreSQL has of it is not."""
    from rollover.archive import restore

    until_archived(run)
    steps.erase(run)
    load = restore.copy_in

    def spoiled(connection: Any, table: Any, stream: Any, target: str, key: None) -> None:
        load(connection, table, stream, target, key)
        if table.name == "points_ledger":
            connection.execute(text(f"UPDATE {target} SET points = points + 1 WHERE entry_id = 1"))

    monkeypatch.setattr(restore, "copy_in", spoiled)
    with pytest.raises(ProofFailed, match="not those that were archived"):
        into_live(engine, run.tenant, YEAR, **WHO)
    assert not any(archived_rows(owner, run).values())


def test_an_older_form_of_a_table_is_not_guessed_at(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from rollover.archive import restore

    until_archived(run)
    monkeypatch.setattr(restore, "columns_in", lambda stream, key: ["tenant_id", "gone_since"])
    with pytest.raises(Refused, match="other columns now"):
        into_schema(owner, run.tenant, YEAR, "older", **WHO)
    with owner.connect() as connection:
        assert connection.scalar(text("SELECT to_regnamespace('older')")) is None


def test_a_year_put_back_is_archived_anew_and_not_twice(run: Run, owner: Engine, engine: Engine) -> None:
    before = archived_rows(owner, run)
    until_archived(run)
    steps.erase(run)
    into_live(engine, run.tenant, YEAR, **WHO)
    steps.guard(run, RUN_ID, nobody)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    [(_, manifest)] = manifests.newest(run.storage)
    assert {file.plan_no for file in manifest.files} == {2}
    into_live(engine, run.tenant, YEAR, **WHO)
    assert archived_rows(owner, run) == before


@pytest.mark.slow
def test_codes_that_changed_stay_as_they_were_in_the_schema(run: Run, owner: Engine) -> None:
    until_archived(run)
    steps.erase(run)
    with owner.begin() as connection:
        connection.execute(update(hero.behavior_codes).values(name="Renamed"))
    into_schema(owner, run.tenant, YEAR, "then", **WHO)
    with owner.connect() as connection:
        assert set(connection.scalars(text('SELECT name FROM "then".behavior_codes'))) == {"Kindness"}
    assert rows(owner, "hero.behavior_codes", OTHER) == 2

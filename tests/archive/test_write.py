"""What an archived year holds, and its manifest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, select, update
from upath import UPath

from rollover.archive import form, parquet
from rollover.archive import manifest as manifests
from rollover.database.session import tenant_session
from rollover.database.tables import hero, ledger, roster
from rollover.errors import ProofFailed
from rollover.ledger.results import Archived
from rollover.run import Run
from rollover.yearend import steps
from tests.archive.conftest import until_archived
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, SOUTH, STUDENTS, hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import HERO, RUN_ID, answer_to, no_outbox, nobody, until_approved

YEAR_FOLDER = ("archive", "hero", "riverside-ca", "2025-26")


def folder_of(run: Run) -> Path:
    return Path(run.storage.path).joinpath(*YEAR_FOLDER)


def test_the_manifest_says_what_each_file_is(run: Run) -> None:
    until_approved(run)
    result = steps.archive(run)
    path = folder_of(run) / "manifest.json"
    assert result.manifest is not None and result.manifest.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with tenant_session(run.engine, HERO) as connection:
        facts = connection.scalar(select(ledger.evidence.c.facts).where(ledger.evidence.c.kind == "archive"))
        receipts = {row.path: row for row in connection.execute(select(ledger.archives))}
    assert facts == result.as_json(), "its hash is in the chain of evidence"
    manifest = json.loads(path.read_text())
    assert (manifest["tenant"], manifest["school_year"], manifest["plan_no"]) == (HERO, "2025-26", 1)
    assert set(manifest["tools"]) == {"rollover", "pyarrow", "postgresql"}
    assert len(manifest["files"]) == result.files == len(receipts) == 14
    for file in manifest["files"]:
        found = folder_of(run) / file["path"]
        receipt = receipts[str(run.storage.joinpath(*YEAR_FOLDER) / file["path"])]
        assert hashlib.sha256(found.read_bytes()).hexdigest() == file["sha256"] == receipt.sha256
        assert pq.ParquetFile(found).metadata.num_rows == file["rows"] == receipt.rows
        assert found.stat().st_size == file["bytes"]
        assert int(file["checksum"]) == receipt.checksum
    events = next(f for f in manifest["files"] if f["table"] == "hero.tracking_events" and f["school"] == NORTH)
    assert events["ranges"] == {
        "event_id": [1, 12],
        "occurred_at": ["2026-03-02T18:30:00Z", "2026-03-05T18:30:00Z"],
    }


def test_no_personal_value_is_in_the_manifest(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(update(roster.people).values(birth_date="2015-02-03"))
    until_archived(run)
    text = (folder_of(run) / "manifest.json").read_text()
    for value in ("Rosalind", "Quentin", "Zebrowski", "user-", "wing", "2015-02-03", *STUDENTS[NORTH]):
        assert f'"{value}' not in text


def test_a_year_is_bound_to_the_names_and_codes_of_its_time(run: Run, owner: Engine) -> None:
    with owner.begin() as connection:
        other = {"sourced_id": "not-named", "role": "student", "given_name": "Una", "family_name": "Seen"}
        more = {"username": "u", "school_ids": [NORTH], "enabled": True, "status": "active", "row_hash": 1}
        connection.execute(insert(roster.people).values(tenant_id=HERO, import_id="seed", **other, **more))
    until_archived(run)
    people = pq.read_table(folder_of(run) / NORTH / "people.parquet")
    assert people.column_names == ["tenant_id", "sourced_id", "family_name", "given_name", "grade"]
    assert set(people["sourced_id"].to_pylist()) == set(STUDENTS[NORTH]), "only people that rows name"
    assert pq.read_table(folder_of(run) / SOUTH / "schools.parquet")["name"].to_pylist() == ["South School"]
    assert pq.read_table(folder_of(run) / NORTH / "action_settings.parquet")["threshold"].to_pylist() == [3]


def test_a_school_without_a_subscription_leaves_nothing(owner: Engine, engine: Engine, storage: UPath) -> None:
    hero_world(owner)
    run = run_of(engine, storage)
    until_archived(run)
    manifest = manifests.read(UPath(folder_of(run) / "manifest.json"))
    assert {file.school for file in manifest.files} == {NORTH}
    assert SOUTH not in {path.name for path in folder_of(run).iterdir()}


def test_where_nothing_is_archived_there_is_no_manifest(owner: Engine, engine: Engine, storage: UPath) -> None:
    imagine_world(owner)
    run = run_of(engine, storage, "imagine_math")
    until_approved(run)
    assert steps.archive(run) == Archived(files=0, rows=0, bytes=0, key_id=None, manifest=None)
    assert not (storage / "archive").exists()
    assert steps.erase(run).erased["usage"] == 5


@pytest.mark.parametrize("damage", others_slow(["change", "truncate", "remove"]))
def test_nothing_is_erased_without_its_manifest(run: Run, damage: str) -> None:
    until_archived(run)
    path = folder_of(run) / "manifest.json"
    match damage:
        case "truncate":
            path.write_bytes(path.read_bytes()[:-5])
        case "change":
            path.write_text(path.read_text().replace('"rows": 12', '"rows": 13', 1))
        case _:
            path.unlink()
    with pytest.raises(ProofFailed, match=r"manifest.json is (missing|not the file that was written)"):
        steps.erase(run)


def test_a_file_that_holds_other_rows_than_were_sent_does_not_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a writer would leave it that spoils a value on its way into the file."""
    until_approved(run)
    parsed = form.parsed

    def spoiled(*arguments: Any) -> Any:
        rows = parsed(*arguments)
        if "points" not in rows.column_names:
            return rows
        place = rows.column_names.index("points")
        return rows.set_column(place, rows.schema.field(place), pa.array([5] * (len(rows) - 1) + [6], pa.int32()))

    monkeypatch.setattr(parquet, "parsed", spoiled)
    with pytest.raises(ProofFailed, match=r"read back .* with other content"):
        steps.archive(run)
    with tenant_session(run.engine, HERO) as connection:
        assert connection.execute(select(ledger.archives)).all() == []


def test_rows_that_changed_since_the_plan_are_not_archived(run: Run, owner: Engine) -> None:
    until_approved(run)
    with owner.begin() as connection:
        connection.execute(update(hero.points_ledger).where(hero.points_ledger.c.entry_id == 1).values(points=6))
    with pytest.raises(ProofFailed, match=r"points_ledger of school north .* with other content.* trigger the DAG"):
        steps.archive(run)


def test_rows_that_came_late_are_in_the_same_year(run: Run, owner: Engine) -> None:
    until_archived(run)
    steps.erase(run)
    steps.reset(run)
    with owner.begin() as connection:
        late = {"tenant_id": HERO, "school_year": "2025-26", "school_id": NORTH, "student_id": "n1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": run.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    [(_, manifest)] = manifests.newest(run.storage)
    assert manifest.plan_no == 2
    own = [file for file in manifest.files if file.table == "hero.points_ledger" and file.school == NORTH]
    assert [(file.plan_no, file.rows) for file in own] == [(1, 12), (2, 1)]
    assert manifest.holds_current_state


def test_files_of_a_plan_that_was_not_carried_out_are_not_in_the_year(run: Run, owner: Engine) -> None:
    until_archived(run)
    with owner.begin() as connection:
        connection.execute(update(hero.points_ledger).where(hero.points_ledger.c.entry_id == 1).values(points=6))
    steps.guard(run, RUN_ID, nobody)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    [(_, manifest)] = manifests.newest(run.storage)
    assert {file.plan_no for file in manifest.files} == {2} and len(manifest.files) == 14

"""Archives that are encrypted at rest: every reader reads them with the tenant's key, and nobody without."""

from __future__ import annotations

import json
import logging
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, text
from upath import UPath

from rollover import cli
from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.query import archived, ask, readable
from rollover.archive.report import write_archived_report
from rollover.archive.restore import into_live, into_schema
from rollover.database.tables import hero
from rollover.errors import ProofFailed, Refused
from rollover.exports import reports_of
from rollover.run import Run
from rollover.tenant import PRODUCTS
from rollover.yearend import steps
from tests.archive.conftest import run_for, subscribe_all, until_archived
from tests.archive.test_restore import archived_rows
from tests.support.certified import certificate_of, until_resumed
from tests.support.district_file import DISTRICT
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, STUDENTS, YEAR, hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, RUN_ID, answer_to, no_outbox, nobody, until_approved

WHO: dict[str, Any] = {"by": "dana", "reason": "the district asks"}
PERSONAL = (b"Zebrowski", b"Rosalind", b"=Quentin", b"wing", b"Kindness", b"North School")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = Keys(tmp_path / "keys")
    for tenant_id in (HERO, OTHER, *(f"{product}__riverside-ca" for product in PRODUCTS[1:])):
        made.make(tenant_id)
    return made


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath, keys: Keys) -> Run:
    return replace(run_for("hero", owner, engine, storage), archive_keys=keys.folder)


def files_of(run: Run) -> list[Path]:
    found = [path for path in Path(run.storage.path, "archive").rglob("*") if path.is_file()]
    assert len(found) > 10
    return found


def asked(run: Run, keys: Keys, sql: str) -> list[tuple[Any, ...]]:
    with archived(manifests.newest(run.storage), keys) as connection:
        rows = ask(connection, sql).to_arrow_table().to_pylist()  # DuckDB's own fetchall() asks for pytz
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("product", others_slow(PRODUCTS))
def test_a_year_is_written_read_back_reported_and_restored(
    product: str, owner: Engine, engine: Engine, storage: UPath, keys: Keys, tmp_path: Path
) -> None:
    run = replace(run_for(product, owner, engine, storage), archive_keys=keys.folder)
    before = archived_rows(owner, run)
    assert all(before.values())
    until_approved(run)
    key = keys.to_write(run.tenant.id)
    assert key is not None and steps.archive(run).key_id == key.id
    steps.erase(run)
    tables = [name for name, found in before.items() if found]
    for name in tables:
        assert asked(run, keys, f"SELECT count(*) FROM {name}") == [(len(before[name]),)]
    into_schema(owner, run.tenant, YEAR, "asked_for", keys, **WHO)
    into_live(engine, run.tenant, YEAR, keys, **WHO)
    assert archived_rows(owner, run) == before
    if product == "hero":
        report, target = reports_of("hero")["behavior_history"], UPath(tmp_path / "again")
        write_archived_report(engine, run.tenant, YEAR, report, run.district, target, keys)
        exported = storage / "exports" / "hero" / "riverside-ca" / "2025-26" / "behavior_history.csv"
        assert (target / "behavior_history.csv").read_bytes() == exported.read_bytes()


def test_no_value_is_in_the_bytes_of_a_file(run: Run, keys: Keys) -> None:
    until_archived(run)
    wanted = (*PERSONAL, *(f'"{name}"'.encode() for name in STUDENTS[NORTH]))
    secret = keys.path(HERO).read_text().strip()
    for path in files_of(run):
        content = path.read_bytes()
        assert not any(value in content for value in wanted), path.name
        assert secret.encode() not in content and bytes.fromhex(secret) not in content
        assert path.suffix == ".json" or (content[:4], content[-4:]) == (b"PARE", b"PARE")
    with pytest.raises(OSError, match="no decryption"):
        pq.ParquetFile(next(path for path in files_of(run) if path.suffix == ".parquet"))


def test_the_same_year_without_a_key_does_hold_them(run: Run) -> None:
    """That the test above can fail."""
    until_archived(replace(run, archive_keys=None))
    people = next(path for path in files_of(run) if path.name == "people.parquet")
    assert b"Zebrowski" in people.read_bytes()


def test_the_manifest_names_the_key_and_does_not_hold_it(run: Run, keys: Keys) -> None:
    until_archived(run)
    path = next(path for path in files_of(run) if path.name == "manifest.json")
    key = keys.to_write(HERO)
    assert key is not None
    assert {file["key_id"] for file in json.loads(path.read_text())["files"]} == {key.id}
    with run.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE rollover_app"))
        connection.execute(text("SELECT set_config('rollover.tenant_id', :t, true)"), {"t": HERO})
        assert connection.scalars(text("SELECT DISTINCT key_id FROM ledger.archives")).all() == [key.id]


def test_the_key_is_reported_to_nobody(run: Run, keys: Keys, owner: Engine, caplog: pytest.LogCaptureFixture) -> None:
    key = keys.to_write(HERO)
    assert key is not None
    secret = keys.path(HERO).read_text().strip()
    with caplog.at_level(logging.DEBUG):
        until_archived(run)
        steps.erase(run)
        into_live(run.engine, run.tenant, YEAR, keys, **WHO)
    with owner.connect() as connection:
        reported = connection.scalars(text("SELECT facts::text FROM ledger.evidence")).all()
    for said in (caplog.text, repr(key), repr(run), *reported):
        assert secret not in said and repr(key.secret) not in said
    assert caplog.text


@pytest.mark.parametrize("damage", others_slow(["other", "missing", "open", "empty", "unset"]))
def test_without_its_key_a_year_is_read_by_nobody(run: Run, keys: Keys, damage: str) -> None:
    until_archived(run)
    steps.erase(run)
    at_hand, said = spoil(keys, damage)
    for read in (
        lambda: asked(run, at_hand, "SELECT 1"),
        lambda: into_live(run.engine, run.tenant, YEAR, at_hand, **WHO),
    ):
        with pytest.raises(Refused, match=said) as refused:
            read()
        assert keys.path(OTHER).read_text().strip() not in str(refused.value)
    found, closed = readable(manifests.newest(run.storage), at_hand)
    assert found == [] and closed[0].startswith(f"2025-26 of {HERO} cannot be read. ")


def spoil(keys: Keys, damage: str) -> tuple[Keys, str]:
    """The keys after something happened to Riverside's, and what is said of it."""
    path = keys.path(HERO)
    match damage:
        case "missing":
            path.unlink()
            return keys, "is encrypted with the key [0-9a-f]{16}, which is not there.*No such file"
        case "other":
            path.write_bytes(keys.path(OTHER).read_bytes())
            return keys, "which is not there: .* holds the key [0-9a-f]{16}"
        case "open":
            path.chmod(0o640)
            return keys, "may be read by others"
        case "empty":
            path.write_bytes(b"")
            return keys, "holds no key"
        case _:
            return Keys(None), "ROLLOVER_ARCHIVE_KEYS is not set"


@pytest.mark.parametrize("damage", others_slow(["missing", "other", "open", "empty"]))
def test_nothing_is_erased_whose_archive_cannot_be_read(run: Run, keys: Keys, damage: str) -> None:
    until_archived(run)
    _, said = spoil(keys, damage)
    with pytest.raises(ProofFailed, match=f"cannot erase what is kept nowhere else.*{said}"):
        steps.erase(run)


def test_a_key_of_the_same_id_that_is_another_opens_nothing(run: Run, keys: Keys, monkeypatch: Any) -> None:
    """As if the file of the key was damaged in a way that its id did not show."""
    until_archived(run)
    right = keys.to_write(HERO)
    assert right is not None
    keys.path(HERO).write_bytes(keys.path(OTHER).read_bytes())
    monkeypatch.setattr("rollover.archive.keys.Key.id", right.id)
    with pytest.raises(ProofFailed, match="but another key was given"):
        asked(run, keys, "SELECT 1")


@pytest.mark.parametrize("place", others_slow([0.6, 0.02, 0.3, 0.99]))
def test_a_flipped_byte_is_found(run: Run, keys: Keys, place: float) -> None:
    until_archived(run)
    steps.erase(run)
    steps.reset(run)
    path = next(path for path in files_of(run) if path.parent.name == NORTH and path.name == "tracking_events.parquet")
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ProofFailed, match="is not the file that was written"):
        into_live(run.engine, run.tenant, YEAR, keys, **WHO)
    with pytest.raises(ProofFailed, match=r"tracking_events.parquet is not the file"):
        steps.verify_reset(run)
    key = keys.to_write(HERO)
    assert key is not None
    with pytest.raises((OSError, pa.ArrowException)), path.open("rb") as stream:
        pq.ParquetFile(stream, decryption_properties=key.decrypting()).read()


@pytest.mark.slow
def test_a_year_may_be_encrypted_in_part(run: Run, keys: Keys, owner: Engine) -> None:
    """The setting came between two plans of a year."""
    plain = replace(run, archive_keys=None)
    until_archived(plain)
    steps.erase(plain)
    steps.reset(plain)
    with owner.begin() as connection:
        late = {"tenant_id": HERO, "school_year": YEAR.key, "school_id": NORTH, "student_id": "n1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": run.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
        connection.execute(text("UPDATE hero.behavior_codes SET name = 'Renamed'"))
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    [(_, manifest)] = manifests.newest(run.storage)
    assert {(file.plan_no, file.key_id is None) for file in manifest.files} == {(1, True), (2, False)}
    assert asked(run, keys, "SELECT count(*), count(DISTINCT entry_id) FROM points_ledger") == [(21, 21)]
    assert asked(run, keys, "SELECT name FROM behavior_codes ORDER BY code_id") == [("Kindness",)] * 2
    assert asked(run, keys, "SELECT * FROM points_ledger WHERE entry_id = 99 AND student_id = 'n1'")
    assert into_live(run.engine, run.tenant, YEAR, keys, **WHO)["rows"]["hero.points_ledger"] == 21


@pytest.mark.slow
def test_encrypted_files_of_many_pages_may_lie_anywhere(run: Run, keys: Keys, owner: Engine) -> None:
    """DuckDB's own reader decrypts the first page of a column only."""
    with owner.begin() as connection:
        many = """INSERT INTO hero.points_ledger (tenant_id, school_year, school_id, student_id, entry_id, kind, points,
            entered_at) SELECT :t, :y, 'north', 'n' || (n % 3 + 1), n, 'earned', n % 7, timestamptz '2026-03-02' +
            n * interval '1 second' FROM generate_series(1000, 201000) n"""
        connection.execute(text(many), {"t": HERO, "y": YEAR.key})
    until_archived(run)
    far = UPath("memory://encrypted/storage")
    for path in files_of(run):
        target = far / str(path.relative_to(run.storage.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    sql = "SELECT count(*), sum(entry_id) FROM points_ledger WHERE entry_id >= 1000"
    expected = [(200_001, sum(range(1000, 201_001)))]
    assert asked(run, keys, sql) == expected
    assert asked(replace(run, storage=far), keys, sql) == expected
    with archived(manifests.newest(run.storage), keys) as connection:
        ((_, plan),) = connection.execute("EXPLAIN SELECT max(points) FROM points_ledger WHERE entry_id < 5").fetchall()
    assert "ARROW_SCAN" in plan and "Filters" in plan and "student_id" not in plan, "only what is asked for is read"


def test_no_rollover_begins_without_its_key(owner: Engine, engine: Engine, storage: UPath, tmp_path: Path) -> None:
    hero_world(owner)
    run = replace(run_of(engine, storage), archive_keys=tmp_path / "keys")
    with pytest.raises(Refused, match=f"The archive of {HERO} has no key.*rollover archive keygen"):
        steps.guard(run, RUN_ID, nobody)
    Keys(tmp_path / "keys").make(HERO)
    assert steps.guard(run, RUN_ID, nobody).go is True


def test_a_product_that_archives_nothing_needs_no_key(
    owner: Engine, engine: Engine, storage: UPath, tmp_path: Path
) -> None:
    imagine_world(owner)
    run = replace(run_of(engine, storage, "imagine_math"), archive_keys=tmp_path / "keys")
    assert steps.guard(run, RUN_ID, nobody).go is True


def test_the_certificate_says_with_which_key(run: Run, keys: Keys, owner: Engine) -> None:
    subscribe_all(owner)
    until_resumed(run)
    said = certificate_of(run)
    key = keys.to_write(HERO)
    assert key is not None
    (disposal,) = said["disposals"]
    assert {row["key_id"] for row in disposal["archives"]} == {key.id}
    assert any("were written encrypted" in claim for claim in said["not_claimed"])


def test_a_key_is_made_once_and_read_by_its_owner_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "districts").mkdir()
    (tmp_path / "districts" / "riverside-ca.yaml").write_text(DISTRICT)
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path / "districts"))
    monkeypatch.setenv("ROLLOVER_ARCHIVE_KEYS", str(tmp_path / "new" / "keys"))
    assert cli.main(["archive", "keygen", HERO]) == 0
    path = tmp_path / "new" / "keys" / f"{HERO}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    made = path.read_text()
    assert made.strip() not in capsys.readouterr().out
    assert cli.main(["archive", "keygen", HERO]) == 1
    assert path.read_text() == made and "never overwritten" in capsys.readouterr().err
    monkeypatch.delenv("ROLLOVER_ARCHIVE_KEYS")
    assert cli.main(["archive", "keygen", HERO]) == 1
    assert cli.main(["archive", "keygen", "hero__nowhere"]) == 2

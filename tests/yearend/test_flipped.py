"""One bit flipped in a file, of every kind and at several places: each is reported with its path, and nothing goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.query import archived, ask
from rollover.archive.report import write_archived_report
from rollover.archive.restore import into_schema
from rollover.errors import ProofFailed
from rollover.exports import reports_of
from rollover.run import Run
from rollover.yearend import steps
from tests.support.certified import resumed
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.sampling import some
from tests.support.small_district import YEAR, everything, hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import certify, until_approved

BELOW_MAGIC, MIDDLE, IN_FOOTER, LAST = 4, 0.5, -60, -1
PLAIN = Keys(None)
PLACES = (0, BELOW_MAGIC, MIDDLE, IN_FOOTER, LAST)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def files_below(run: Run, *folders: str) -> list[Path]:
    root = Path(run.storage.path)
    return sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())


def one_of_each_kind(files: list[Path]) -> list[Path]:
    return list({path.suffix: path for path in files}.values())


@contextmanager
def flipped(path: Path, place: float) -> Iterator[None]:
    """One bit of a file is another while the block lasts."""
    content = path.read_bytes()
    at = int(len(content) * place) if isinstance(place, float) else place % len(content)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    yield
    path.write_bytes(content)


def is_reported(run: Run, owner: Engine, work: Callable[[], Any], files: list[Path]) -> None:
    """Each file in turn, at each place: the work names it, and changes nothing."""
    before = state(owner, run)
    for path in files:
        for place in PLACES:
            with flipped(path, place), pytest.raises(ProofFailed) as raised:
                work()
            assert str(path) in str(raised.value) and "To go on: " in str(raised.value)
    assert state(owner, run) == before


def state(owner: Engine, run: Run) -> dict[str, Any]:
    """Every row of the tenant, but for what is recorded before a file is written."""
    found = everything(owner, run.tenant.id, [run.tenant.product, "roster", "ledger"])
    del found["ledger.artifacts"]
    return found


def test_before_the_erase_the_verification_and_the_certificate(run: Run, owner: Engine) -> None:
    before = rows_of_product(owner, run)
    until_approved(run)
    steps.archive(run)
    files = one_of_each_kind(files_below(run, "archive", "exports"))
    assert {path.suffix for path in files} == {".parquet", ".json", ".csv", ".pdf"}
    is_reported(run, owner, lambda: steps.erase(run), files)
    steps.erase(run)
    steps.reset(run)
    is_reported(run, owner, lambda: steps.verify_reset(run), files)
    steps.verify_reset(run)
    resumed(run)
    is_reported(run, owner, lambda: certify(run), [path for path in files if path.suffix != ".json"])
    certify(run)
    judge(owner, run, before)


def test_a_spreadsheet(owner: Engine, engine: Engine, storage: UPath) -> None:
    imagine_world(owner)
    run = run_of(engine, storage, "imagine_math")
    until_approved(run)
    steps.archive(run)
    files = one_of_each_kind(files_below(run, "exports"))
    assert {path.suffix for path in files} == {".xlsx", ".pdf", ".csv"}
    is_reported(run, owner, lambda: steps.erase(run), files)


def test_before_a_query_a_report_and_a_restore(run: Run, owner: Engine, tmp_path: Path) -> None:
    until_approved(run)
    steps.archive(run)
    steps.erase(run)
    files = some(files_below(run, "archive"), 4)
    assert "manifest.json" in {path.name for path in files}

    def query() -> Any:
        with archived(manifests.newest(run.storage), PLAIN) as connection:
            return ask(connection, "SELECT count(*) FROM tracking_events").fetchall()

    def report() -> Any:
        known, out = reports_of("hero")["behavior_history"], UPath(tmp_path / "out")
        return write_archived_report(run.engine, run.tenant, YEAR, known, run.district, out, PLAIN)

    def restore() -> Any:
        return into_schema(owner, run.tenant, YEAR, "back", PLAIN, by="dana", reason="asked for")

    for work in (query, report, restore):
        is_reported(run, owner, work, list(files))
    assert query() == [(12,)]
    assert report() and restore()["rows"]["hero.tracking_events"] == 12


@pytest.mark.slow
def test_every_byte_of_a_manifest_counts(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    (path,) = (path for path in files_below(run, "archive") if path.suffix == ".json")
    content = path.read_bytes()
    for at in some(range(len(content)), 37):
        with flipped(path, at), pytest.raises(ProofFailed, match=r"manifest\.json"):
            manifests.read(UPath(path))
    assert manifests.read(UPath(path)).plan_no == 1

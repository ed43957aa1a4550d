"""Storage that is full, read-only, or not there: the step says which file and what to do, leaves no part of a file,
and nothing is erased. Run again with room, it ends as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.errors import StorageFailed
from rollover.ledger.results import Planned
from rollover.run import Run
from rollover.storage import whole_file
from rollover.yearend import steps
from tests.support.certified import until_resumed
from tests.support.killable_steps import Step, can_mount, no_file_larger_than, read_only, small, with_storage
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.sampling import others_slow
from tests.support.small_district import everything, hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import HERO, RUN_ID, answer_to, certify, no_outbox, nobody, until_approved

BLOCK = 4096
mounted = pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a file system for a process")


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


def until_planned(run: Run) -> Planned:
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    return steps.plan(run)


def export(run: Run) -> Any:
    return steps.export_reports(run, no_outbox)


# Each step that writes files: what comes before it, the step, its folder below the storage.
WRITERS: dict[str, tuple[Callable[[Run], Any], Step, str]] = {
    "archive": (until_approved, steps.archive, "archive"),
    "exports": (until_planned, export, "exports"),
    "certificate": (until_resumed, certify, "certificates"),
}


def state(owner: Engine) -> dict[str, Any]:
    """Every row of the tenant. What is recorded before a file is written stays, whatever becomes of the step."""
    found = everything(owner, HERO, ["hero", "roster", "ledger"])
    del found["ledger.artifacts"]
    return found


def fails_in(run: Run, owner: Engine, prepare: Callable[[Path], None], name: str) -> Iterator[str]:
    """Run the step that writes once; yield what it said, if it failed. Then nothing is changed, and no part is left."""
    _, step, below = WRITERS[name]
    before = state(owner)
    ended = with_storage(prepare, Path(run.storage.path) / below, step, run)
    if ended.error is None:
        return
    assert ended.error == "StorageFailed", ended.said
    assert f"{run.storage / below}" in ended.said and "To go on: " in ended.said
    assert not [file for file in ended.files if file.endswith(".part")], ended.files
    assert state(owner) == before
    yield ended.said


@pytest.mark.parametrize("name", others_slow(list(WRITERS)))
def test_where_no_file_may_grow_it_stops(run: Run, owner: Engine, name: str) -> None:
    WRITERS[name][0](run)
    for size in (0, 100, 1000):
        (said,) = fails_in(run, owner, no_file_larger_than(size), name)
        assert "File too large. To go on: make room there" in said
    WRITERS[name][1](run)


@mounted
@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_storage_that_fills_up_at_any_file_stops_it(run: Run, owner: Engine, name: str) -> None:
    """Block by block, until all has room: the disk is full at each file in turn, also at the last, the manifest."""
    WRITERS[name][0](run)
    said = []
    for blocks in range(1, 500):
        reported = list(fails_in(run, owner, small(blocks * BLOCK), name))
        if not reported:
            break
        said += reported
    files = {text.partition(": ")[0] for text in said}
    assert all("No space left on device. To go on: make room there" in text for text in said)
    assert len(files) >= {"archive": 7, "exports": 8, "certificate": 2}[name], files


@mounted
@pytest.mark.parametrize("name", others_slow(list(WRITERS)))
def test_a_storage_that_is_read_only_stops_it(run: Run, owner: Engine, name: str) -> None:
    WRITERS[name][0](run)
    (said,) = fails_in(run, owner, read_only, name)
    assert "Read-only file system. To go on: let this account read and write there" in said
    WRITERS[name][1](run)


@pytest.mark.parametrize("name", WRITERS)
def test_a_storage_that_is_no_folder_stops_it(run: Run, name: str) -> None:
    before, step, below = WRITERS[name]
    before(run)
    (run.storage / below).parent.mkdir(parents=True, exist_ok=True)
    (run.storage / below).write_bytes(b"")
    with pytest.raises(StorageFailed, match=rf"/{below}/.*To go on: let this account read and write there"):
        step(run)
    (run.storage / below).unlink()
    step(run)


def test_what_filled_up_goes_on_with_room(run: Run, owner: Engine) -> None:
    before = rows_of_product(owner, run)
    plan = until_planned(run)
    full = no_file_larger_than(1000)
    for name in ("exports", "archive"):
        (_,) = fails_in(run, owner, full, name)
        WRITERS[name][1](run)
        if name == "exports":
            steps.approve(run, answer_to(plan))
    for step in (steps.erase, steps.reset, steps.verify_reset):
        step(run)
    judge(owner, run, before)


@pytest.mark.slow
def test_a_spreadsheet_that_does_not_fit_is_reported(owner: Engine, engine: Engine, storage: UPath) -> None:
    imagine_world(owner)
    run = run_of(engine, storage, "imagine_math")
    until_planned(run)
    folder = Path(run.storage.path) / "exports"
    for size in (100, 3000):
        ended = with_storage(no_file_larger_than(size), folder, export, run)
        assert (ended.error, ended.files) == ("StorageFailed", []), ended.said
        assert "student_data_export.xlsx: File too large" in ended.said
    export(run)


def test_an_error_that_may_be_over_in_a_minute_is_not_for_a_person(storage: UPath) -> None:
    with pytest.raises(TimeoutError), whole_file(storage / "file"):
        raise TimeoutError("the storage did not answer")

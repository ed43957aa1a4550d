"""A step is done once, and only as a whole: its work, its row in the ledger and its evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, delete
from upath import UPath

from rollover.database.tables import hero
from rollover.ledger.results import Archived
from rollover.ledger.steps import OpenStep, once
from rollover.run import Run
from rollover.yearend import steps
from tests.support.outboxes import NoOutbox
from tests.support.small_district import hero_world, rows, run_of

HERO = "hero__riverside-ca"
NOTHING = Archived(files=0, rows=0, bytes=0, key_id=None, manifest=None)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    """A rollover that may archive: its product asks for no approval."""
    hero_world(owner)
    run = run_of(engine, storage)
    run = replace(run, product=run.product.model_copy(update={"approval_required": False}))
    steps.guard(run, "scheduled__2025-26", lambda run_id: False)
    steps.pause_sync(run)
    steps.plan(run)
    steps.export_reports(run, NoOutbox())
    steps.approve(run, None)
    return run


def do(step: OpenStep[Archived]) -> None:
    step.connection.execute(delete(hero.tracking_events))


def test_a_finished_step_is_recorded_with_its_plan_and_is_done_from_then_on(run: Run, owner: Engine) -> None:
    with once(run, Archived) as step:
        assert step.done is None and step.plan.number == 1
        do(step)
        assert step.finish(NOTHING) == step.done == NOTHING
    assert rows(owner, "hero.tracking_events", HERO) == 0
    assert rows(owner, "ledger.steps", HERO, step="archive", plan_no=1) == 1
    assert rows(owner, "ledger.evidence", HERO, kind="archive") == 1
    with once(run, Archived) as again:
        assert again.done == NOTHING


def test_a_step_that_is_not_finished_leaves_nothing(run: Run, owner: Engine) -> None:
    before = rows(owner, "hero.tracking_events", HERO)
    unfinished = "archive of hero__riverside-ca__2025-26 is not finished"
    with pytest.raises(AssertionError, match=unfinished), once(run, Archived) as step:
        do(step)
    assert rows(owner, "hero.tracking_events", HERO) == before > 0
    assert rows(owner, "ledger.steps", HERO, step="archive") == 0


def test_a_step_that_is_done_cannot_be_finished_again(run: Run, owner: Engine) -> None:
    steps.archive(run)
    with pytest.raises(AssertionError, match="done twice"), once(run, Archived) as step:
        do(step)
        step.finish(NOTHING)
    assert rows(owner, "hero.tracking_events", HERO) > 0
    assert rows(owner, "ledger.evidence", HERO, kind="archive") == 1

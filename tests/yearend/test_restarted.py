"""PostgreSQL restarted in the middle of a step, as for an update and as by a machine that lost its power: the step
fails with what Airflow tries again, nothing is changed, and the next try ends right."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.database import migrate
from rollover.database.session import connect
from rollover.errors import DatabaseUnavailable, Refused
from rollover.run import Run
from rollover.yearend import steps
from rollover_demo.postgres import LOGIN, PostgresServer
from tests.support.certified import resumed
from tests.support.killable_steps import At, Step, before_each
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.sampling import cases
from tests.support.small_district import hero_world, imagine_world, run_of
from tests.yearend.test_killed import state
from tests.yearend.test_rollover_steps import RUN_ID, answer_to, certify, no_outbox, nobody

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DATABASE = "restarted"


class Restarted:
    """A server of this test's own, which is stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._modes = folder, cycle(["immediate", "fast"])
        self.server = PostgresServer(folder)
        self.server.create(DATABASE)
        migrate.upgrade(self.owner)
        self.server.create_login()

    @property
    def owner(self) -> Engine:
        return connect(self.server.url(DATABASE))

    @property
    def engine(self) -> Engine:
        return connect(self.server.url(DATABASE, user=LOGIN))

    def restart(self) -> None:
        self.server.stop(next(self._modes))
        self.server = PostgresServer(self._folder)


@pytest.fixture
def restarted() -> Iterator[Restarted]:
    folder = Path(tempfile.mkdtemp(prefix="rollover-restarted-"))
    ready = Restarted(folder / "pg")
    yield ready
    ready.server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def restart_in_the_middle(restarted: Restarted, run: Run, step: Step) -> None:
    """Run a step with a restart at some of its instants in turn, and then without one."""
    before = state(restarted.owner, run.tenant.id, run.tenant.product)
    hits, instant = 0, 1
    while True:
        at = At(instant, restarted.restart)
        try:
            with before_each(at):
                step(replace(run, engine=restarted.engine))
        except DatabaseUnavailable as error:
            assert not isinstance(error, Refused), "Airflow would not try it again"
        if at.count < instant:
            break
        if state(restarted.owner, run.tenant.id, run.tenant.product) != before:
            # Nothing of it was under way any more: it was done, and stays done.
            break
        hits += 1
        instant += cases(7, 1)
    assert hits >= 3, "nothing was restarted"
    step(replace(run, engine=restarted.engine))


@pytest.mark.parametrize("product", ["hero", "imagine_math"])
def test_restarted_in_the_middle_of_each_step(restarted: Restarted, storage: UPath, product: str) -> None:
    (hero_world if product == "hero" else imagine_world)(restarted.owner)
    run = run_of(restarted.engine, storage, product)
    before = rows_of_product(restarted.owner, run)
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)

    def export(own: Run) -> Any:
        return steps.export_reports(own, no_outbox)

    restart_in_the_middle(restarted, run, export)
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.reset):
        restart_in_the_middle(restarted, run, step)
    assert steps.verify_reset(run).rows_left == 0
    resumed(run)
    restart_in_the_middle(restarted, run, certify)
    judge(restarted.owner, run, before)

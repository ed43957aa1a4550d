"""A worker killed at any statement of a step, and the step run again: the same end as without the kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, event
from upath import UPath

from rollover import steps
from rollover.database.session import connect
from rollover.run import Run
from rollover.tenant import Tenant
from tests.test_rollover_steps import HERO, OTHER, until_approved
from tests.world import district, everything, hero_world, imagine_world, run_of

pytestmark = pytest.mark.slow

# When and by which run something happened differs from run to run, and so do the hashes over it.
TOLD_BY_THE_CLOCK = {"ledger.evidence", "ledger.steps", "ledger.plans", "ledger.pauses", "ledger.exports"}


def killed_at(statement: int, step: Callable[[Run], Any], run: Run) -> bool:
    """Run a step in a process that is killed before its nth statement or commit; False where it got to its end."""
    child = os.fork()
    if child == 0:
        engine = connect(run.engine.url)
        count = 0

        def die_in_time(*_: Any) -> None:
            nonlocal count
            count += 1
            if count == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(engine, "before_cursor_execute", die_in_time)
        event.listen(engine, "commit", die_in_time)
        try:
            step(Run(**{**vars(run), "engine": engine}))
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def state(owner: Engine, tenant_id: str, schema: str) -> dict[str, Any]:
    found = everything(owner, tenant_id, [schema, "roster", "ledger"])
    kept = {name: rows for name, rows in found.items() if name not in TOLD_BY_THE_CLOCK}
    # A time of read_back and the folder of the test are in the receipts; the rest of them must be equal.
    kept["ledger.archives"] = [(row[3], row[4], row[6], row[7], row[9]) for row in kept["ledger.archives"]]
    kept["ledger.rollovers"] = [row[1:8] for row in kept["ledger.rollovers"]]
    return kept


@pytest.mark.parametrize("product", ["hero", "imagine_math"])
def test_a_step_killed_at_any_statement_ends_as_if_it_were_not(
    owner: Engine, engine: Engine, storage: UPath, product: str
) -> None:
    """Riverside's steps are killed at every statement in turn; Lakeside, with equal ids, is never disturbed."""
    (hero_world if product == "hero" else imagine_world)(owner)
    day = date(2026, 7, 29)
    disturbed = run_of(engine, storage / "disturbed", product, district=district(own_reset_date=day))
    tenant_id, other_id = (name.replace("hero", product) for name in (HERO, OTHER))
    untouched = everything(owner, other_id, [product, "roster", "ledger"])
    until_approved(disturbed)
    kills = 0
    for step in (steps.archive, steps.erase, steps.reset):
        before = state(owner, tenant_id, product)
        statement = 1
        while killed_at(statement, step, disturbed):
            assert state(owner, tenant_id, product) == before, f"{step.__name__} left something at {statement}"
            statement += 1
        assert statement > 5, "the step has more statements than that: nothing was killed"
        kills += statement - 1
    assert kills > 40
    steps.verify_reset(disturbed)
    assert everything(owner, other_id, [product, "roster", "ledger"]) == untouched

    other_run = run_of(
        engine,
        storage / "undisturbed",
        product,
        tenant=Tenant(product, "lakeside-ca"),
        district=district("lakeside-ca", own_reset_date=day),
    )
    until_approved(other_run)
    for step in (steps.archive, steps.erase, steps.reset):
        step(other_run)
    assert rows_of(owner, tenant_id, product) == rows_of(owner, other_id, product)


def rows_of(owner: Engine, tenant_id: str, product: str) -> dict[str, list[str]]:
    """Every row of a tenant's product and roster, as text without the tenant's id."""
    found = everything(owner, tenant_id, [product, "roster"])
    return {name: sorted(repr(row).replace(tenant_id, "TENANT") for row in rows) for name, rows in found.items()}

"""A worker killed at any statement of a step, or while it writes a file, and the step run again: the same end as
without the kill."""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from upath import UPath

from rollover.database.tables.ledger import artifacts
from rollover.run import Run
from rollover.tenant import Tenant
from rollover.yearend import steps
from tests.support.killable_steps import Step, killed_at
from tests.support.outboxes import NoOutbox
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.small_district import district, everything, hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, RUN_ID, answer_to, nobody, until_approved

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# When and by which run something happened differs from run to run, and so do the hashes over it.
DIFFERS_PER_RUN = {"ledger.evidence", "ledger.steps", "ledger.plans", "ledger.pauses", "ledger.exports"}
DAY = date(2026, 7, 29)


def state(owner: Engine, tenant_id: str, schema: str) -> dict[str, Any]:
    found = everything(owner, tenant_id, [schema, "roster", "ledger"])
    kept = {name: rows for name, rows in found.items() if name not in DIFFERS_PER_RUN}
    del kept["ledger.artifacts"]  # what is recorded before a file is written stays, whatever becomes of the step
    kept["number of exports"] = len(found["ledger.exports"])
    # A time of read_back and the folder of the test are in the receipts; the rest of them must be equal.
    kept["ledger.archives"] = [(row[3], row[4], row[6], row[7], row[9]) for row in kept["ledger.archives"]]
    kept["ledger.rollovers"] = [row[1:8] for row in kept["ledger.rollovers"]]
    return kept


def kill_at_every_instant(owner: Engine, run: Run, step: Step) -> int:
    """Kill a step at each of its instants in turn, and then let it end; returns how many there were."""
    before = state(owner, run.tenant.id, run.tenant.product)
    instant = 1
    while killed_at(instant, step, run):
        assert state(owner, run.tenant.id, run.tenant.product) == before, f"something was left at {instant}"
        assert unrecorded(owner, run) == [], f"files that nobody knows were left at {instant}"
        instant += 1
    assert instant > 10, "the step has more instants than that: nothing was killed"
    return instant - 1


def unrecorded(owner: Engine, run: Run) -> list[str]:
    """Files in storage that were written without being recorded before; part files count by the name they aim at."""
    with owner.connect() as connection:
        known = set(connection.scalars(select(artifacts.c.path)))
    folders = tuple(path for path in known if path.endswith("/"))
    names = (re.sub(r"/\.([^/]+)\.[0-9a-f]{8}\.part$", r"/\1", f"/{name}") for name in names_below(run.storage))
    paths = [f"{run.storage}{name}" for name in names]
    return [path for path in paths if path not in known and not path.startswith(folders)]


def names_below(folder: UPath | Path) -> set[str]:
    root = Path(folder.path) if isinstance(folder, UPath) else folder
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("product", ["hero", "imagine_math"])
def test_a_step_killed_at_any_instant_ends_as_if_it_were_not(
    owner: Engine, engine: Engine, storage: UPath, product: str
) -> None:
    """Riverside's steps are killed at every instant in turn; Lakeside, with equal ids, is never disturbed."""
    (hero_world if product == "hero" else imagine_world)(owner)
    disturbed = run_of(engine, storage / "disturbed", product, district=district(own_reset_date=DAY))
    tenant_id, other_id = (name.replace("hero", product) for name in (HERO, OTHER))
    untouched = everything(owner, other_id, [product, "roster", "ledger"])
    before = rows_of_product(owner, disturbed)
    until_approved(disturbed)
    kills = sum(kill_at_every_instant(owner, disturbed, step) for step in (steps.archive, steps.erase, steps.reset))
    assert kills > 80
    steps.verify_reset(disturbed)
    judge(owner, disturbed, before)
    assert not [name for name in names_below(disturbed.storage) if name.endswith(".part")]
    assert everything(owner, other_id, [product, "roster", "ledger"]) == untouched

    other_run = run_of(
        engine,
        storage / "undisturbed",
        product,
        tenant=Tenant(product, "lakeside-ca"),
        district=district("lakeside-ca", own_reset_date=DAY),
    )
    until_approved(other_run)
    for step in (steps.archive, steps.erase, steps.reset):
        step(other_run)
    assert rows_of(owner, tenant_id, product) == rows_of(owner, other_id, product)


@pytest.mark.parametrize("product", ["hero", "imagine_math"])
def test_exports_killed_at_any_instant_are_all_there_once(
    owner: Engine, engine: Engine, storage: UPath, product: str, tmp_path: Path
) -> None:
    (hero_world if product == "hero" else imagine_world)(owner)
    run = run_of(engine, storage, product, district=district(own_reset_date=DAY))
    before = rows_of_product(owner, run)
    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    plan = steps.plan(run)

    def deliver(file: UPath, remote: str) -> None:
        target = tmp_path / remote.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, target)

    kill_at_every_instant(owner, run, lambda own: steps.export_reports(own, NoOutbox(deliver)))
    receipts = everything(owner, run.tenant.id, ["ledger"])["ledger.exports"]
    year = Path(f"exports/{product}/riverside-ca/2025-26")
    written, delivered = names_below(run.storage / str(year)), names_below(tmp_path / "riverside-ca")
    assert len(written) == len(receipts), "a killed writer's part is left, or a file has no receipt"
    assert delivered == {f"{product}/outbox/2025-26/{name}" for name in written}
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.reset, steps.verify_reset):
        step(run)
    judge(owner, run, before)


def rows_of(owner: Engine, tenant_id: str, product: str) -> dict[str, list[str]]:
    """Every row of a tenant's product and roster, as text without the tenant's id."""
    found = everything(owner, tenant_id, [product, "roster"])
    return {name: sorted(repr(row).replace(tenant_id, "TENANT") for row in rows) for name, rows in found.items()}

"""Archived years: Riverside's, with both schools subscribed unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine, update
from upath import UPath

from rollover.config import Action, Product
from rollover.database.tables import directory
from rollover.run import Run
from rollover.yearend import steps
from tests.support.small_district import hero_world, imagine_world, run_of
from tests.yearend.test_rollover_steps import until_approved


def subscribe_all(owner: Engine) -> None:
    with owner.begin() as connection:
        found = directory.subscriptions
        active = {"state": "active", "ends_on": found.c.starts_on + 2000}
        connection.execute(update(found).values(**active))


def archiving(product: Product) -> Product:
    """A product that archives where it erases: no product file of today does that to Imagine's data."""
    rules = {
        name: rule.model_copy(update={"action": Action.ARCHIVE_OR_ERASE}) if rule.action is Action.ERASE else rule
        for name, rule in product.data_classes.items()
    }
    return product.model_copy(update={"data_classes": rules})


def run_for(product: str, owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner) if product == "hero" else imagine_world(owner, product)
    subscribe_all(owner)
    run = run_of(engine, storage, product)
    return replace(run, product=archiving(run.product))


def until_archived(run: Run) -> None:
    until_approved(run)
    steps.archive(run)


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    return run_for("hero", owner, engine, storage)

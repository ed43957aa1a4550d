"""Waiting in the triggerer, without a worker: for drops, and for the new year's roster."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from rollover.adapter.connections import engine, sftp
from rollover.adapter.runs import catalog, only_current_year, open_run
from rollover.database.session import tenant_session
from rollover.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from rollover.roster.intake.watch import Place, Watch

log = logging.getLogger(__name__)

CATALOG_SECONDS = 300.0
"""How long the watch uses the district files before it reads them again."""


_watches: dict[float, Watch] = {}
"""By settle time. They outlive the triggers, so that a drop need not be observed from the beginning by the next one."""


class DropsSettledTrigger(BaseTrigger):
    """Fires when at least one new drop has settled, with all settled drops that the ledger does not have yet."""

    def __init__(self, settle_seconds: float, poll_seconds: float) -> None:
        super().__init__()
        self.settle_seconds = settle_seconds
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"settle_seconds": self.settle_seconds, "poll_seconds": self.poll_seconds}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from rollover.roster.intake.watch import Watch, places

        watch = _watches.setdefault(self.settle_seconds, Watch(self.settle_seconds))
        where: tuple[Place, ...] = ()
        read_at = float("-inf")
        while True:
            await asyncio.sleep(self.poll_seconds)  # first: see Airflow's race in RosterReadyTrigger
            try:
                if time.monotonic() - read_at > CATALOG_SECONDS:
                    where, read_at = places(await asyncio.to_thread(catalog)), time.monotonic()
                found = await asyncio.to_thread(watch.look, where, engine, sftp, time.monotonic())
                if found:
                    yield TriggerEvent([drop.as_json() for drop in found])
                    return
            except Exception:  # a trigger that raises would end the watch
                log.exception("cannot look for drops; trying again")


class RosterReadyTrigger(BaseTrigger):
    """Fires with the id of the import that brings in a tenant's school year, once there is one."""

    def __init__(self, tenant_id: str, school_year: str, poll_seconds: float) -> None:
        super().__init__()
        self.tenant_id = tenant_id
        self.school_year = school_year
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("tenant_id", "school_year", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            # First, also when the roster is there already: the scheduler takes a task for lost that is queued
            # again before it has heard from the executor that the task had deferred.
            await asyncio.sleep(self.poll_seconds)
            try:
                import_id = await asyncio.to_thread(self.find)
                if import_id is not None:
                    yield TriggerEvent(import_id)
                    return
            except Exception:  # the database may be restarted in the weeks of a summer
                log.exception("cannot read the ledger; trying again")

    def find(self) -> str | None:
        """The import, as the ledger has it now."""
        from rollover.roster.imports.queue import awaited_import

        with tenant_session(engine(), self.tenant_id) as connection:
            return awaited_import(connection, self.school_year)


class WaitForDrops(BaseOperator):
    """Waits, without a worker, until drops have settled; returns them as JSON."""

    def execute(self, context: Context) -> None:
        settings = Settings()
        self.defer(trigger=DropsSettledTrigger(settings.settle_seconds, settings.poll_seconds), method_name="found")

    def found(self, context: Context, event: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return event


class AwaitRoster(BaseOperator):
    """Waits, without a worker, for the new year's roster; returns its import id. A past year waits for none."""

    def __init__(self, *, tenant_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant_id = tenant_id

    def execute(self, context: Context) -> str:
        run = open_run(context["dag_run"].partition_key, self.tenant_id)
        only_current_year(run)
        trigger = RosterReadyTrigger(self.tenant_id, run.school_year.next.key, Settings().poll_seconds)
        if import_id := trigger.find():
            return import_id
        self.defer(trigger=trigger, method_name="found")

    def found(self, context: Context, event: str) -> str:
        return event

"""Finds everything that people ask about one tenant, in sentences; support must be able to name the date of the last
import file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from rollover.config import Catalog
from rollover.database.tables.ledger import imports
from rollover.ledger import holds
from rollover.roster.imports import ImportState
from rollover.season.facts import ImportFacts
from rollover.season.read import read_tenant
from rollover.season.state import TenantState
from rollover.texts import render


@dataclass(frozen=True)
class ImportInReview:
    """A roster import in review: since when, and why."""

    import_id: str
    since: datetime
    reason: str | None


@dataclass(frozen=True)
class TenantDetail:
    """A tenant's years, newest first (none if the directory lacks it), its open holds in words, without a student, and
    its roster imports in review, oldest first."""

    states: list[TenantState]
    holds: list[str]
    in_review: list[ImportInReview]

    @property
    def sentences(self) -> list[str]:
        """Current year, sync, holds, last import and its file dates, open work, and each year with what it has left."""
        return render(
            "tenant_detail.txt.j2",
            states=self.states,
            holds=self.holds,
            in_review=self.in_review,
            in_words=import_in_words,
        ).splitlines()


def detail_of(connection: Connection, known: Catalog, now: datetime) -> TenantDetail:
    """What is known of the session's tenant as of `now`."""
    rows = imports.c
    waiting = select(rows.import_id, rows.changed_at, rows.reason).where(rows.state == ImportState.IN_REVIEW)
    return TenantDetail(
        states=read_tenant(connection, known, now),
        holds=[f"{hold}, set by {hold.set_by}" for hold in holds.in_force(connection)],
        in_review=[ImportInReview(*row) for row in connection.execute(waiting.order_by(rows.found_at, rows.import_id))],
    )


def import_in_words(found: ImportFacts) -> str:
    """A drop in a line: its result and when, its school year, the dates of its files, and its numbers."""
    return render("import.txt.j2", found=found)

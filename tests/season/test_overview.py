"""The season summed up: planned against done, and in which season a day is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.run import Run
from rollover.season.overview import Overview, overview, season_year
from rollover.season.phases import Phase
from rollover.season.read import read_season
from rollover.yearend import steps
from tests.season.test_state import catalog
from tests.support import certified
from tests.support.small_district import hero_world, run_of
from tests.yearend.test_rollover_steps import certify, until_reset


@pytest.fixture
def run(owner: Engine, engine: Engine, storage: UPath) -> Run:
    hero_world(owner)
    return run_of(engine, storage)


@pytest.mark.parametrize(
    ("day", "year"), [((2026, 1, 1), "2025-26"), ((2026, 12, 31), "2025-26"), ((2027, 1, 1), "2026-27")]
)
def test_the_season_of_a_day(day: tuple[int, int, int], year: str) -> None:
    assert season_year(datetime(*day, tzinfo=UTC)).key == year


def test_planned_against_done(run: Run) -> None:
    def look(now: datetime | None = None) -> Overview:
        now = now or datetime.now(UTC)
        season = read_season(run.engine, catalog(run), now, year=run.school_year)
        return overview(season.states, run.school_year, now)

    def counts(found: Overview) -> tuple[int, ...]:
        (day,) = found.by_day
        assert day.day == run.reset_date and (day.planned, day.reset, day.certified) == (
            1,
            found.reset,
            found.certified,
        )
        return found.tenants, found.due, found.reset, found.certified

    day = datetime(run.reset_date.year, run.reset_date.month, run.reset_date.day, tzinfo=UTC)
    assert counts(look(day - timedelta(days=15))) == (1, 0, 0, 0)
    assert look(day - timedelta(days=15)).upcoming == []
    assert [state.tenant for state in look(day - timedelta(days=14)).upcoming] == [run.tenant]
    assert [state.tenant for state in look(day).upcoming] == [run.tenant]
    assert look(day + timedelta(days=1)).upcoming == []
    until_reset(run)
    assert counts(look()) == (1, 1, 0, 0)
    steps.verify_reset(run)
    assert counts(look()) == (1, 1, 1, 0)
    certified.resumed(run)
    certify(run)
    found = look()
    assert counts(found) == (1, 1, 1, 1)
    assert [(each.phase, each.tenants, each.late) for each in found.by_phase] == [(Phase.CERTIFIED, 1, 0)]
    assert look().upcoming == []

"""A pause that lasts too long fails a task of the nightly sync, every night, and keeps no other from running."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.sdk import DAG
from sqlalchemy import Engine, insert

from rollover.database.tables import ledger
from tests.support.run_dag import run_dag
from tests.support.small_district import NOW

HERO = "hero__riverside-ca"


@pytest.mark.slow
@pytest.mark.parametrize(("days", "ends_as"), [(29, "skipped"), (31, "failed")])
def test_it_is_reported_every_night(
    airflow: Callable[[str], DAG],
    riverside: Path,
    owner: Engine,
    days: int,
    ends_as: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with owner.begin() as connection:
        pause = {
            "paused_by": f"{HERO}__2025-26",
            "reason": "rollover of 2025-26",
            "paused_at": NOW - timedelta(days=days),
        }
        connection.execute(insert(ledger.pauses).values(tenant_id=HERO, **pause))
    for _ in range(2):
        night = run_dag(airflow("roster_sync"))
        assert night.state_of("overdue_pauses") == ends_as
        assert night.state == ("failed" if ends_as == "failed" else "success")
        assert (night.state_of("due"), night.state_of("wake"), night.state_of("tidy")) == (
            "success",
            "skipped",
            "skipped",
        )
        reported = (
            f"{HERO} since 2026-07-01 12:00 UTC by {HERO}__2025-26 (31 days; 30 are allowed)" in capfd.readouterr().out
        )
        assert reported is (ends_as == "failed")

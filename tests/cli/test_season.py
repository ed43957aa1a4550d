"""`rollover season`: totals, who resets next and whether they were informed, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from rollover import cli
from rollover.cli.context import Context
from rollover.cli.season import SeasonTotals
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import Refused
from rollover.ledger import failures
from rollover.ledger.failures import Failed
from rollover.ledger.results import Step
from rollover.run import Run
from tests.cli.conftest import Shown
from tests.cli.test_output import Terminal
from tests.cli.test_status import HERO, LAKESIDE, add_lakeside

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def season(run: Run, owner: Engine, districts: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Riverside's reset is near, its district was informed; Lakeside's is later than two weeks."""
    monkeypatch.setattr(Context, "now", NOW)
    add_lakeside(districts)
    with owner.begin() as connection:
        row = {"kind": "reset_in_2_weeks", "school_year": "2025-26", "about": str(run.reset_date), "channel": "mail"}
        row |= {"role": "district_it", "decided_at": NOW, "sent_at": NOW - timedelta(days=1)}
        connection.execute(insert(ledger.notices).values(tenant_id=HERO, **row))
    return run


def test_who_resets_next_and_whether_they_were_informed(season: Run, shown: Shown) -> None:
    content = shown(SeasonTotals, "season")
    totals = ("school_year", "tenants", "due", "reset", "certified")
    assert [content[name] for name in totals] == ["2025-26", 2, 0, 0, 0]
    assert content["by_phase"] == [
        {"phase": "scheduled", "tenants": 1, "late": 0},
        {"phase": "informed", "tenants": 1, "late": 0},
    ]
    (near,) = content["next_resets"]
    assert (near["tenant"], near["district"], near["reset_date"]) == (HERO, "Riverside", "2026-07-10")
    assert near["informed_at"] == "2026-06-30T12:00:00+00:00"
    assert [(day["day"], day["planned"]) for day in content["by_day"]] == [("2026-07-10", 1), ("2026-07-20", 1)]
    assert content["late"] == []


def test_what_is_late(season: Run, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "now", datetime(2026, 7, 16, tzinfo=UTC))
    with tenant_session(season.engine, LAKESIDE) as connection:
        where = Failed(Step.GUARD, "a run", NOW, rollover_id=f"{LAKESIDE}__2025-26")
        failures.record(connection, LAKESIDE, where, Refused("The key is missing.", "set it."))
    content = shown(SeasonTotals, "season")
    assert (content["due"], content["next_resets"]) == (1, [])
    stopped, passed = content["late"]
    assert (stopped["tenant"], stopped["severity"], stopped["waits_for"]) == (LAKESIDE, "wrong", "data_engineer")
    assert stopped["summary"] == "Refused at guard: The key is missing."
    assert (passed["tenant"], passed["severity"]) == (HERO, "late")
    assert passed["alarms"] == ["The reset date 2026-07-10 has passed without a run: look at the DAG of this tenant."]
    assert {each["phase"]: each["late"] for each in content["by_phase"]} == {"informed": 1, "refused": 1}


def test_another_year_and_who_has_left(season: Run, districts: Path, shown: Shown) -> None:
    assert shown(SeasonTotals, "season", "--year", "2024-25")["tenants"] == 0
    file = districts / "lakeside-ca.yaml"
    file.write_text(file.read_text().replace("reset_dates: {2025-26: 2026-07-20}", "last_school_year: 2024-25"))
    file.write_text(file.read_text().replace("first_school_year: 2025-26", "first_school_year: 2024-25"))
    assert shown(SeasonTotals, "season", "--year", "2025-26")["tenants"] == 1


def test_a_pipe_and_a_terminal(
    season: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["season"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "2025-26 scheduled: 1",
        "2025-26 informed: 1",
        "2025-26: 2 planned, 0 due by today, 0 reset, 0 certified",
        "Resets in the next 14 days: 1",
        f"  2026-07-10 {HERO} (Riverside): informed on 2026-06-30",
        "Late or stopped: none",
    ]
    terminal = Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout", terminal)
    assert cli.main(["season"]) == 0
    assert "Phase" in terminal.getvalue() and "Resets in the next 14 days: 1" in terminal.getvalue()

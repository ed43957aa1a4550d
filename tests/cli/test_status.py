"""`rollover status`: a line in a pipe, a table on a terminal, JSON; filters; everything about one tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, update

from rollover import cli
from rollover.cli.context import Context
from rollover.cli.lint import NotReady
from rollover.cli.parameters import PHASES, WAITS_FOR
from rollover.cli.status import Statuses
from rollover.database.session import connect, tenant_session
from rollover.database.tables import directory, ledger
from rollover.errors import Refused
from rollover.ledger import failures, holds
from rollover.ledger.failures import Failed
from rollover.ledger.results import Step
from rollover.run import Run
from rollover.season.phases import Phase, WaitsFor
from tests.cli.conftest import Shown
from tests.cli.test_output import Terminal
from tests.support.small_district import NORTH

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HERO, LAKESIDE = "hero__riverside-ca", "hero__lakeside-ca"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is late yet."""
    monkeypatch.setattr(Context, "now", NOW)


@pytest.fixture
def paused(run: Run, owner: Engine) -> Run:
    """Paused for a day, with a hold on one student."""
    with owner.begin() as connection:
        row = {"paused_by": run.id, "reason": "rollover of 2025-26", "paused_at": NOW - timedelta(hours=30)}
        connection.execute(insert(ledger.pauses).values(tenant_id=HERO, **row))
    with tenant_session(run.engine, HERO, exclusive=True) as connection:
        holds.place(connection, HERO, holds.LEGAL, reason="case 7", by="rollover", student_id="n1")
    return run


@pytest.fixture
def failed(run: Run) -> Run:
    """The current year was refused, while a backfill of the year before runs."""
    year = run.school_year.previous.key
    with tenant_session(run.engine, HERO) as connection:
        row = {"rollover_id": f"{HERO}__{year}", "school_year": year, "reset_date": run.reset_date, "state": "running"}
        row |= {"reset_at": run.reset_at, "is_current": False, "run_id": "backfill"}
        connection.execute(insert(ledger.rollovers).values(tenant_id=HERO, **row))
        where = Failed(Step.GUARD, "a run", datetime.now(UTC), rollover_id=run.id)
        failures.record(connection, HERO, where, Refused("The backfill is not finished.", "finish it first."))
    return run


@pytest.fixture
def lakeside(run: Run, districts: Path) -> Run:
    add_lakeside(districts)
    return run


def add_lakeside(districts: Path) -> None:
    """A second district, with a year that has not begun."""
    content = (districts / "riverside-ca.yaml").read_text()
    content = content.replace("riverside-ca", "lakeside-ca").replace("name: Riverside", "name: Lakeside")
    (districts / "lakeside-ca.yaml").write_text(content + "    reset_dates: {2025-26: 2026-07-20}\n")


def drop(owner: Engine, state: str, **values: Any) -> str:
    import_id, found = f"{HERO}__0123456789ab", datetime(2026, 8, 1, 3, tzinfo=UTC)
    files = [{"name": "users.csv", "size": 5, "modified": int((found - timedelta(days=1)).timestamp())}]
    row = {"drop_id": import_id, "folder": "/f", "fingerprint": "x", "files": files, "found_at": found}
    with owner.begin() as connection:
        connection.execute(insert(ledger.drops).values(tenant_id=HERO, **row))
        more = {"import_id": import_id, "state": state, "found_at": found, "changed_at": found, **values}
        connection.execute(insert(ledger.imports).values(tenant_id=HERO, **more))
    return import_id


def tenants(shown: Shown, *arguments: str) -> list[str]:
    return [row["tenant"] for row in shown(Statuses, "status", *arguments)["tenants"]]


def test_json(paused: Run, shown: Shown) -> None:
    content: dict[str, Any] = shown(Statuses, "status", "riverside-ca")
    (row,) = content["tenants"]
    assert (row["tenant"], row["problems"], content["problems"]) == (HERO, [], [])
    assert (row["school_year"], row["last_drop"], row["days_paused"]) == ("2025-26", None, 1)
    assert (row["next_date"], row["next_why"]) == (paused.reset_date.isoformat(), "default reset date")
    detail = row["detail"]
    assert (detail["current_school_year"], detail["live_roster"]) == ("2025-26", None)
    assert detail["pause"]["by"] == paused.id and detail["pause"]["since"].endswith("+00:00")
    (hold,) = detail["holds"]
    assert "on one student" in hold and "n1" not in hold and NORTH not in hold
    assert hold in detail["sentences"]


def test_a_pipe_gets_one_line_per_tenant(paused: Run, lakeside: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 0
    there, here = capsys.readouterr().out.splitlines()
    assert here.startswith(f"{HERO}: 2025-26: Scheduled: resets on {paused.reset_date}; next {paused.reset_date}: ")
    assert "; last drop: none; paused for 1 day" in here and "\x1b" not in here
    assert there.startswith(f"{LAKESIDE}: 2025-26: Scheduled: resets on 2026-07-20; next 2026-07-20: own reset date")
    assert cli.main(["status", HERO]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "; current school year 2025-26; sync paused since " in line and f" by {paused.id}: rollover of" in line
    assert "; legal hold 1 on one student since " in line and ", set by rollover; last import: none; " in line


def test_a_terminal_gets_a_table(
    paused: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    drop(owner, "rejected", reason="refused for no_people")
    monkeypatch.setattr("rollover.cli.status.not_ready", problem_of_riverside)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert cli.main(["status", HERO]) == 0
    said = terminal.getvalue()
    for part in ("Waits for", HERO, "2025-26", "scheduled", "rejected 2026-08-01", "1 day", "one student"):
        assert part in said
    assert "the DAG is paused" in said and "newest drop: rejected 2026-08-01 03:00 UTC, year unknown, files of" in said
    assert "\x1b" not in said


def problem_of_riverside(context: Context, tenants: Any) -> list[NotReady]:
    return [NotReady(HERO, "the DAG is paused")]


def test_a_refused_year_is_shown_and_the_backfill_named(
    failed: Run, shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = shown(Statuses, "status")["tenants"]
    assert (row["school_year"], row["phase"], row["waits_for"]) == ("2025-26", "refused", "data_engineer")
    assert row["summary"] == "Refused at guard: The backfill is not finished."
    assert [(year["school_year"], year["phase"]) for year in row["other_years"]] == [("2024-25", "exporting")]
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "; waits for data engineer; since " in said and "; also 2024-25: Exporting: " in said
    (row,) = shown(Statuses, "status", "--phase", "exporting")["tenants"]
    assert (row["school_year"], [year["school_year"] for year in row["other_years"]]) == ("2024-25", ["2025-26"])


def test_filters(failed: Run, lakeside: Run, shown: Shown) -> None:
    assert tenants(shown) == [LAKESIDE, HERO]
    assert tenants(shown, "--phase", "scheduled") == [LAKESIDE]
    assert tenants(shown, "--waits-for", "data_engineer") == [HERO]
    assert tenants(shown, "--waits-for", "district_it") == []
    assert tenants(shown, "--late") == [HERO]
    assert tenants(shown, "--late", "--phase", "scheduled") == []
    assert tenants(shown, "lakeside-ca", "--late") == []
    assert tenants(shown, "--product", "hero", "--phase", "refused") == [HERO]
    assert tenants(shown, "--product", "imagine_math") == []


def test_a_wrong_filter_is_an_error(districts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--phase", "waiting"]) == 2
    assert "'waiting' is none of: scheduled, informed, " in capsys.readouterr().err
    assert cli.main(["status", "--waits-for", "district-it"]) == 2
    assert "did you mean 'district_it'?" in capsys.readouterr().err


def test_the_words_of_filters_are_those_of_the_season() -> None:
    assert tuple(PHASES) == tuple(Phase) and tuple(WAITS_FOR) == tuple(WaitsFor)


def test_a_tenant_that_the_directory_lacks_is_said(run: Run, owner: Engine, shown: Shown, capsys: Any) -> None:
    assert tenants(shown) == [HERO]
    with owner.begin() as connection:
        for table in (directory.subscriptions, directory.schools, directory.tenants):
            connection.execute(table.delete())
    (row,) = shown(Statuses, "status", HERO)["tenants"]
    assert (row["school_year"], row["phase"], row["severity"]) == (None, None, "wrong")
    assert row["summary"] == "not in the directory"
    assert row["problems"] == ["the directory lacks this tenant; add it there, with its schools and subscriptions"]
    assert tenants(shown, "--phase", "scheduled") == []


def test_a_year_that_is_no_longer_the_current_one_is_gone(run: Run, owner: Engine, shown: Shown) -> None:
    assert shown(Statuses, "status", HERO)["tenants"][0]["detail"]["current_school_year"] == "2025-26"
    with owner.begin() as connection:
        connection.execute(update(directory.tenants).values(current_school_year="2026-27"))
    (row,) = shown(Statuses, "status", HERO)["tenants"]
    assert [year["school_year"] for year in row["detail"]["years"]] == ["2026-27"]


def test_all_tenants_cost_as_many_queries_as_one(
    run: Run, districts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def connected(url: str) -> Engine:
        engine = connect(url)
        event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        return engine

    def queries() -> tuple[int, int]:
        asked.clear()
        assert cli.main(["status"]) == 0
        return len(capsys.readouterr().out.splitlines()), len(asked)

    monkeypatch.setattr("rollover.database.session.connect", connected)
    (one, of_one), _ = queries(), add_lakeside(districts)
    two, of_two = queries()
    assert (one, two) == (1, 2) and of_one == of_two > 0

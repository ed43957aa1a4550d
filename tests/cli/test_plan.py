"""`rollover plan`."""

from __future__ import annotations

import pytest

from rollover import cli
from rollover.cli.context import Context
from rollover.cli.plan import Plans
from rollover.run import Run
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"


def test_plan(run: Run, shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "run", lambda self, tenant, year: run)  # as of a day that its subscriptions know
    (plan,) = shown(Plans, "plan", "riverside-ca", "--year", "2025-26")["plans"]
    assert (plan["tenant"], plan["school_year"]) == (HERO, "2025-26") and plan["as_of"].startswith("2026-07-")
    assert {"archive", "erase", "reset"} <= {line["action"] for line in plan["lines"]}
    assert all(line["rows"] > 0 and line["table"].startswith("hero.") for line in plan["lines"])
    assert cli.main(["plan", HERO, "--year", "2025-26"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"# {HERO} 2025-26, as of {plan['as_of']}\n\n") and "| School | Data class |" in said

"""`rollover plan`, `export`, `evidence verify`, `residue` and `person list`: JSON of what they show."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rollover import cli
from rollover.cli.context import Context
from rollover.cli.evidence import Chains
from rollover.cli.export import Exported
from rollover.cli.person import Persons
from rollover.cli.plan import Plans
from rollover.cli.residue import ResidueResult
from rollover.run import Run
from rollover.yearend import steps
from tests.cli.conftest import Shown
from tests.ledger.test_evidence import chain_of, tamper
from tests.yearend.test_rollover_steps import RUN_ID, nobody

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


def test_export(run: Run, shown: Shown, tmp_path: Path) -> None:
    out = tmp_path / "out"
    content = shown(Exported, "export", HERO, "2025-26", "--out", str(out), "--report", "tardies")
    (report,) = content["reports"]
    (file,) = report["files"]
    assert (report["report"], report["rows"]) == ("tardies", file["rows"])
    assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"]


def test_evidence(run: Run, owner, shown: Shown) -> None:  # type: ignore[no-untyped-def]
    steps.guard(run, RUN_ID, nobody)
    chain = chain_of(run)
    row = {"tenant": HERO, "entries": 1, "head": chain.head, "is_intact": True, "first_broken": None, "wrong": []}
    assert shown(Chains, "evidence", "verify") == {"certificate": None, "chains": [row]}
    tamper(owner, "UPDATE ledger.evidence SET facts = '{}' WHERE tenant_id = :t")
    (broken,) = shown(Chains, "evidence", "verify", HERO, code=1)["chains"]
    assert broken["is_intact"] is False and broken["first_broken"] == chain_of(run).broken[0] and broken["wrong"]


def test_residue_names_what_is_found_and_what_was_not_asked(run: Run, shown: Shown) -> None:
    content = shown(ResidueResult, "residue", HERO, "2025-26", code=1)
    assert (content["rollover"], content["kept"]) == (f"{HERO}__2025-26", [])
    assert any("rows of 2025-26 in hero.tracking_events" in found for found in content["found"])
    assert any("was not asked" in found for found in content["found"])


def test_persons(run: Run, shown: Shown) -> None:
    assert {"dana", "kim"} <= set(shown(Persons, "person", "list")["persons"])

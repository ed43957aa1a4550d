"""`rollover evidence verify`."""

from __future__ import annotations

from rollover.cli.evidence import Chains
from rollover.run import Run
from rollover.yearend import steps
from tests.cli.conftest import Shown
from tests.ledger.test_evidence import chain_of, tamper
from tests.yearend.test_rollover_steps import RUN_ID, nobody

HERO = "hero__riverside-ca"


def test_evidence(run: Run, owner, shown: Shown) -> None:  # type: ignore[no-untyped-def]
    steps.guard(run, RUN_ID, nobody)
    chain = chain_of(run)
    row = {"tenant": HERO, "entries": 1, "head": chain.head, "is_intact": True, "first_broken": None, "wrong": []}
    assert shown(Chains, "evidence", "verify") == {"certificate": None, "chains": [row]}
    tamper(owner, "UPDATE ledger.evidence SET facts = '{}' WHERE tenant_id = :t")
    (broken,) = shown(Chains, "evidence", "verify", HERO, code=1)["chains"]
    assert broken["is_intact"] is False and broken["first_broken"] == chain_of(run).broken[0] and broken["wrong"]

"""`rollover residue`."""

from __future__ import annotations

from rollover.cli.residue import ResidueResult
from rollover.run import Run
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"


def test_residue_names_what_is_found_and_what_was_not_asked(run: Run, shown: Shown) -> None:
    content = shown(ResidueResult, "residue", HERO, "2025-26", code=1)
    assert (content["rollover"], content["kept"]) == (f"{HERO}__2025-26", [])
    assert any("rows of 2025-26 in hero.tracking_events" in found for found in content["found"])
    assert any("was not searched" in found for found in content["found"])

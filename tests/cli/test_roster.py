"""`rollover roster`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover import cli
from rollover.cli.roster import Decision, ImportsInReview
from tests.cli.conftest import Shown
from tests.roster.test_decision import Desk
from tests.support.roster.school_years import TENANT


@pytest.fixture
def import_id(
    districts: Path,
    owner: Engine,
    engine: Engine,
    storage: UPath,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """An import that is held; dana runs the commands."""
    product, _, district = TENANT.partition("__")
    text = (districts / "riverside-ca.yaml").read_text()
    (districts / "riverside-ca.yaml").unlink()
    (districts / f"{district}.yaml").write_text(text.replace("riverside-ca", district).replace("hero:", f"{product}:"))
    desk = Desk(owner, engine, storage)
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    return desk.drop(desk.half(), 1)


def test_held_and_decide(import_id: str, shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = shown(ImportsInReview, "roster", "in-review")["imports"]
    assert (row["tenant"], row["import_id"]) == (TENANT, import_id)
    assert row["answers"] == ["approve", "additions-only", "discard"] and "|" in row["question"]
    assert cli.main(["roster", "in-review", TENANT]) == 0
    assert capsys.readouterr().out.endswith("1 import is in review\n")
    call = ("roster", "decide", TENANT, import_id)
    more = ("--seen", row["seen"][:12], "--reason", "half of it is missing")
    assert cli.main([*call, "perhaps", *more]) == 2
    assert "is none of: approve" in capsys.readouterr().err
    decided = shown(Decision, *call, "discard", *more)
    assert decided == {"import_id": import_id, "state": "rejected", "is_decided": True, "outcome": "Discard"}
    assert shown(Decision, *call, "discard", *more, code=1)["is_decided"] is False
    assert shown(ImportsInReview, "roster", "in-review") == {"imports": []}

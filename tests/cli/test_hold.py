"""`rollover hold`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollover import cli
from rollover.cli.hold import Holds
from rollover.run import Run
from tests.cli.conftest import Shown

REASON = ("--reason", "records request")
SET = ("hold", "set", "riverside-ca", "--kind", "inspection", "--student", "n1", *REASON)


def test_set_list_and_lift(
    dana: Run,
    shown: Shown,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(SET) == 0
    assert "open inspection request 1 on one student since" in capsys.readouterr().out
    (hold,) = shown(Holds, "hold", "list")["holds"]
    assert "n1" not in str(hold) and hold["lifted_at"] is None
    assert {name: hold[name] for name in ("tenant", "hold", "kind", "scope", "set_by", "reason")} == {
        "tenant": "hero__riverside-ca",
        "hold": 1,
        "kind": "inspection",
        "scope": "one student",
        "set_by": "dana",
        "reason": "records request",
    }
    lift = ["hold", "lift", "hero__riverside-ca", "1", "--reason", "handed over"]
    assert cli.main(lift) == 1 and "a second person lifts it" in capsys.readouterr().err
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("kim"))
    assert cli.main(lift) == 0
    assert shown(Holds, "hold", "list") == {"holds": []}
    (lifted,) = shown(Holds, "hold", "list", "--all")["holds"]
    assert (lifted["lifted_by"], lifted["lift_reason"]) == ("kim", "handed over") and lifted["lifted_at"]
    assert cli.main(["hold", "list", "--all"]) == 0
    assert "; lifted " in capsys.readouterr().out


def test_a_shared_login_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(SET) == 1
    assert "is shared" in capsys.readouterr().err

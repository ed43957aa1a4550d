"""`rollover roster`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, update
from upath import UPath

from rollover import cli
from rollover.cli.roster import Decision, ImportsInReview
from rollover.cli.roster_imports import ANOTHER_FILE, ImportShown, RosterImports
from rollover.database.tables import ledger
from tests.cli.conftest import Shown
from tests.cli.test_output import Terminal
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


def test_list_and_show(
    import_id: str, owner: Engine, shown: Shown, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = shown(ImportsInReview, "roster", "in-review")["imports"][0]["seen"]
    why = ("--seen", digest, "--reason", "half of it is missing")
    shown(Decision, "roster", "decide", TENANT, import_id, "discard", *why)
    details = {"schema_version": 1, "rows": {"users.csv": 30}, "errors": {"bad_date": 4000, "no_valid_rows": 1}}
    details["validation"] = {"taken": {"users.csv": 20}, "repeated": {"users.csv": 3}}
    add(owner, import_id, details)
    (row,) = shown(RosterImports, "roster", "list", TENANT)["imports"]
    assert shown(RosterImports, "roster", "list") == {"imports": [row]}
    assert (row["import_id"], row["tenant"], row["state"], row["school_year"]) == (
        import_id,
        TENANT,
        "rejected",
        "2025-26",
    )
    assert (row["rows"], row["errors"], row["warnings"], row["rejected_rows"]) == (30, 4001, 0, 7)
    assert (row["files_from"], row["files_to"]) == ("2026-07-01T00:00:00+00:00", "2026-07-02T00:00:00+00:00")
    decision = row["decision"]
    assert (decision["decision"], decision["by"], decision["why"]) == ("discard", "dana", "half of it is missing")
    assert decision["at"]

    content = shown(ImportShown, "roster", "show", import_id)
    assert content["about"] == row
    bad_date, caused = content["findings"]
    assert (bad_date["code"], bad_date["severity"], bad_date["number"]) == ("bad_date", "error", 4000)
    place = {"file": "users.csv", "column": "dateLastModified", "kept": 2, "rows": [2, 5]}
    assert bad_date["places"] == [place]
    assert (caused["code"], caused["number"], caused["places"][0]["file"]) == ("no_valid_rows", 1, ANOTHER_FILE)
    students = next(each for each in content["compared"] if each["kind"] == "students")
    assert students["removed"] > 0 and students["live"] == students["removed"] + students["unchanged"]
    assert any("students" in sentence for sentence in content["over_limits"])

    assert cli.main(["roster", "show", import_id]) == 0
    said = capsys.readouterr().out
    assert "30 rows\n  4,001 errors, 0 warnings\n  7 rows rejected" in said
    assert "discard by dana on " in said and ": half of it is missing" in said
    assert "error bad_date: 4,000 (users.csv, dateLastModified: 2, first in row 2, 5)" in said
    assert "maria garcia" not in said and "\\" not in said
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    assert cli.main(["roster", "list"]) == 0
    assert "Rejected rows" in terminal.getvalue() and "rejected" in terminal.getvalue()


def add(owner: Engine, import_id: str, details: dict[str, object]) -> None:
    """What earlier stages wrote about an import, among it a file that the district named after a person."""
    finding = {"tenant_id": TENANT, "import_id": import_id, "severity": "error", "message": "Say it as 2026-07-01."}
    bad_date = {**finding, "code": "bad_date", "file": "users.csv", "column": "dateLastModified"}
    caused = {**finding, "code": "no_valid_rows", "file": "maria garcia.csv", "column": None, "row": None}
    files = [{"name": "a", "size": 1, "modified": 1_782_864_000 + days * 86_400} for days in (1, 0)]
    with owner.begin() as connection:
        drop = {"drop_id": import_id, "folder": "/f", "fingerprint": "x", "files": files}
        connection.execute(insert(ledger.drops).values(tenant_id=TENANT, **drop))
        connection.execute(update(ledger.imports).values(details=details))
        connection.execute(insert(ledger.findings), [{**bad_date, "row": 5}, {**bad_date, "row": 2}, caused])


def test_an_import_that_is_unknown_is_an_error(import_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["roster", "show", f"{TENANT}__000000000000"]) == 1
    assert "The ledger has no import" in capsys.readouterr().err
    assert cli.main(["roster", "show", "x"]) == 2

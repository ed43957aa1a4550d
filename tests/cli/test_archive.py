"""`rollover archive`: JSON of what it shows. What its commands do is tested in tests/archive."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from rollover.cli.archive import ArchivedReport, ArchivedYears, QueryResult
from rollover.cli.command import drawn
from rollover.run import Run
from tests.archive.conftest import subscribe_all, until_archived
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"
TYPES = """SELECT 1 AS n, 1.5::DECIMAL(3,1) AS d, 'nan'::DOUBLE AS f, DATE '2026-07-01' AS day, [1, NULL] AS l,
{'a': true} AS s, NULL AS e, '\\xAA'::BLOB AS b, TIMESTAMPTZ '2026-07-01 10:00+00' AS t, count(*) AS rows
FROM tracking_events"""


@pytest.fixture
def archived(run: Run, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> Run:
    subscribe_all(owner)
    until_archived(run)
    monkeypatch.setenv("ROLLOVER_STORAGE", str(run.storage))
    return run


def test_json(archived: Run, shown: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = shown(ArchivedYears, "archive", "list")
    (year,) = content["years"]
    assert {name: year[name] for name in ("tenant", "school_year", "plan_no", "schools", "rows", "keys")} == {
        "tenant": HERO,
        "school_year": "2025-26",
        "plan_no": 1,
        "schools": 2,
        "rows": 45,
        "keys": [],
    }
    assert content["expired"] == [] and year["archived_at"].endswith("+00:00") and year["plain_files"] > 0

    result = shown(QueryResult, "archive", "query", TYPES)
    names = [column["name"] for column in result["columns"]]
    (row,) = result["rows"]
    values = dict(zip(names, row, strict=True))
    assert values.pop("t").startswith("2026-07-01T")
    assert values == {
        **{"n": 1, "d": "1.5", "f": "nan", "day": "2026-07-01", "l": [1, None], "s": {"a": True}, "e": None},
        **{"b": "aa", "rows": 20},
    }

    call = ("archive", "report", "behavior_history", HERO, "2025-26", "--out", str(tmp_path / "out"))
    content = shown(ArchivedReport, *call)
    (file,) = content["files"]
    assert content["report"] == "behavior_history" and Path(file["path"]).stat().st_size == file["bytes"]


def test_a_terminal_gets_a_table(archived: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from rollover.archive import manifest as manifests
    from rollover.cli.archive import _archived_year
    from rollover.cli.context import Context

    monkeypatch.setenv("COLUMNS", "200")
    years = [_archived_year(manifest, Context().catalog) for _, manifest in manifests.newest(archived.storage)]
    said = drawn(ArchivedYears(years, ["The archive of 2019-20 expired."]).sheet())
    assert HERO in said and "45" in said and "The archive of 2019-20 expired." in said

"""`rollover lint`."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollover.cli.lint import LintResult
from rollover.run import Run
from tests.cli.conftest import Shown


def test_json_of_a_file_that_is_wrong(districts: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLOVER_DATABASE_URL")
    file = districts / "riverside-ca.yaml"
    file.write_text(file.read_text().replace("folder:", "fodler:"))
    content = shown(LintResult, "lint", code=1)
    assert (content["districts"], content["products"], content["not_ready"]) == (0, 3, [])
    wrong = next(problem for problem in content["problems"] if problem["suggestion"])
    assert (wrong["file"], wrong["suggestion"]) == (str(file), "folder") and wrong["line"] > 1


def test_json_of_a_tenant_that_cannot_run(run: Run, districts: Path, shown: Shown) -> None:
    file = districts / "riverside-ca.yaml"
    (districts / "hillside-ca.yaml").write_text(file.read_text().replace("riverside-ca", "hillside-ca"))
    content = shown(LintResult, "lint", code=1)
    assert content["problems"] == []
    (found,) = content["not_ready"]
    assert found["tenant"] == "hero__hillside-ca" and "directory lacks" in found["problem"]

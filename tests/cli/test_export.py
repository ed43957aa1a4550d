"""`rollover export`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rollover.cli.export import Exported
from rollover.run import Run
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"


def test_export(run: Run, shown: Shown, tmp_path: Path) -> None:
    out = tmp_path / "out"
    content = shown(Exported, "export", HERO, "2025-26", "--out", str(out), "--report", "tardies")
    (report,) = content["reports"]
    (file,) = report["files"]
    assert (report["report"], report["rows"]) == ("tardies", file["rows"])
    assert hashlib.sha256(Path(file["path"]).read_bytes()).hexdigest() == file["sha256"]

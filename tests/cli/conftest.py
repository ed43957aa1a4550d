"""A Hero tenant, Riverside, and the command line that looks at it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover import cli
from rollover.cli.command import Document
from rollover.run import Run
from rollover.season.readiness import METADATA_URL
from tests.support.district_file import DISTRICT
from tests.support.small_district import PRODUCTS, hero_world, run_of

Shown = Callable[..., Any]


@pytest.fixture
def districts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """District files with Riverside, and a database that nobody reaches."""
    folder = tmp_path / "districts"
    folder.mkdir()
    (folder / "riverside-ca.yaml").write_text(DISTRICT)
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    monkeypatch.setenv("ROLLOVER_PRODUCTS", str(PRODUCTS))
    monkeypatch.setenv("ROLLOVER_STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", "postgresql+psycopg://nobody@/nothing?host=/nowhere")
    monkeypatch.delenv(METADATA_URL, raising=False)  # tests of DAGs set it
    return folder


@pytest.fixture
def run(districts: Path, owner: Engine, engine: Engine, storage: UPath, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Riverside's year in the database, which the commands reach as the workers' login."""
    hero_world(owner)
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    return run_of(engine, storage)


@pytest.fixture
def dana(run: Run, login_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same, with commands that dana runs."""
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    return run


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """The JSON document that a command prints: stdout holds it and nothing else, with the keys of its type."""

    def document(kind: type[Document], *arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert cli.main([*arguments, "--json"]) == code
        content = json.loads(capsys.readouterr().out)
        assert list(content) == [field.name for field in fields(kind)]  # type: ignore[arg-type]
        return content

    return document

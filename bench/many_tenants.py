"""A vendor with thousands of tenants: district files, and a ledger with years of history and open items.

What reads the season is measured against it. Nothing in it is a person's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text
from upath import UPath

from bench.config import write_districts
from rollover.archive import manifest as manifests
from rollover.archive.parquet import SCHEMA_VERSION
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import steps
from rollover.ledger import evidence
from rollover.ledger.results import (
    Admission,
    Approval,
    Archived,
    BeforeAndAfter,
    Certified,
    Erased,
    Exported,
    ExportedReport,
    ManifestFile,
    Paused,
    Planned,
    Reset,
    ResetVerified,
    Result,
    Resumed,
    RosterImported,
    RosterVerified,
    Rows,
)
from rollover.lint import load_catalog
from rollover.settings import Settings
from rollover.tenant import Tenant

SQL = Path(__file__).with_suffix(".sql")
HASH = "0" * 64
KEPT = BeforeAndAfter(before=Rows(rows=300, checksum="123456789"), after=Rows(rows=300, checksum="123456789"))
PART: dict[str, Any] = {
    "archived": {"tracking_events": 300, "points_ledger": 300},
    "erased": {"tracking_events": 300, "points_ledger": 300},
    "kept_unchanged": True,
    "kept": {f"hero.kept_{n}": KEPT for n in range(6)},
}


def catalog(folder: Path, tenants: int) -> Catalog:
    """District files with at least `tenants` tenants, in a new folder."""
    folder.mkdir()
    write_districts(folder, tenants // 2 + 1)
    return load_catalog(folder, Settings().products)


def fill(owner: Engine, known: Catalog, storage: UPath, *, open_items: int) -> None:
    """Fill an empty database with the ledger of a catalog's tenants, with `open_items` that wait for a person.

    All archived years have the same manifest, which is written to `storage` and lists no file.
    """
    results = {str(result.step): result.as_json() for result in _results(_manifest(storage))}
    tenants = [tenant.id for tenant in known.tenants]
    values = {"tenants": tenants, "open": open_items // 2, "results": json.dumps(results)}
    with owner.begin() as connection:
        for statement in SQL.read_text().split(";\n"):
            if statement.strip():
                connection.execute(text(statement), values)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def record_evidence(engine: Engine, tenants: Iterable[Tenant]) -> None:
    """Give some tenants the chain of what their steps did, as the steps record it."""
    query = select(steps.c.rollover_id, steps.c.step, steps.c.result).order_by(steps.c.finished_at)
    for tenant in tenants:
        with tenant_session(engine, tenant.id) as connection:
            for done in connection.execute(query).all():
                evidence.record(connection, tenant.id, done.step, done.result, done.rollover_id)


def _manifest(storage: UPath) -> ManifestFile:
    content = manifests.Manifest(
        schema_version=SCHEMA_VERSION,
        tenant="hero__any",
        product="hero",
        district="any",
        school_year="2024-25",
        plan_no=1,
        plan_hash=HASH,
        archived_at=datetime(2025, 7, 8, tzinfo=UTC),
        holds_current_state=True,
        tools={},
        tables=[],
        files=[],
    )
    return manifests.write(content, storage / "manifest.json")


def _results(manifest: ManifestFile) -> Iterator[Result]:
    """What the steps of every rollover returned."""
    yield Admission(go=True, is_current=True, why="its reset date has come")
    yield Paused(pause=1, paused_by="its rollover", reason="rollover", paused_at="2025-07-08T05:05:00+00:00")
    yield Planned(
        plan_no=1,
        plan_hash=HASH,
        rows={"erase": 600, "archive": 600},
        warnings=[],
        approval_required=True,
        confirmations=[],
        question="Erase 600 rows, archive 600?",
        markdown="| School | Rows |\n|---|---:|\n| North | 18 |",
    )
    reports = [ExportedReport(report=f"report_{n}", files=1, rows=100, sha256=HASH) for n in range(1, 9)]
    yield Exported(reports=reports)
    yield Approval(approved_by="dana", plan_hash=HASH)
    yield Archived(files=6, rows=600, bytes=54_000, key_id=None, manifest=manifest)
    yield Erased(deleted={"hero.tracking_events": 600, "hero.points_ledger": 600}, **PART)
    yield ResetVerified(
        rows_left=0,
        remaining={},
        reports_blank=True,
        rows_held=0,
        files_intact=6,
        kept_changed_by_users_since_plan=[],
        changed_by_users_since_reset=[],
    )
    yield Certified(
        plan_no=1, path="c.json", pdf="c.pdf", sha256=HASH, pdf_sha256=HASH, key_id="key", signature="signature"
    )
    yield Reset(rows={"think_points": 300}, kept_unchanged=True, kept=PART["kept"], current_school_year="2026-27")
    yield RosterImported(import_id="any")
    yield RosterVerified.model_validate({"school_year": "2026-27", "students": 1200, "staff": 90, "classes": 80})
    yield Resumed(was_paused=True, pause=1, ended_by="its rollover")

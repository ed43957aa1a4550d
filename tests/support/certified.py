"""A rollover up to its certificate: the new year's roster is in by the ledger's word, since it is not the subject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from upath import UPath

from rollover.database.session import tenant_session
from rollover.ledger import plans, receipts
from rollover.ledger.results import RosterImported, RosterVerified
from rollover.ledger.steps import finish
from rollover.run import Run
from rollover.yearend import export, steps
from tests.yearend.test_rollover_steps import certify, until_reset


def until_resumed(run: Run) -> None:
    """All but the certificate of a current year."""
    until_reset(run)
    steps.verify_reset(run)
    resumed(run)


def resumed(run: Run) -> None:
    """What lies between verify_reset and certify."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        finish(connection, run, RosterImported(import_id="seed"), 0)
        finish(connection, run, RosterVerified(school_year=run.school_year.next.key), 0)
        reported = receipts.exports_folder(run).parent / run.school_year.next.key / "roster_check.csv"
        said = {"report": "roster_check", "file": reported.name, "path": str(reported), "delivered_to": None}
        export.record(connection, plans.in_force(connection, run), **said, rows=2, bytes=10, sha256="a" * 64)
    steps.resume_sync(run)


def certificate_of(run: Run) -> dict[str, Any]:
    """What the file says that the step wrote."""
    return dict(json.loads(files_of(run)[0].read_bytes())["certificate"])


def files_of(run: Run) -> tuple[Path, Path]:
    """The JSON and the PDF of a certified run."""
    result = certify(run)
    return Path(UPath(result.path).path), Path(UPath(result.pdf).path)

"""Erases an archived year past its retention, by a plan that a person approved.

Every file below the year's folder is erased from storage, including those of plans that were frozen again. Nothing is
erased that is not in the frozen plan. A hold, a changed rule or another file stops it, and a person is asked again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from rollover.archive import manifest as manifests
from rollover.database.session import tenant_session
from rollover.disposal.lifecycle import Disposal, approve_and_run
from rollover.disposal.retention import draft, listing
from rollover.errors import ProofFailed
from rollover.ledger import disposal_plans
from rollover.ledger.disposal_plans import EXPIRE, Content, DisposalPlan
from rollover.run import Run
from rollover.storage import LOCAL

EXPIRED = "archive_expired"
"""The kind of evidence of a year whose files were erased."""
ASK_AGAIN = "the next run of archive_expiry freezes a new plan, and asks."


def freeze(run: Run) -> DisposalPlan:
    """Freeze the plan to erase an archived year past its retention. Raises Refused if it has to stay."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        content = draft(connection, run)
        return disposal_plans.freeze(connection, run.tenant.id, EXPIRE, content, school_year=run.school_year.key)


def erase(run: Run, plan_hash: str, by: str) -> dict[str, Any]:
    """Erase the files of an approved plan and prove that none is left; see :func:`lifecycle.approve_and_run`."""
    return approve_and_run(Expiry(run), plan_hash, by)


class Expiry(Disposal):
    """The erasure of one archived year's files."""

    event = EXPIRED

    def __init__(self, run: Run) -> None:
        self.of = self._run = run
        self.rollover_id = run.id

    def find(self, connection: Connection, plan_hash: str) -> DisposalPlan:
        frozen = disposal_plans.newest(connection, EXPIRE, self._run.school_year.key)
        if frozen is None or frozen.plan_hash != plan_hash:
            raise ProofFailed(
                f"The approval of the expiry of {self._run.id} is for another plan than the last.", ASK_AGAIN
            )
        return frozen

    def check_approval(self, plan: DisposalPlan, by: str) -> None:
        """The rule asked: whoever answers may approve."""

    def check_still_holds(self, connection: Connection, plan: DisposalPlan) -> None:
        now = draft(connection, self._run)
        rule = ("reset_date", "kept_years", "expires_on")
        planned, found = (_sizes(content) for content in (plan.content, now))
        others = {path for path, size in found.items() if planned.get(path) != size}
        if plan.approved_by is None:
            others |= planned.keys() - found.keys()
        if others or any(plan.content[name] != now[name] for name in rule):
            what = f"{len(others)} files" if others else "the rule"
            raise ProofFailed(f"{what} of the archive of {self._run.id} changed since the plan was frozen.", ASK_AGAIN)

    def run(self, plan: DisposalPlan) -> None:
        folder = manifests.folder_of(self._run)
        for file in plan.content["files"]:
            with suppress(FileNotFoundError):
                (folder / file["path"]).unlink()
        if left := listing(folder):
            raise ProofFailed(f"{len(left)} files are left below {folder} after the archive was erased.", ASK_AGAIN)
        if folder.protocol in LOCAL:
            _remove_empty(Path(folder.path))

    def facts(self, plan: DisposalPlan) -> dict[str, Any]:
        content = plan.content
        return {
            "school_year": plan.school_year,
            "plan_hash": plan.plan_hash,
            "approved_by": plan.approved_by,
            "rows": content["rows"],
            "files": len(content["files"]),
            "bytes": sum(file["bytes"] for file in content["files"]),
            "schools": [each["school"] for each in content["schools"]],
            "keys": sorted({file["key_id"] for file in content["files"] if file["key_id"]}),
            **{name: content[name] for name in ("reset_date", "kept_years", "expires_on")},
        }


def _sizes(content: Content) -> dict[str, int]:
    return {file["path"]: file["bytes"] for file in content["files"]}


def _remove_empty(folder: Path) -> None:
    """Remove the empty folders of a local disk. Others stay, and missing ones are ignored."""
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in (*below, folder):
        with suppress(OSError):
            path.rmdir()

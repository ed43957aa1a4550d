"""The end of an archived year whose time is over, by a plan that a person approved.

A year's files are erased from storage, every one below its folder, also those of plans that were frozen again. Nothing
goes that is not in the frozen plan; a hold, another rule, a further file stop it, and it is asked about again.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from rollover.archive import manifest as manifests
from rollover.archive import plans
from rollover.archive.plans import EXPIRE, Content, Plan
from rollover.certificate import destruction, signing
from rollover.database.session import tenant_session
from rollover.disposal.retention import draft, listing
from rollover.errors import ProofFailed
from rollover.ledger import evidence
from rollover.run import Run
from rollover.storage import LOCAL

log = logging.getLogger(__name__)

EXPIRED = "archive_expired"
"""The kind of evidence of a year whose files were erased."""
ASK_AGAIN = "the next run of archive_expiry freezes a new plan, and asks."


def freeze(run: Run) -> Plan:
    """Freeze what goes of an archived year whose time is over. Raises Refused where it has to stay."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        content = draft(connection, run)
        return plans.freeze(connection, run.tenant.id, EXPIRE, content, school_year=run.school_year.key)


def erase(run: Run, plan_hash: str, by: str) -> dict[str, Any]:
    """Erase the files of an approved plan and prove that none is left; returns what the evidence says.

    The approval is recorded before the first file goes. Killed at any point, it is run again: a file that is gone
    already is ignored. Raises ProofFailed or Refused, with nothing more erased, where anything is other than approved.
    """
    key = signing.read_key(run.signing_key)  # what could not be certified is not begun
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        frozen = _approved(connection, run, plan_hash)
        if frozen.done_at is None:
            _check_still_holds(connection, run, frozen)
            plans.approve(connection, run.tenant.id, frozen, by)
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        frozen = _approved(connection, run, plan_hash)
        if frozen.done_at is not None:
            log.info("the archive of %s has expired already: nothing to do", run.id)
            return _facts(frozen)
        _check_still_holds(connection, run, frozen)
        _remove(run, frozen)
        issued = destruction.issue(connection, run, frozen, key)
        plans.finish(connection, frozen)
        evidence.record(connection, run.tenant.id, EXPIRED, {**_facts(frozen), **issued}, run.id)
        log.info("the archive of %s has expired: %s files erased", run.id, len(frozen.content["files"]))
        return _facts(frozen)


def _approved(connection: Connection, run: Run, plan_hash: str) -> Plan:
    frozen = plans.newest(connection, EXPIRE, run.school_year.key)
    if frozen is None or frozen.plan_hash != plan_hash:
        raise ProofFailed(f"The approval of the expiry of {run.id} is for another plan than the last.", ASK_AGAIN)
    return frozen


def _check_still_holds(connection: Connection, run: Run, frozen: Plan) -> None:
    """What would be planned now must be what was approved; once that is recorded, files may be gone already."""
    now = draft(connection, run)
    rule = ("reset_date", "kept_years", "expires_on")
    planned, found = (_sizes(content) for content in (frozen.content, now))
    others = {path for path, size in found.items() if planned.get(path) != size}
    if frozen.approved_by is None:
        others |= planned.keys() - found.keys()
    if others or any(frozen.content[name] != now[name] for name in rule):
        what = f"{len(others)} files" if others else "the rule"
        raise ProofFailed(f"{what} of the archive of {run.id} changed since the plan was frozen.", ASK_AGAIN)


def _sizes(content: Content) -> dict[str, int]:
    return {file["path"]: file["bytes"] for file in content["files"]}


def _remove(run: Run, frozen: Plan) -> None:
    folder = manifests.folder_of(run)
    for file in frozen.content["files"]:
        with suppress(FileNotFoundError):
            (folder / file["path"]).unlink()
    if left := listing(folder):
        raise ProofFailed(f"{len(left)} files are left below {folder} after the archive was erased.", ASK_AGAIN)
    if folder.protocol in LOCAL:
        _remove_empty(Path(folder.path))


def _remove_empty(folder: Path) -> None:
    """Folders of a local disk; one that is not empty, or gone already, stays as it is."""
    below = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in (*below, folder):
        with suppress(OSError):
            path.rmdir()


def _facts(frozen: Plan) -> dict[str, Any]:
    """What the evidence says: numbers, the rule, and by which plan."""
    content = frozen.content
    return {
        "school_year": frozen.school_year,
        "plan_hash": frozen.plan_hash,
        "approved_by": frozen.approved_by,
        "rows": content["rows"],
        "files": len(content["files"]),
        "bytes": sum(file["bytes"] for file in content["files"]),
        "schools": [each["school"] for each in content["schools"]],
        "keys": sorted({file["key_id"] for file in content["files"] if file["key_id"]}),
        **{name: content[name] for name in ("reset_date", "kept_years", "expires_on")},
    }

"""The steps of a rollover, in the order in which a district walks through them.

guard → pause_sync → plan → export_reports → approve → archive → erase → reset → verify_reset → await_roster →
import_roster → verify_roster → resume_sync → certify

Each takes a :class:`~rollover.run.Run`, does its work once (see :mod:`rollover.ledger.steps`) and returns small JSON
without personal values. A past year has no pause, reset or roster.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from upath import UPath

from rollover.archive import write as archiving
from rollover.database.session import tenant_session
from rollover.database.tables.ledger import exports, plans
from rollover.errors import Refused
from rollover.exports import Scope, reports_of
from rollover.exports.write import Receipt, write_report
from rollover.ledger import artifacts, evidence, pause, receipts
from rollover.ledger import steps as ledger
from rollover.ledger.plans import current_lines, hash_of, holds_current_state
from rollover.ledger.steps import Result, once
from rollover.roster.pending import last_applied
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.storage import remove_parts
from rollover.yearend import certify as issue
from rollover.yearend import erase as erasing
from rollover.yearend import guard as guarding
from rollover.yearend import plan as planning
from rollover.yearend import reset as resetting
from rollover.yearend import verify

log = logging.getLogger(__name__)


def guard(run: Run, run_id: str, is_alive: Callable[[str], bool]) -> Result:
    """Check what can only be known on the day. ``go`` is False where the year is certified already."""
    return guarding.begin(run, run_id, is_alive)


def pause_sync(run: Run) -> Result:
    """Pause the tenant's roster sync; waits for an import that is under way. Run again, it pauses again if need be."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        ledger.require(connection, run, "pause_sync")
        before = pause.current(connection)
        lease = pause.begin(connection, run.tenant.id, by=run.id, reason=f"rollover of {run.school_year}")
        if ledger.result_of(connection, run, "pause_sync") is None:
            ledger.finish(connection, run, "pause_sync", lease, 0)
        elif before is None:
            evidence.record(connection, run.tenant.id, "pause_sync", lease, run.id)
        return lease


def plan(run: Run) -> Result:
    """Freeze what will happen to which rows, and why. Run again after a change, it freezes the next plan.

    A plan that was run stays in force while no row came late.
    """
    started = time.monotonic()
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        ledger.require(connection, run, "plan")
        done = ledger.result_of(connection, run, "plan")
        if done is not None and ledger.result_of(connection, run, "erase") is not None:
            left = planning.draft(connection, run, current=holds_current_state(connection, run))
            if not planning.rows_to_go(left):
                log.info("plan %s of %s is run, and nothing came late", done["plan_no"], run.id)
                return done
        erasing.close(connection, run)
        result = planning.freeze(connection, run)
        if ledger.result_of(connection, run, "plan") is None:
            ledger.finish(connection, run, "plan", result, time.monotonic() - started)
        return result


def export_reports(run: Run, outbox: Outbox) -> Result:
    """Write every report of the year with its receipts, and when all are written put them into the outbox."""

    def work(connection: Connection) -> Result:
        remove_parts(receipts.exports_folder(run))
        scope = Scope.of(run, is_current=holds_current_state(connection, run))
        number = ledger.plan_number(connection, run)
        known = reports_of(run.product.product)
        folder = receipts.exports_folder(run)
        artifacts.intend(run, number, artifacts.STORAGE, _export_paths(run, number))
        written = [
            receipt
            for name in run.product.reports
            for receipt in write_report(
                connection,
                known[name],
                scope,
                folder,
                partial(receipts.file_name, plan_no=number),
            )
        ]
        remote = {receipt.file: f"{run.config.outbox}/{run.school_year}/{receipt.file}" for receipt in written}
        artifacts.deliver(run, number, outbox, [(UPath(receipt.path), remote[receipt.file]) for receipt in written])
        for receipt in written:
            _record_export(connection, run, delivered_to=remote[receipt.file], **vars(receipt))
        log.info("%s files of %s reports are delivered", len(written), len(run.product.reports))
        return {"reports": [_summed(name, written) for name in run.product.reports]}

    return once(run, "export_reports", work, "REPEATABLE READ")


def _export_paths(run: Run, plan_no: int) -> list[str]:
    """What an export may write: a file for each report, and of one that is parted into files their folder."""
    known, folder = reports_of(run.product.product), receipts.exports_folder(run)
    files = [folder / receipts.file_name(name, known[name].format, plan_no) for name in run.product.reports]
    return [*map(str, files), *(f"{folder / name}/" for name in run.product.reports if known[name].files)]


def _record_export(connection: Connection, run: Run, **receipt: Any) -> None:
    """What is recorded here leaves storage and outbox when its time is over."""
    whose = {"tenant_id": run.tenant.id, "rollover_id": run.id, "plan_no": ledger.plan_number(connection, run)}
    connection.execute(insert(exports).values(**whose, **receipt))


def _summed(name: str, written: list[Receipt]) -> Result:
    """What was written of one report; its hash is over those of its files."""
    of_report = [receipt for receipt in written if receipt.report == name]
    hashes = "\n".join(receipt.sha256 for receipt in of_report)
    digest = of_report[0].sha256 if len(of_report) == 1 else hashlib.sha256(hashes.encode()).hexdigest()
    return {
        "report": name,
        "files": len(of_report),
        "rows": sum(receipt.rows for receipt in of_report),
        "sha256": digest,
    }


def approve(run: Run, answer: dict[str, Any] | None) -> Result:
    """Record who approved the plan in force, or that the product asks for no approval.

    `answer`: ``{"chosen_options": ["Approve"], "responded_by_user": {"id"}, "plan_no": …, "plan_hash": …}``.
    """

    def work(connection: Connection) -> Result:
        number = ledger.plan_number(connection, run)
        digest = hash_of(connection, run, number)
        lines = current_lines(connection, run)
        if not planning.needs_approval(connection, run, lines):
            nothing = not planning.rows_to_go(lines)
            why = "the plan has nothing to do" if nothing else "the product file asks for no approval"
            return {"approved_by": None, "plan_hash": digest, "why": why}
        chosen = (answer or {}).get("chosen_options") or []
        if answer is None or "Approve" not in chosen:
            raise Refused(f"The plan of {run.id} is not approved: nobody was asked in this run.", ledger.PLAN_AGAIN)
        if missing := [said for said in planning.confirmations(connection, lines) if said not in chosen]:
            raise Refused(
                f"The approval of {run.id} does not confirm: {'; '.join(missing)}. Nothing was changed.",
                f"choose each of them beside Approve, or reject. {ledger.PLAN_AGAIN}",
            )
        if (_plan_of(connection, run, answer), answer.get("plan_hash")) != (number, digest):
            raise Refused(
                f"The approval of {run.id} is for another plan than {number}, {digest[:12]}.",
                ledger.PLAN_AGAIN,
            )
        by = (answer.get("responded_by_user") or {}).get("id")
        if not by:
            raise Refused(f"The approval of {run.id} names nobody: it was given without a login.", ledger.PLAN_AGAIN)
        connection.execute(
            update(plans)
            .where(plans.c.rollover_id == run.id, plans.c.plan_no == number)
            .values(approved_by=by, approved_at=func.clock_timestamp())
        )
        return {"approved_by": by, "plan_hash": digest}

    if answer is not None and "Reject" in (answer.get("chosen_options") or []):
        _reject(run, answer)
    return once(run, "approve", work)


def _plan_of(connection: Connection, run: Run, answer: dict[str, Any]) -> int | None:
    """The number of the plan that an answer is about; a question of an older version kept the plan's hash only."""
    number: int | None = answer.get("plan_no") or connection.scalar(
        select(func.max(plans.c.plan_no)).where(
            plans.c.rollover_id == run.id, plans.c.plan_hash == answer.get("plan_hash")
        )
    )
    return number


def _reject(run: Run, answer: dict[str, Any]) -> None:
    """Record who rejected the plan that was asked about, once, and raise Refused with how to go on."""
    by = (answer.get("responded_by_user") or {}).get("id") or "nobody who is named"
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        number = _plan_of(connection, run, answer)
        if number is None:
            raise Refused(f"{by} rejected a plan that {run.id} does not have. Nothing was changed.", ledger.PLAN_AGAIN)
        if ledger.is_erased(connection, run, number):
            raise Refused(
                f"Too late: plan {number} of {run.id} was run before {by} rejected it. This changes nothing.",
                "see `rollover status`; what was archived can be restored with `rollover archive restore`.",
            )
        if ledger.rejection(connection, run, number) is None:
            facts = {"plan_no": number, "plan_hash": answer.get("plan_hash"), "by": by}
            when = {"answered_at": answer.get("responded_at")}
            evidence.record(connection, run.tenant.id, evidence.PLAN_REJECTED, facts | when, run.id)
        rejected = ledger.rejection(connection, run, number)
        began = erasing.has_begun(connection, run, number)
        is_paused = pause.current(connection) is not None
    changed = "Parts of it were erased before; nothing more is" if began else "Nothing was changed"
    sync = "the roster sync is still paused" if is_paused else "the roster sync is not paused"
    raise Refused(
        f"{rejected} {changed}, and {sync}.",
        "correct what is wrong (a subscription, a date, a hold), then " + ledger.PLAN_AGAIN,
    )


def archive(run: Run) -> Result:
    """Archive the plan's rows to Parquet; each file is read back and compared before it counts."""
    return once(run, "archive", lambda connection: archiving.archive(connection, run), "REPEATABLE READ")


def erase(run: Run) -> Result:
    """Delete exactly the plan's rows, proved before it is committed."""
    erasing.in_parts(run)
    return once(run, "erase", lambda connection: erasing.erase(connection, run), "REPEATABLE READ")


def reset(run: Run) -> Result:
    """Points, avatars, notifications, portal schedules; then the tenant's next school year is current."""
    return once(run, "reset", lambda connection: resetting.reset(connection, run), "REPEATABLE READ")


def verify_reset(run: Run) -> Result:
    """Look again with other queries: nothing left, reports blank, files intact."""
    return once(run, "verify_reset", lambda connection: verify.verify_reset(connection, run), "REPEATABLE READ")


def import_roster(run: Run, import_id: str) -> Result:
    """Record that the new year's roster is in; the import itself is done by the steps of :mod:`rollover.roster`.

    Not once only: a district may correct a set that was applied but not verified, and the last one counts.
    """
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        ledger.require(connection, run, "import_roster")
        applied = last_applied(connection, run.school_year.next.key)
        if applied is None or applied["import_id"] != import_id:
            raise Refused(
                f"The import {import_id} is not the last that brought in {run.school_year.next} of {run.tenant}.",
                "clear 'await_roster' and everything after it.",
            )
        if ledger.result_of(connection, run, "import_roster") is None:
            ledger.finish(connection, run, "import_roster", dict(applied), 0)
        else:
            evidence.record(connection, run.tenant.id, "import_roster", dict(applied), run.id)
        return dict(applied)


def before_import(run: Run) -> None:
    """Raise Refused unless the rollover may take in the new year's roster now."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        ledger.require(connection, run, "import_roster")


def verify_roster(run: Run, outbox: Outbox) -> Result:
    """Check the new roster: grades, graduates, schedules, terms, coverage; and put what people should see into the
    district's outbox."""
    from rollover.roster.verifying import verify as roster_verification  # duckdb: only this step needs it

    def work(connection: Connection) -> Result:
        year, tenant = run.school_year.next.key, run.tenant
        applied = last_applied(connection, year)
        assert applied is not None  # once() requires import_roster
        files = roster_verification.Files(
            folder=run.storage / "exports" / tenant.product / tenant.district / year,
            remote=f"{run.config.outbox}/{year}",
            deliver=outbox.deliver,
        )
        number = ledger.plan_number(connection, run)
        artifacts.intend(run, number, artifacts.STORAGE, files.paths)
        artifacts.intend(run, number, artifacts.OUTBOX, files.remote_paths)
        checked = roster_verification.verify_roster(
            connection,
            applied["import_id"],
            year,
            run.storage,
            product=tenant.product,
            limits=run.product.limits_of(run.config),
            files=files,
            begins=run.district.school_year_begins,
        )
        for file in checked["files"]:
            _record_export(connection, run, report=file["file"].removesuffix(".csv"), **file)
        return checked

    return once(run, "verify_roster", work, "REPEATABLE READ")


def resume_sync(run: Run) -> Result:
    """End the pause; the nightly sync takes in what the district drops from now on."""
    return once(run, "resume_sync", lambda connection: pause.end(connection, by=run.id))


def certify(run: Run, outbox: Outbox) -> Result:
    """Issue the certificate, refused while anything is missing, and put it into the outbox. Run again, it delivers what
    was issued."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        artifacts.remove_abandoned(connection, run, outbox)
    issued = once(run, "certify", lambda connection: issue.certify(connection, run, outbox), "REPEATABLE READ")
    files = [UPath(issued["path"]), UPath(issued["pdf"])]
    remote = f"{run.config.outbox}/{run.school_year}/certificate_"
    artifacts.deliver(run, issued["plan_no"], outbox, [(file, f"{remote}{file.name}") for file in files])
    return issued

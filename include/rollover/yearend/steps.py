"""The steps of a rollover, in the order in which a district walks through them.

guard → pause_sync → plan → export_reports → approve → archive → erase → reset → verify_reset → await_roster →
import_roster → verify_roster → resume_sync → certify

Each takes a :class:`~rollover.run.Run`, does its work once (see :mod:`rollover.ledger.steps`) and returns its
:class:`~rollover.ledger.results.Result`. A past year has no pause, reset or roster.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from rollover.archive import write
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import artifacts, pause, plans, rollovers
from rollover.ledger.results import (
    Admission,
    Approval,
    Archived,
    Certified,
    Erased,
    Exported,
    Paused,
    Planned,
    Reset,
    ResetVerified,
    Result,
    Resumed,
    RosterImported,
    RosterVerified,
    Step,
)
from rollover.ledger.steps import finish, once, record, require
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.storage import storage_path
from rollover.yearend import approval, export, new_roster, verify
from rollover.yearend import certify as certifying
from rollover.yearend import erase as erasing
from rollover.yearend import guard as guarding
from rollover.yearend import plan as planning
from rollover.yearend import reset as resetting

log = logging.getLogger(__name__)


def guard(run: Run, run_id: str, is_alive: Callable[[str], bool]) -> Admission:
    """Check what can only be known on the day. ``go`` is False if the year is certified already."""
    return guarding.begin(run, run_id, is_alive)


def pause_sync(run: Run) -> Paused:
    """Pause the tenant's roster sync, after an import that is under way. It pauses again if it runs again after a
    resume."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        require(connection, run, Step.PAUSE_SYNC)
        before = pause.current(connection)
        result = pause.begin(connection, run.tenant.id, by=run.id, reason=f"rollover of {run.school_year}")
        if not rollovers.is_done(connection, run, Step.PAUSE_SYNC):
            finish(connection, run, result, 0)
        elif before is None:
            record(connection, run, result)
        return result


def plan(run: Run) -> Planned:
    """Freeze what will happen to which rows, and why. Run again after a change, it freezes the next plan.

    A plan that was run stays in force while no row came late.
    """
    started = time.monotonic()
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        require(connection, run, Step.PLAN)
        done = rollovers.result_of(connection, run, Planned)
        if done is not None and rollovers.is_done(connection, run, Step.ERASE):
            left = planning.draft(connection, run, current=plans.holds_current_state(connection, run))
            if not any(line.action in plans.GOES for line in left):
                log.info("plan %s of %s is run, and nothing came late", done.plan_no, run.id)
                return done
        erasing.end_partly_erased(connection, run)
        result = planning.summary(connection, planning.freeze(connection, run))
        if not rollovers.is_done(connection, run, Step.PLAN):
            finish(connection, run, result, time.monotonic() - started)
        return result


def export_reports(run: Run, outbox: Outbox) -> Exported:
    """Write every report of the year with its receipts, and put them into the outbox."""
    with once(run, Exported, "REPEATABLE READ") as step:
        return step.done or step.finish(export.export_reports(step.connection, step.plan, outbox))


def approve(run: Run, answer: approval.PlanAnswer | None) -> Approval:
    """Record who approved the plan in force, or that the product asks for no approval; a rejection raises Refused."""
    try:
        if answer is not None and answer.rejects:
            approval.reject(run, answer)
        with once(run, Approval) as step:
            return step.done or step.finish(approval.approve(step.connection, step.plan, answer))
    except Refused:
        approval.close_question(run, answer)
        raise


def archive(run: Run) -> Archived:
    """Archive the plan's rows to Parquet; each file is read back and compared before it counts."""
    with once(run, Archived, "REPEATABLE READ") as step:
        return step.done or step.finish(write.archive(step.connection, step.plan))


def erase(run: Run) -> Erased:
    """Delete exactly the plan's rows, proved before it is committed."""
    erasing.erase_all_but_the_last_part(run)
    with once(run, Erased, "REPEATABLE READ") as step:
        return step.done or step.finish(erasing.erase(step.connection, step.plan))


def reset(run: Run) -> Reset:
    """Points, avatars, notifications, portal schedules; then the tenant's next school year is current."""
    with once(run, Reset, "REPEATABLE READ") as step:
        return step.done or step.finish(resetting.reset(step.connection, step.plan))


def verify_reset(run: Run) -> ResetVerified:
    """Look again with other queries: nothing left, reports blank, files intact."""
    with once(run, ResetVerified, "REPEATABLE READ") as step:
        return step.done or step.finish(verify.verify_reset(step.connection, step.plan))


def before_import(run: Run) -> None:
    """Raise Refused unless the rollover may take in the new year's roster now."""
    new_roster.check_may_import(run)


def import_roster(run: Run, import_id: str) -> RosterImported:
    """Record that the new year's roster is in; the import itself is done by the steps of :mod:`rollover.roster`."""
    return new_roster.record_import(run, import_id)


def verify_roster(run: Run, outbox: Outbox) -> RosterVerified:
    """Check the new roster: grades, graduates, schedules, terms, coverage; and put what people should see into the
    district's outbox."""
    with once(run, RosterVerified, "REPEATABLE READ") as step:
        return step.done or step.finish(new_roster.verify_roster(step.connection, step.plan, outbox))


def resume_sync(run: Run) -> Resumed:
    """End the pause; the nightly sync takes in what the district drops from now on."""
    with once(run, Resumed) as step:
        return step.done or step.finish(pause.end(step.connection, by=run.id))


def certify(run: Run, outbox: Outbox) -> Certified:
    """Issue the certificate, refused while anything is missing, and put it into the outbox. Run again, it delivers what
    was issued."""
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        artifacts.remove_abandoned(connection, run, outbox)
    with once(run, Certified, "REPEATABLE READ") as step:
        issued = step.done or step.finish(certifying.certify(step.connection, step.plan, outbox))
    with tenant_session(run.engine, run.tenant.id) as connection:
        plan = plans.in_force(connection, run)
    files = [storage_path(issued.path), storage_path(issued.pdf)]
    remote = f"{run.config.outbox}/{run.school_year}/certificate_"
    artifacts.deliver(plan, outbox, [(file, f"{remote}{file.name}") for file in files])
    return issued


ALONE: dict[Step, Callable[[Run], Result]] = {
    Step.PAUSE_SYNC: pause_sync,
    Step.PLAN: plan,
    Step.ARCHIVE: archive,
    Step.ERASE: erase,
    Step.RESET: reset,
    Step.VERIFY_RESET: verify_reset,
    Step.RESUME_SYNC: resume_sync,
}
"""The steps that need nothing but the run."""


def run_step(step: Step, run: Run, outbox: Outbox) -> Result:
    """Do one of the steps that need no answer from outside. `outbox` is the district's, for those that deliver."""
    match step:
        case Step.EXPORT_REPORTS:
            return export_reports(run, outbox)
        case Step.VERIFY_ROSTER:
            return verify_roster(run, outbox)
        case Step.CERTIFY:
            return certify(run, outbox)
        case _:
            return ALONE[step](run)

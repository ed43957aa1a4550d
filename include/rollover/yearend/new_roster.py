"""Records that the new year's roster was imported, and checks it."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import artifacts, evidence, rollovers
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import RosterImported, RosterVerified, Step
from rollover.ledger.steps import finish, record, require
from rollover.roster.imports.earlier import last_applied
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.yearend import export


def record_import(run: Run, import_id: str) -> RosterImported:
    """Record that an import brought in the new year's roster.

    Not once only: a district may correct a set that was applied but not verified, and the last one counts. The same
    import is recorded once, however often its task runs.
    """
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        require(connection, run, Step.IMPORT_ROSTER)
        applied = last_applied(connection, run.school_year.next.key)
        if applied is None or applied.import_id != import_id:
            raise Refused(
                f"The import {import_id} is not the last that brought in {run.school_year.next} of {run.tenant}.",
                "clear 'await_roster' and everything after it.",
            )
        result = RosterImported(import_id=import_id, details=applied.details.as_json())
        if not rollovers.is_done(connection, run, Step.IMPORT_ROSTER):
            finish(connection, run, result, 0)
        elif (evidence.last_facts(connection, run.id, Step.IMPORT_ROSTER) or {}).get("import_id") != import_id:
            record(connection, run, result)
        return result


def check_may_import(run: Run) -> None:
    """Raise Refused unless the rollover may take in the new year's roster now."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        require(connection, run, Step.IMPORT_ROSTER)


def verify_roster(connection: Connection, plan: FrozenPlan, outbox: Outbox) -> RosterVerified:
    """Check the new roster, and put the lists that people should see into the district's outbox."""
    from rollover.roster.verifying import verify  # duckdb: only this step needs it

    run, tenant, year = plan.run, plan.run.tenant, plan.run.school_year.next.key
    applied = last_applied(connection, year)
    assert applied is not None  # once() requires import_roster
    files = verify.Files(
        folder=run.storage / "exports" / tenant.product / tenant.district / year,
        remote=f"{run.config.outbox}/{year}",
        deliver=outbox.deliver,
    )
    artifacts.intend(plan, artifacts.STORAGE, files.paths)
    artifacts.intend(plan, artifacts.OUTBOX, files.remote_paths)
    checked = verify.verify_roster(
        connection,
        applied.import_id,
        year,
        run.storage,
        product=tenant.product,
        limits=run.product.limits_of(run.config),
        files=files,
        begins=run.district.school_year_begins,
    )
    for file in checked.files:
        export.record(connection, plan, report=file.file.removesuffix(".csv"), **asdict(file))
    return RosterVerified(**checked.as_json())

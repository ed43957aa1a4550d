"""The nightly tasks: each asks what is due, opens those tenants, and goes on where one of them fails.

Each asks the ledger itself, so that a task that is cleared does what is due then.
"""

from __future__ import annotations

from typing import Any

from rollover.database.session import tenant_session
from rollover.exports.keep import remove_expired
from rollover.ledger import file_checks
from rollover.ledger.due import Kind
from rollover.nightly.tonight import REPORT, STRAY_FILES, TIDY, WAKE, Night, work_due
from rollover.nightly.visits import refuse_failed, visit
from rollover.roster.applying.tidy import tidy
from rollover.roster.reporting.keep import remove_old_reports
from rollover.roster.reporting.report import deliver_findings
from rollover.sftp.outbox import Outbox
from rollover.tenant import Tenant
from rollover.yearend.stray_files import refuse_strays, strays

Done = dict[str, dict[str, Any]]
"""By tenant, what was done: numbers only."""


def tenants_to_wake(night: Night) -> list[str]:
    """The tenants with an unfinished import."""
    return [tenant.id for tenant in work_due(night, WAKE)]


def tidy_up(night: Night) -> Done:
    """Remove what is kept no longer: files and rows of finished imports, exports, and reports about imports.

    Returns numbers by tenant. Raises Refused or WorkLeft if it failed for some tenants.
    """
    work, done = work_due(night, TIDY), Done()

    def tidy_tenant(tenant: Tenant, outbox: Outbox) -> None:
        kinds, gone = {each.kind for each in work[tenant]}, done.setdefault(tenant.id, {})
        now, remove = night.now, outbox.remove
        if kinds & {Kind.IMPORT_FILES, Kind.ROSTER_ROWS}:
            days = night.days(tenant, Kind.ROSTER_ROWS)
            gone |= tidy(night.engine, tenant.id, night.storage, grace_days=days, now=now).as_json()
        if Kind.EXPORTS in kinds:
            days = night.days(tenant, Kind.EXPORTS)
            gone["exports"] = remove_expired(night.engine, tenant.id, kept_days=days, now=now, remove=remove)
        if Kind.REPORTS in kinds:
            days = night.days(tenant, Kind.REPORTS)
            gone["reports"] = remove_old_reports(night.engine, tenant.id, kept_days=days, now=now, remove=remove)

    refuse_failed(visit(night, work, tidy_tenant), "Tidying up")
    numbers = {tenant_id: {name: count for name, count in gone.items() if count} for tenant_id, gone in done.items()}
    return {tenant_id: gone for tenant_id, gone in sorted(numbers.items()) if gone}


def report_again(night: Night) -> list[str]:
    """Write the reports that describe an old state of their import; returns the imports that were reported.

    Raises Refused or WorkLeft if it failed for some tenants.
    """
    work, reported = work_due(night, REPORT), list[str]()

    def report_tenant(tenant: Tenant, outbox: Outbox) -> None:
        district, product = night.known.districts[tenant.district], night.known.products[tenant.product]
        for each in work[tenant]:
            import_id = str(each.about)
            given = (night.engine, tenant.id, import_id, night.storage, district, product)
            deliver_findings(*given, outbox.deliver)
            reported.append(import_id)

    refuse_failed(visit(night, work, report_tenant), "Reporting")
    return sorted(reported)


def check_files(night: Night) -> None:
    """Compare folders and ledger of the tenants whose files have changed since, or whose turn it is.

    Raises ProofFailed if they differ: that tenant is compared every night until they do not. Raises Refused or WorkLeft
    if some could not be compared.
    """
    work, found = work_due(night, STRAY_FILES), dict[str, list[str]]()

    def check_tenant(tenant: Tenant, outbox: Outbox) -> None:
        folder = night.known.districts[tenant.district].uses(tenant.product).outbox
        with tenant_session(night.engine, tenant.id) as connection:
            began_at = file_checks.begin(connection)
            found[tenant.id] = strays(connection, tenant, night.storage, folder, outbox)
            file_checks.record(connection, tenant.id, began_at, differs=bool(found[tenant.id]))

    failed = visit(night, work, check_tenant)
    refuse_strays(found, [f"{each} could not be compared" for each in map(str, failed)])
    refuse_failed(failed, "Comparing files")

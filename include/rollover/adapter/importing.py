"""Takes the imports of a tenant from the files on SFTP to the live roster, as far as they go."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from rollover.adapter import connections, failing
from rollover.adapter.runs import OpenImport, clock, open_import
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.roster.imports import Import, ImportState
from rollover.roster.review.answers import Answer

log = logging.getLogger(__name__)

NIGHTLY = "nightly"
"""In the extra of an asset event: the nightly sync sent it."""
IMPORTS = "imports"
"""The key under which `import_drops` says in XCom which imports it works on."""


def is_due(work: OpenImport) -> bool:
    """Whether a ready import may be applied in this run: at once, in the nightly sync, or when a person asks.

    The nightly sync says so in its asset event; a run without any event was started by a person.
    """
    if work.config.roster_import == "at_once":
        return True
    by_asset = get_current_context()["triggering_asset_events"]
    events = [event for group in by_asset.values() for event in group]
    return not events or any(event.extra.get(NIGHTLY) for event in events)


def import_drop(import_id: str) -> Import:
    """Take an import as far as it goes without a person, and have its report in the district's outbox say so.

    From the files on SFTP to the live roster: fetch, stage, validate, compare, apply. It stops if the set is rejected,
    superseded or in review, is a delta that waits for an older import, or waits for the night or for a rollover.
    Each stage returns an import that is past it as it is.
    """
    from rollover.roster.columnar import in_one_duckdb
    from rollover.roster.comparing import compare
    from rollover.roster.reading import stage
    from rollover.roster.validating import validate

    work = open_import(import_id)
    with failing.at("fetch"):
        fetch(work)
    with failing.at("stage"):
        stage.stage(*work.given, work.config, needs_username=work.product.needs_username)
    with in_one_duckdb():
        with failing.at("validate"):
            zone, begins = work.district.time_zone, work.district.school_year_begins
            validate.validate(*work.given, time_zone=zone, begins=begins)
        with failing.at("compare"):
            found = compare.compare(*work.given, work.limits)
        return apply_when_due(work, found)


def fetch(work: OpenImport) -> None:
    """Copy the files of a drop from SFTP to storage. The server is not needed for an import that is past it."""
    from rollover.roster.intake import fetch

    where = work.district.sftp_connection
    if work.current().state is ImportState.FOUND:
        with connections.sftp_in_turn(where) as sftp:
            fetch.fetch(*work.given[:3], sftp, connections.sftp_server(where), work.storage)


def apply_when_due(work: OpenImport, found: Import) -> Import:
    """Make a ready set the live roster, unless it waits for the night; then report to the district how it stands."""
    from rollover.roster.applying import apply

    if found.state is ImportState.READY and is_due(work):
        with failing.at("apply"):
            found = apply.apply(*work.given, work.limits, rollover_id=None).found
    log.info("import %s is %s%s", work.import_id, found.state, f": {found.reason}" if found.reason else "")
    with failing.at("report"):
        report_to_district(work.import_id)
    return found


def apply_for_rollover(import_id: str, rollover_id: str) -> None:
    """Make the set that a rollover waited for the live roster, although the sync is paused.

    Raises Refused if it is not live afterwards: it may be in review, or a newer set has replaced it.
    """
    from rollover.roster.applying import apply

    work = open_import(import_id)
    found = apply.apply(*work.given, work.limits, rollover_id=rollover_id).found
    if found.state is not ImportState.APPLIED:
        how = "answer the question of `roster_import`, then " if found.state is ImportState.IN_REVIEW else ""
        raise Refused(
            f"Import {found.import_id} is {found.state}: {found.reason}.",
            f"{how}clear 'await_roster' and what follows: it takes the newest set that is ready.",
        )


def report_to_district(import_id: str) -> dict[str, Any]:
    """Have the report of an import in its district's outbox say what is true now."""
    from rollover.roster.reporting.report import deliver_findings

    work = open_import(import_id)
    with connections.outbox_of(work.district) as outbox:
        return deliver_findings(*work.given, work.district, work.product, outbox.deliver).as_json()


def needs_a_person(import_id: str, *, by_run: str) -> bool:
    """Whether a person has to be asked about an import now, and no other run asks."""
    from rollover.roster.review import decision

    work = open_import(import_id)
    with tenant_session(work.engine, work.tenant.id) as connection:
        if decision.why_not_asked(connection, import_id):
            return False
        digest = decision.question(connection, import_id).digest
        why = decision.why_not_asked_again(connection, import_id, by_run=by_run, digest=digest, now=clock())
        return why is None


def import_drops(import_ids: list[str], *, by_run: str, begin: Callable[[str], None]) -> list[str]:
    """Take each import as far as it goes, in the order given, and call `begin` with its id before. Returns those that
    are left: a person has to be asked, or it failed. One that fails holds up no other; it is tried again by itself."""
    failed = set()
    for import_id in import_ids:
        begin(import_id)
        try:
            import_drop(import_id)
        except Exception as error:  # its text may quote a value
            log.warning("import %s failed (%s): its own task tries again", import_id, type(error).__name__)
            failed.add(import_id)
    return [each for each in import_ids if each in failed or needs_a_person(each, by_run=by_run)]


def decide(import_id: str, answer: dict[str, str]) -> dict[str, Any]:
    """Do what a person answered about an import, and apply the set if it is ready now. Skips the task if nothing is
    decided. Raises Refused if the answer comes too late."""
    from rollover.roster.review import decision

    work = open_import(import_id)
    done = decision.decide(work.engine, work.tenant.id, import_id, **answer)
    if not done.decided and answer["answer"] == Answer.LATER:
        raise AirflowSkipException(f"Import {import_id}: {done.said}.")
    if not done.decided and not decision.was_decided(work.current(), answer["answer"], answer["by"]):
        raise Refused(f"Too late: import {import_id}: {done.said}.", "look at `rollover status`.")
    apply_when_due(work, work.current())
    return done.as_json()

"""Says in which phase a tenant's school year is, who it waits for, and since when: from the ledger's facts alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rollover.ledger.results import Step
from rollover.ledger.rollovers import RolloverState
from rollover.roster.imports import ImportState
from rollover.season.facts import Facts, FailureFacts, RolloverFacts


class Phase(StrEnum):
    """The phases of a tenant's school year, in the order in which it goes through them; the last ones stop it."""

    SCHEDULED = "scheduled"
    INFORMED = "informed"
    EXPORTING = "exporting"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    ARCHIVING_AND_ERASING = "archiving_and_erasing"
    WAITING_FOR_ROSTER = "waiting_for_roster"
    ROSTER_IN_REVIEW = "roster_in_review"
    VERIFYING = "verifying"
    CERTIFIED = "certified"
    HELD = "held"
    REJECTED = "rejected"
    REFUSED = "refused"
    FAILED = "failed"

    @property
    def label(self) -> str:
        """The phase as people read it."""
        return LABELS.get(self, self.value.replace("_", " "))


LABELS = {Phase.WAITING_FOR_ROSTER: "waiting for the new roster"}
NOT_BEGUN = frozenset({Phase.SCHEDULED, Phase.INFORMED, Phase.HELD})
STOPPED = frozenset({Phase.REJECTED, Phase.REFUSED, Phase.FAILED})


class WaitsFor(StrEnum):
    """Who has to act before a tenant goes on."""

    NOBODY = "nobody"
    DATA_ENGINEER = "data_engineer"
    DISTRICT_IT = "district_it"
    CUSTOMER_SUCCESS = "customer_success"

    @property
    def label(self) -> str:
        """The role as people read it."""
        return "district IT" if self is WaitsFor.DISTRICT_IT else self.value.replace("_", " ")


@dataclass(frozen=True)
class Standing:
    """Where a year is: its phase, who it waits for, and since when. No time is known of a year that has not begun."""

    phase: Phase
    waits_for: WaitsFor = WaitsFor.NOBODY
    since: datetime | None = None


def standing(facts: Facts, *, approval_required: bool) -> Standing:
    """Where a tenant's school year is. `approval_required` is what the product file says."""
    rollover, plan = facts.rollover, facts.plan
    if rollover is not None and rollover.state is RolloverState.CERTIFIED:
        return Standing(Phase.CERTIFIED, since=rollover.finished_at)
    if plan is not None and plan.rejected_at is not None:
        return Standing(Phase.REJECTED, WaitsFor.DATA_ENGINEER, plan.rejected_at)
    if facts.failure is not None:
        return _stopped(facts.failure)
    if rollover is None:
        return _not_begun(facts)
    return _under_way(facts, rollover, approval_required=approval_required)


def _stopped(failure: FailureFacts) -> Standing:
    phase = Phase.REFUSED if failure.is_refusal else Phase.FAILED
    return Standing(phase, WaitsFor(failure.waits_for), failure.failed_at)


def _not_begun(facts: Facts) -> Standing:
    if facts.holds is not None and facts.holds.of_district:
        return Standing(Phase.HELD, since=facts.holds.since)
    informed = facts.notices.informed_at if facts.notices else None
    return Standing(Phase.INFORMED, since=informed) if informed else Standing(Phase.SCHEDULED)


def _under_way(facts: Facts, rollover: RolloverFacts, *, approval_required: bool) -> Standing:
    done, newest = facts.done, max(facts.done.values(), default=rollover.started_at)
    if Step.EXPORT_REPORTS not in done:
        return Standing(Phase.EXPORTING, since=rollover.started_at)
    if Step.APPROVE not in done and (approval_required or facts.question):
        asked = facts.question.asked_at if facts.question else done[Step.EXPORT_REPORTS]
        return Standing(Phase.WAITING_FOR_APPROVAL, WaitsFor.DATA_ENGINEER, asked)
    if Step.VERIFY_RESET not in done:
        return Standing(Phase.ARCHIVING_AND_ERASING, since=done.get(Step.APPROVE, newest))
    if rollover.is_current and Step.IMPORT_ROSTER not in done:
        return _without_roster(facts, done[Step.VERIFY_RESET])
    return Standing(Phase.VERIFYING, since=done.get(Step.IMPORT_ROSTER, done[Step.VERIFY_RESET]))


def _without_roster(facts: Facts, since: datetime) -> Standing:
    """The old year is gone, and the new roster is not live yet."""
    found = facts.new_roster
    if found is not None and found.state is ImportState.IN_REVIEW:
        return Standing(Phase.ROSTER_IN_REVIEW, WaitsFor.DATA_ENGINEER, max(since, found.changed_at))
    is_coming = found is not None and found.state is not ImportState.REJECTED
    return Standing(Phase.WAITING_FOR_ROSTER, WaitsFor.NOBODY if is_coming else WaitsFor.DISTRICT_IT, since)

"""The line about each phase and the sentence about each alarm, as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from rollover.lint import load_catalog
from rollover.season.deadlines import Alarm, Dates
from rollover.season.detail import ImportInReview, TenantDetail, import_in_words
from rollover.season.facts import Facts, ImportFacts
from rollover.season.phases import Phase
from rollover.season.state import TenantState, state_of
from rollover.tenant import Tenant
from rollover.texts import render
from tests.support.examples import check_example
from tests.support.small_district import PRODUCTS, YEAR, district

AT = datetime(2026, 7, 9, 15, tzinfo=UTC)
NOW = datetime(2026, 7, 20, 15, tzinfo=UTC)
ROLLOVER = {
    "reset_date": "2026-07-08",
    "reset_at": AT,
    "is_current": True,
    "state": "running",
    "run_id": "scheduled__2025-26",
    "started_at": AT,
    "finished_at": None,
}
PLAN = {
    "plan_no": 1,
    "plan_hash": "f" * 64,
    "frozen_at": AT,
    "approved_by": None,
    "approved_at": None,
    "rejected_by": None,
    "rejected_at": None,
    "erase": 20_181,
    "archive": 89_490,
}
FAILURE = {
    "step": "archive",
    "error_class": "StorageFailed",
    "is_refusal": True,
    "reason": "The storage is full.",
    "remedy": "make room, then clear this task.",
    "waits_for": "data_engineer",
    "failed_at": AT,
    "run_id": "scheduled__2025-26",
}
DROP = {
    "import_id": "hero__riverside-ca__0123456789ab",
    "state": "rejected",
    "school_year": "2026-27",
    "format": "oneroster_1_1",
    "found_at": AT,
    "changed_at": AT,
    "reason": "refused for no_people",
    "files_from": AT,
    "files_to": AT,
    "rows": 12,
    "rejected": 2,
    "errors": 3,
    "warnings": 0,
}
NEW_ROSTER = {name: DROP[name] for name in ("import_id", "state", "found_at", "changed_at", "reason")}
PLANNED = {"rollover": ROLLOVER, "plan": PLAN, "done": dict.fromkeys(("guard", "pause_sync", "plan"), AT)}
EXPORTED = {**PLANNED, "done": {**PLANNED["done"], "export_reports": AT}}
APPROVED = {**EXPORTED, "done": {**EXPORTED["done"], "approve": AT}}
RESET = {**APPROVED, "done": {**APPROVED["done"], "verify_reset": AT}}
CERTIFICATE = {"plan_no": 1, "issued_at": AT, "sha256": "a" * 64, "path": "certificates/x.json"}

PHASES: dict[Phase, list[dict[str, Any]]] = {
    Phase.SCHEDULED: [{}],
    Phase.INFORMED: [{"notices": {"informed_at": AT, "last_sent_at": AT, "failed": 0}}],
    Phase.HELD: [{"holds": {"holds": 2, "of_district": 1, "since": AT}}],
    Phase.EXPORTING: [PLANNED, {"rollover": ROLLOVER}],
    Phase.WAITING_FOR_APPROVAL: [EXPORTED],
    Phase.ARCHIVING_AND_ERASING: [APPROVED],
    Phase.WAITING_FOR_ROSTER: [
        RESET,
        {**RESET, "new_roster": {**NEW_ROSTER, "state": "staged"}},
        {**RESET, "new_roster": NEW_ROSTER},
    ],
    Phase.ROSTER_IN_REVIEW: [
        {**RESET, "new_roster": {**NEW_ROSTER, "state": "in_review", "reason": "2 over the limits"}}
    ],
    Phase.VERIFYING: [{**RESET, "done": {**RESET["done"], "import_roster": AT}}],
    Phase.CERTIFIED: [
        {
            **RESET,
            "rollover": {**ROLLOVER, "state": "certified", "finished_at": AT},
            "certificate": CERTIFICATE,
        }
    ],
    Phase.REJECTED: [{**EXPORTED, "plan": {**PLAN, "rejected_by": "dana", "rejected_at": AT}}],
    Phase.REFUSED: [{**APPROVED, "failure": FAILURE}],
    Phase.FAILED: [
        {**APPROVED, "failure": {**FAILURE, "is_refusal": False, "reason": None, "error_class": "OperationalError"}}
    ],
}
ALARMS: dict[Alarm, dict[str, Any]] = {
    Alarm.RESET_DATE_PASSED: {},
    Alarm.APPROVAL_OVERDUE: EXPORTED,
    Alarm.REVIEW_OVERDUE: {**RESET, "in_review": {"imports": 1, "since": AT}},
    Alarm.FILES_MISSING: RESET,
    Alarm.DROP_REJECTED: {**RESET, "newest_drop": DROP},
    Alarm.ROSTER_IN_REVIEW: {**RESET, "in_review": {"imports": 2, "since": NOW}},
    Alarm.IMPORT_FAILED: {**RESET, "import_failure": FAILURE},
    Alarm.FILES_NOT_READ: {**RESET, "newest_drop": DROP, "unread": {"files": 2, "found_at": AT}},
    Alarm.PAUSE_TOO_LONG: {
        **RESET,
        "pause": {"since": datetime(2026, 6, 1, tzinfo=UTC), "by": "dana", "reason": "rollover of 2025-26"},
    },
    Alarm.DAG_PAUSED: {"dag": {"state": "paused", "since": AT}},
    Alarm.DAG_MISSING: {"dag": {"state": "missing", "since": AT}},
    Alarm.NOTICE_NOT_SENT: {"notices": {"informed_at": None, "last_sent_at": None, "failed": 2}},
}


def state_with(given: dict[str, Any]) -> TenantState:
    """The state of Riverside's Hero with some facts; of all other things there are none."""
    facts: dict[str, Any] = dict.fromkeys(Facts.model_fields)
    facts |= {"current_school_year": YEAR.key, "done": {}, "waiting_imports": 0, "questions": (), **given}
    product = load_catalog(PRODUCTS / "none", PRODUCTS).products["hero"]
    where = district(school_years={YEAR.next.key: {"first_day": date(2026, 8, 1)}})
    tenant = Tenant("hero", "riverside-ca")
    dates = Dates.of(tenant, YEAR.key, where, product)
    return state_of(tenant, YEAR.key, Facts.model_validate(facts), where, product, dates, NOW)


def test_every_phase_has_its_line() -> None:
    assert set(PHASES) == set(Phase)
    lines = []
    for phase, cases in PHASES.items():
        for case in cases:
            state = state_with(case)
            assert state.phase is phase
            lines.append(f"{phase}, {state.severity}, {state.waits_for.label}\n  {state.summary}")
    check_example("state--every_phase.txt", "\n".join(lines))


def test_every_alarm_has_its_sentence() -> None:
    assert set(ALARMS) == set(Alarm)
    lines = []
    for alarm, given in ALARMS.items():
        state = state_with(given)
        assert alarm in state.alarms
        lines.append(f"{alarm}, {alarm.severity}\n  {render('alarm.txt.j2', alarm=alarm, state=state)}")
    check_example("alarm--every_alarm.txt", "\n".join(lines))


def test_a_drop_in_a_line() -> None:
    lines = [
        import_in_words(ImportFacts.model_validate({**DROP, **changed}))
        for changed in (
            {},
            {
                "state": "found",
                "school_year": None,
                "rows": None,
                "rejected": None,
                "errors": None,
                "warnings": None,
                "reason": None,
            },
            {"state": "in_review", "files_from": datetime(2026, 7, 9, 9, tzinfo=UTC), "reason": "2 over the limits"},
        )
    ]
    check_example("import--each.txt", "\n".join(lines))


def test_everything_about_a_tenant() -> None:
    pause = {"since": datetime(2026, 7, 8, 5, tzinfo=UTC), "by": "dana", "reason": "rollover of 2025-26"}
    given = {**APPROVED, "failure": FAILURE, "newest_drop": DROP, "pause": pause, "waiting_imports": 2}
    given |= {"unread": {"files": 1, "found_at": AT}, "exports": {"files": 12, "written_at": AT, "removed": 0}}
    review = ImportInReview(DROP["import_id"], AT, "2 over the limits")
    detail = TenantDetail([state_with(given)], ["legal hold on the district since 2026-07-01"], [review])
    check_example("tenant_detail--stopped.txt", "\n".join(detail.sentences))
    nobody = TenantDetail([], [], [])
    check_example("tenant_detail--unknown.txt", "\n".join(nobody.sentences))

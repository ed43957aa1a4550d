"""The kinds of notices, and the roles that get each: the rules of ``docs/notices.md``."""

from __future__ import annotations

from enum import StrEnum

from rollover.season.phases import WaitsFor


class Role(StrEnum):
    """Who a contact is: the district's people, and our own team."""

    DISTRICT_IT = "district_it"
    PRIVACY_OFFICER = "privacy_officer"
    CUSTOMER_SUCCESS = "customer_success"
    DATA_ENGINEER = "data_engineer"

    @property
    def label(self) -> str:
        """The role as people read it."""
        return "district IT" if self is Role.DISTRICT_IT else self.value.replace("_", " ")

    @property
    def is_ours(self) -> bool:
        """Whether it is one of our own team: it may see internal reasons, and has a login to Airflow."""
        return self in (Role.CUSTOMER_SUCCESS, Role.DATA_ENGINEER)


class Kind(StrEnum):
    """The kinds of notices. The text of each is a template, see :attr:`template`."""

    RESET_IN_4_WEEKS = "reset_in_4_weeks"
    RESET_IN_2_WEEKS = "reset_in_2_weeks"
    RESET_IN_1_WEEK = "reset_in_1_week"
    RESET_IN_1_DAY = "reset_in_1_day"
    CERTIFIED = "certified"
    FILES_MISSING = "files_missing"
    ROSTER_REJECTED = "roster_rejected"
    ROSTER_IN_REVIEW = "roster_in_review"
    APPROVAL_WAITING = "approval_waiting"
    STEP_FAILED = "step_failed"

    @property
    def template(self) -> str:
        """The template of its text. The four before a reset share one."""
        return f"notice_{'reset' if self in DAYS_BEFORE else self.value}.txt.j2"


DAYS_BEFORE = {
    Kind.RESET_IN_4_WEEKS: 28,
    Kind.RESET_IN_2_WEEKS: 14,
    Kind.RESET_IN_1_WEEK: 7,
    Kind.RESET_IN_1_DAY: 1,
}
"""So many days before the reset date each notice about it is due."""

_IT, _PRIVACY, _SUCCESS, _ENGINEER = Role
ROLES: dict[Kind, tuple[Role, ...]] = {
    Kind.RESET_IN_4_WEEKS: (_IT, _PRIVACY, _SUCCESS),
    Kind.RESET_IN_2_WEEKS: (_IT, _SUCCESS),
    Kind.RESET_IN_1_WEEK: (_IT, _SUCCESS),
    Kind.RESET_IN_1_DAY: (_IT, _SUCCESS, _ENGINEER),
    Kind.CERTIFIED: (_IT, _PRIVACY, _SUCCESS, _ENGINEER),
    Kind.FILES_MISSING: (_IT, _SUCCESS),
    Kind.ROSTER_REJECTED: (_IT, _SUCCESS, _ENGINEER),
    Kind.ROSTER_IN_REVIEW: (_SUCCESS, _ENGINEER),
    Kind.APPROVAL_WAITING: (_ENGINEER,),
    Kind.STEP_FAILED: (_ENGINEER,),
}
"""The roles that get a notice. A failure also goes to our role that has to act."""


def roles_of(kind: Kind, waits_for: str) -> tuple[Role, ...]:
    """The roles that get a notice of `kind`, if the tenant waits for `waits_for`."""
    roles = ROLES[kind]
    if kind is Kind.STEP_FAILED and waits_for == WaitsFor.CUSTOMER_SUCCESS:
        return (_SUCCESS, *roles)
    return roles

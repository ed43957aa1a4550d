"""Lists what each column of a table with districts' data has, reviewed column by column.

A column is part of a *key* (an id or a reference, pseudonymous at most), or it holds data of the table's *data class*
and is kept, reset, archived or erased with it, or it is *exempt*: it says nothing about a person. A new column must be
listed here before `rollover lint` and the verification accept its table, so that nobody adds a name or an e-mail
address to a kept table without deciding what happens to it. An exemption names the column's type: if that changes, the
column is reviewed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import Table


@dataclass(frozen=True)
class Columns:
    """The reviewed columns of one table, by what they hold; names separated by spaces.

    `exempt` gives the type and the reason by column.
    """

    key: str
    data: str = ""
    exempt: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [*self.key.split(), *self.data.split(), *self.exempt]


_TENANT = "tenant_id school_id"
_YEARLY = f"{_TENANT} school_year"
_SETTING = "a setting of the school, reviewed 2026-11: about no person"
_ROSTER = "row_hash import_id status"
_LOGIN = Columns(f"{_TENANT} login_id person_id", "username password_hash created_at")
_ACCOUNT = f"{_TENANT} account_id"

HERO = {
    "tracking_events": Columns(
        f"{_YEARLY} event_id student_id employee_id code_id", "occurred_at location points comment"
    ),
    "action_assignments": Columns(f"{_YEARLY} assignment_id event_id student_id action_id", "assigned_on served_on"),
    "points_ledger": Columns(f"{_YEARLY} entry_id student_id", "kind points entered_at"),
    "point_balances": Columns(f"{_TENANT} student_id", "balance as_of"),
    "action_settings": Columns(
        f"{_TENANT} action_id code_id",
        exempt={"name": ("TEXT", _SETTING), "threshold": ("INTEGER", _SETTING), "updated_at": ("DATETIME", _SETTING)},
    ),
    "behavior_codes": Columns(
        f"{_TENANT} code_id",
        exempt={
            "name": ("TEXT", _SETTING),
            "kind": ("TEXT", _SETTING),
            "points": ("INTEGER", _SETTING),
            "active": ("BOOLEAN", _SETTING),
            "updated_at": ("DATETIME", _SETTING),
        },
    ),
    "bell_schedules": Columns(
        f"{_TENANT} schedule_id period",
        exempt={
            "name": ("TEXT", _SETTING),
            "starts_at": ("TIME", _SETTING),
            "ends_at": ("TIME", _SETTING),
            "effective_from": ("DATE", _SETTING),
        },
    ),
    "email_templates": Columns(
        f"{_TENANT} template_id",
        exempt={
            "name": ("TEXT", _SETTING),
            "subject": ("TEXT", _SETTING),
            "body": ("TEXT", _SETTING),
            "active": ("BOOLEAN", _SETTING),
        },
    ),
    "notification_settings": Columns(
        _TENANT, exempt={"sending": ("BOOLEAN", _SETTING), "switched_at": ("DATETIME", _SETTING)}
    ),
    "portal_settings": Columns(
        _TENANT,
        exempt={"students_see_schedules": ("BOOLEAN", _SETTING), "parents_see_schedules": ("BOOLEAN", _SETTING)},
    ),
    "student_logins": _LOGIN,
    "parent_logins": _LOGIN,
    "employee_logins": _LOGIN,
}
IMAGINE = {
    "assessments": Columns(f"{_YEARLY} assessment_id account_id", "name score taken_on"),
    "usage": Columns(f"{_YEARLY} account_id week_of", "minutes problems"),
    "progress": Columns(f"{_YEARLY} account_id pathway", "lessons_assigned lessons_passed average_score"),
    "classrooms": Columns(f"{_TENANT} classroom_id class_id educator_account_id", "name"),
    "classroom_students": Columns(f"{_TENANT} classroom_id account_id"),
    "student_accounts": Columns(f"{_ACCOUNT} person_id", "username grade band created_at"),
    "educator_accounts": Columns(f"{_ACCOUNT} person_id", "username created_at"),
}
IMAGINE_MATH = {
    **IMAGINE,
    "pathways": Columns(f"{_YEARLY} account_id pathway", "assigned_on completed_on"),
    "think_points": Columns(_ACCOUNT, "points as_of"),
    "avatars": Columns(_ACCOUNT, "avatar updated_at"),
}
ROSTER = {
    "orgs": Columns(f"tenant_id sourced_id parent_id {_ROSTER}", "name type identifier"),
    "academic_sessions": Columns(
        f"tenant_id sourced_id parent_id {_ROSTER}", "title type start_date end_date school_year"
    ),
    "courses": Columns(f"tenant_id sourced_id org_id school_year_session_id {_ROSTER}", "title course_code grades"),
    "classes": Columns(
        f"tenant_id sourced_id course_id school_id term_ids {_ROSTER}",
        "title class_code class_type grades periods location",
    ),
    "people": Columns(
        f"tenant_id sourced_id school_ids {_ROSTER}",
        "role given_name middle_name family_name username email identifier birth_date grade enabled last_year_grade",
    ),
    "guardians": Columns(f"tenant_id student_id guardian_id {_ROSTER}"),
    "enrollments": Columns(
        f"tenant_id sourced_id class_id school_id person_id {_ROSTER}", "role primary begin_date end_date"
    ),
}
COLUMNS: dict[str, Columns] = {
    f"{schema}.{name}": columns
    for schema, tables in (
        ("hero", HERO),
        ("imagine_math", IMAGINE_MATH),
        ("imagine_math_facts", IMAGINE),
        ("roster", ROSTER),
    )
    for name, columns in tables.items()
}
"""By table."""


def column_problems(table: Table) -> Iterator[str]:
    """Yield a sentence for each column of a table that is unlisted, stale or listed twice."""
    listed = COLUMNS.get(table.fullname, Columns(""))
    names = listed.names
    for name in sorted(set(table.c.keys()) - set(names)):
        yield f"{table.fullname}.{name} is neither a key, nor of a data class, nor exempt"
    for name in sorted(set(names) - set(table.c.keys())):
        yield f"{table.fullname}.{name} is listed, but the table has no such column"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{table.fullname}.{name} is listed twice"
    for name, (kind, _) in listed.exempt.items():
        if name in table.c and str(table.c[name].type) != kind:
            yield f"{table.fullname}.{name} is exempt as {kind}, but its type is {table.c[name].type}"

"""Lists the columns in which a product keeps the id of a person of the roster.

If a person's id changes at its source, it is changed in all of them. The tables of the roster itself follow the files.
"""

from __future__ import annotations

PERSON_COLUMNS: dict[str, tuple[str, ...]] = {
    "hero.tracking_events": ("student_id", "employee_id"),
    "hero.action_assignments": ("student_id",),
    "hero.points_ledger": ("student_id",),
    "hero.point_balances": ("student_id",),
    "hero.student_logins": ("person_id",),
    "hero.parent_logins": ("person_id",),
    "hero.employee_logins": ("person_id",),
    "imagine_math.student_accounts": ("person_id",),
    "imagine_math.educator_accounts": ("person_id",),
    "imagine_math_facts.student_accounts": ("person_id",),
    "imagine_math_facts.educator_accounts": ("person_id",),
}
"""By table. Imagine's rows by account follow the account."""

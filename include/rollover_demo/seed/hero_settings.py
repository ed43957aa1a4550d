"""Makes what schools have set up in Hero: codes, actions, bells, templates, switches and logins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl

from rollover_demo.seed.names import ACTIONS, BEHAVIOR_CODES, EMAIL_TEMPLATES, PERIODS
from rollover_demo.seed.roster import Person, Roster, generator, noon

Frames = dict[str, pl.DataFrame]
PASSWORD_HASH = "synthetic, matches no password"  # noqa: S105


def frames(roster: Roster) -> Frames:
    """The tables of settings and logins, by name."""
    return {**_settings(roster), **_logins(roster)}


def _settings(roster: Roster) -> Frames:
    calendar = roster.district.calendar(roster.year)
    set_up = noon(calendar.starts - timedelta(days=20))
    schools = [school.id for school in roster.tenant.schools]
    codes = [
        {
            "school_id": s,
            "code_id": f"{s}-{slug}",
            "name": name,
            "kind": kind,
            "points": points,
            "active": True,
        }
        for s in schools
        for slug, name, kind, points, _ in BEHAVIOR_CODES
    ]
    updated = [set_up for _ in codes]
    if roster.tenant.code_updated_in_summer:
        updated[0] = noon(calendar.ends + timedelta(days=10))
    actions = [
        {
            "school_id": s,
            "action_id": f"{s}-{slug}",
            "name": name,
            "code_id": f"{s}-{code}",
            "threshold": threshold,
        }
        for s in schools
        for slug, name, code, threshold in ACTIONS
    ]
    bells: list[dict[str, Any]] = [
        {
            "school_id": s,
            "schedule_id": f"{s}-regular",
            "period": str(n),
            "name": "Regular day",
            "starts_at": bell,
            "ends_at": bell.replace(minute=50),
            "effective_from": calendar.starts,
        }
        for s in schools
        for n, bell in enumerate(PERIODS, start=1)
    ]
    templates = [
        {
            "school_id": s,
            "template_id": f"{s}-{slug}",
            "name": name,
            "subject": subject,
            "body": body,
            "active": True,
        }
        for s in schools
        for slug, name, subject, body in EMAIL_TEMPLATES
    ]
    return {
        "behavior_codes": pl.DataFrame(codes).with_columns(pl.Series("updated_at", updated)),
        "action_settings": pl.DataFrame(actions).with_columns(pl.lit(set_up).alias("updated_at")),
        "bell_schedules": pl.DataFrame(bells),
        "email_templates": pl.DataFrame(templates),
        "notification_settings": pl.DataFrame({"school_id": schools}).with_columns(
            pl.lit(True).alias("sending"), pl.lit(set_up).alias("switched_at")
        ),
        "portal_settings": pl.DataFrame({"school_id": schools}).with_columns(
            pl.lit(True).alias("students_see_schedules"), pl.lit(True).alias("parents_see_schedules")
        ),
    }


def _logins(roster: Roster) -> Frames:
    """Return the people with an account: nearly all students, about half of the guardians, every employee."""
    rng = generator(roster.tenant.id, "logins")
    created = roster.district.calendar(roster.year).starts
    found = {}
    for table, people, share in (
        ("student_logins", roster.students, 0.9),
        ("parent_logins", roster.of_role("guardian"), 0.55),
        ("employee_logins", roster.educators, 1.0),
    ):
        chosen: list[Person] = [p for p in people if rng.random() < share]
        found[table] = pl.DataFrame(
            {
                "school_id": [p.school_id for p in chosen],
                "login_id": [f"L-{p.id}" for p in chosen],
                "person_id": [p.id for p in chosen],
                "username": [p.username for p in chosen],
                "password_hash": [PASSWORD_HASH for _ in chosen],
                "created_at": [noon(created - timedelta(days=int(rng.integers(1, 700)))) for _ in chosen],
            }
        )
    return found

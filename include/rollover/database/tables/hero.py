"""Declares the tables of SchoolMint Hero: behavior tracking, points, and the settings around them."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Date, DateTime, Integer, Time

from rollover.database.tables.base import activity_table, bigint, product_table, text

SCHEMA = "hero"

behavior_codes = product_table(
    SCHEMA,
    "behavior_codes",
    "code_id",
    "behavior_codes",
    text("code_id"),
    text("name"),
    text("kind"),
    Column("points", Integer, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    comment="What a school tracks: code, kind (positive, negative, tardy) and points",
)

action_settings = product_table(
    SCHEMA,
    "action_settings",
    "action_id",
    "action_settings",
    text("action_id"),
    text("name"),
    text("code_id"),
    Column("threshold", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    comment="What follows when a code was tracked `threshold` times",
)

tracking_events = activity_table(
    SCHEMA,
    "tracking_events",
    "event_id",
    "tracking_data",
    bigint("event_id"),
    text("student_id"),
    text("employee_id"),
    text("code_id"),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    text("location"),
    Column("points", Integer, nullable=False),
    text("comment", null=True),
    comment="A behavior that an employee tracked for a student",
)

action_assignments = activity_table(
    SCHEMA,
    "action_assignments",
    "assignment_id",
    "tracking_data",
    bigint("assignment_id"),
    bigint("event_id"),
    text("student_id"),
    text("action_id"),
    Column("assigned_on", Date, nullable=False),
    Column("served_on", Date),
    comment="A consequence that followed from an event, and when it was served",
)

points_ledger = activity_table(
    SCHEMA,
    "points_ledger",
    "entry_id",
    "points_history",
    bigint("entry_id"),
    text("student_id"),
    text("kind"),
    Column("points", Integer, nullable=False),
    Column("entered_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("kind IN ('earned', 'redeemed', 'adjusted', 'reset')", name="kind"),
    comment="Points earned and redeemed; a balance is the sum since the last reset entry",
)

point_balances = product_table(
    SCHEMA,
    "point_balances",
    "student_id",
    "points",
    text("student_id"),
    Column("balance", Integer, nullable=False),
    Column("as_of", DateTime(timezone=True), nullable=False),
    CheckConstraint("balance >= 0", name="never_negative"),
    comment="What a student can spend",
)

bell_schedules = product_table(
    SCHEMA,
    "bell_schedules",
    "schedule_id,period",
    "bell_schedules",
    text("schedule_id"),
    text("period"),
    text("name"),
    Column("starts_at", Time, nullable=False),
    Column("ends_at", Time, nullable=False),
    Column("effective_from", Date, nullable=False),
    comment="When the periods of a school begin and end",
)

email_templates = product_table(
    SCHEMA,
    "email_templates",
    "template_id",
    "email_templates",
    text("template_id"),
    text("name"),
    text("subject"),
    text("body"),
    Column("active", Boolean, nullable=False),
    comment="Notification e-mails; kept, never deactivated",
)

notification_settings = product_table(
    SCHEMA,
    "notification_settings",
    "school_id",
    "notification_switch",
    Column("sending", Boolean, nullable=False),
    Column("switched_at", DateTime(timezone=True), nullable=False),
    comment="Whether a school sends notification e-mails at all",
)

portal_settings = product_table(
    SCHEMA,
    "portal_settings",
    "school_id",
    "portal_schedules",
    Column("students_see_schedules", Boolean, nullable=False),
    Column("parents_see_schedules", Boolean, nullable=False),
    comment="Whether the portals show schedules",
)


def _logins(name: str, data_class: str, who: str) -> None:
    product_table(
        SCHEMA,
        name,
        "login_id",
        data_class,
        text("login_id"),
        text("person_id"),
        text("username"),
        text("password_hash"),
        Column("created_at", DateTime(timezone=True), nullable=False),
        comment=f"How {who} log in; kept from year to year",
    )


_logins("student_logins", "student_accounts", "students")
_logins("parent_logins", "parent_accounts", "parents")
_logins("employee_logins", "employee_accounts", "employees")

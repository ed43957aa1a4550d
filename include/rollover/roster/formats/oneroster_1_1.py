"""Defines OneRoster CSV 1.1: a person has one role, and the orgs it is at, in users.csv."""

from __future__ import annotations

from rollover.roster.formats import oneroster
from rollover.roster.formats.enrollments import ENROLLMENT_RULES, enrollment_role
from rollover.roster.formats.people import username_twice
from rollover.roster.formats.spec import Column, File, Format, Kind
from rollover.roster.model import ROLES

USERS = File(
    "users.csv",
    (
        *oneroster.identity(),
        Column("enabledUser", Kind.BOOLEAN, required=True, instead="true"),
        Column("orgSourcedIds", Kind.TEXTS, required=True, refers_to="orgs.csv"),
        Column("role", Kind.ENUM, required=True, values=ROLES, extensible=True),
        Column("username", required=True),
        Column("givenName", required=True),
        Column("familyName", required=True),
        Column("middleName", fills=("people", "middle_name")),
        Column("identifier", fills=("people", "identifier")),
        Column("email", fills=("people", "email")),
        Column("agentSourcedIds", Kind.TEXTS, refers_to="users.csv", fills=("guardians", "*")),
        Column("grades", Kind.GRADE, fills=("people", "grade")),
    ),
    identity="sourcedId",
    ignored=("userIds", "sms", "phone", "password"),
    order=(
        *("sourcedId", *oneroster.BLANK_IN_BULK, "enabledUser", "orgSourcedIds", "role", "username", "userIds"),
        *("givenName", "familyName", "middleName", "identifier", "email", "sms", "phone", "agentSourcedIds"),
        *("grades", "password"),
    ),
    bulk_is_blank=oneroster.BLANK_IN_BULK,
    **oneroster.records("people", "users", oneroster.LINKS_STAY),
    # A link stands on both sides, so that it goes only when both people are sent without it.
    live="""
        SELECT p.sourced_id AS sourcedId, p.enabled AS enabledUser, p.school_ids AS orgSourcedIds, p.role, p.username,
               p.given_name AS givenName, p.family_name AS familyName, p.middle_name AS middleName, p.identifier,
               p.email, coalesce(linked.agents, []) AS agentSourcedIds, p.grade AS grades
        FROM live_people p LEFT JOIN live_links linked ON linked.person_id = p.sourced_id
    """,
)
FORMAT = Format(
    name="oneroster_1_1",
    label="OneRoster 1.1",
    files=(
        oneroster.ORGS,
        oneroster.SESSIONS,
        oneroster.COURSES,
        oneroster.CLASSES,
        USERS,
        oneroster.demographics(("male", "female")),
        oneroster.ENROLLMENTS,
    ),
    shapes={
        **oneroster.SHAPES,
        "people": """
            SELECT 'users.csv' AS file, u."row", u.sourcedId AS sourced_id, u.role, u.givenName AS given_name,
                   u.middleName AS middle_name, u.familyName AS family_name, u.username, u.email, u.identifier,
                   d.birthDate AS birth_date, u.grades AS grade, u.orgSourcedIds AS school_ids,
                   u.enabledUser AS enabled
            FROM users u LEFT JOIN demographics d ON d.sourcedId = u.sourcedId
        """,
    },
    rules=(
        oneroster.AGENT_ROLE,
        username_twice("username"),
        enrollment_role("enrollments.csv", "users.csv"),
        *ENROLLMENT_RULES,
    ),
    own_columns=oneroster.OWN_COLUMNS,
    fixed_order=True,
    names_its_district=True,
    tells_students=("users.csv", "role"),
    tells_year=("academicSessions.csv", "schoolYear"),
    manifest_version="1.1",
    also_named=("1.1.1",),
    id_characters=oneroster.ID_CHARACTERS,
    unread=(
        "categories.csv",
        "classResources.csv",
        "courseResources.csv",
        "lineItems.csv",
        "resources.csv",
        "results.csv",
    ),
)

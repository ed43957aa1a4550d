"""Defines OneRoster CSV 1.2 and 1.2.1: the roles of a person, each at an org, are rows of roles.csv.

1.2.1 allows what 1.2 does not: a class in terms outside its course's, and an enrollment in a role unlike the person's.
Their manifests are the same, so neither is a finding.
"""

from __future__ import annotations

from rollover.roster.formats import oneroster
from rollover.roster.formats.enrollments import ENROLLMENT_RULES
from rollover.roster.formats.people import username_twice
from rollover.roster.formats.spec import OTHER_SCHOOLS_TOO, Column, File, Format, Keeps, Kind, Rule

ROLES = (
    "aide",
    "counselor",
    "districtAdministrator",
    "guardian",
    "parent",
    "principal",
    "proctor",
    "relative",
    "siteAdministrator",
    "student",
    "systemAdministrator",
    "teacher",
)
USERS = File(
    "users.csv",
    (
        *oneroster.identity(),
        Column("enabledUser", Kind.BOOLEAN, required=True, instead="true"),
        Column("username", required=True),
        Column("givenName", required=True),
        Column("familyName", required=True),
        Column("middleName", fills=("people", "middle_name")),
        Column("identifier", fills=("people", "identifier")),
        Column("email", fills=("people", "email")),
        Column("agentSourcedIds", Kind.TEXTS, refers_to="users.csv", fills=("guardians", "*")),
        Column("grades", Kind.GRADE, fills=("people", "grade")),
        Column("primaryOrgSourcedId", refers_to="orgs.csv"),
    ),
    identity="sourcedId",
    ignored=(
        "userIds",
        "sms",
        "phone",
        "password",
        "userMasterIdentifier",
        "resourceSourcedIds",
        "preferredGivenName",
        "preferredMiddleName",
        "preferredFamilyName",
        "pronouns",
    ),
    order=(
        *("sourcedId", *oneroster.BLANK_IN_BULK, "enabledUser", "username", "userIds", "givenName", "familyName"),
        *("middleName", "identifier", "email", "sms", "phone", "agentSourcedIds", "grades", "password"),
        *("userMasterIdentifier", "resourceSourcedIds", "preferredGivenName", "preferredMiddleName"),
        *("preferredFamilyName", "primaryOrgSourcedId", "pronouns"),
    ),
    bulk_is_blank=oneroster.BLANK_IN_BULK,
    **oneroster.records("people", "users", oneroster.LINKS_STAY),
    # A link stands on both sides, so that it goes only when both people are sent without it.
    live="""
        SELECT p.sourced_id AS sourcedId, p.enabled AS enabledUser, p.username, p.given_name AS givenName,
               p.family_name AS familyName, p.middle_name AS middleName, p.identifier, p.email,
               coalesce(linked.agents, []) AS agentSourcedIds, p.grade AS grades,
               p.school_ids[1] AS primaryOrgSourcedId
        FROM live_people p LEFT JOIN live_links linked ON linked.person_id = p.sourced_id
    """,
)
ROLES_FILE = File(
    "roles.csv",
    (
        *oneroster.identity(),
        Column("userSourcedId", required=True, refers_to="users.csv"),
        Column("roleType", Kind.ENUM, required=True, instead="primary", values=("primary", "secondary")),
        Column("role", Kind.ENUM, required=True, values=ROLES, extensible=True),
        Column("beginDate", Kind.DATE),
        Column("endDate", Kind.DATE),
        Column("orgSourcedId", required=True, refers_to="orgs.csv"),
    ),
    identity="sourcedId",
    ignored=("userProfileSourcedId",),
    bulk_is_blank=oneroster.BLANK_IN_BULK,
    replaced_by=("userSourcedId", "orgSourcedId"),
    # The person is a row of users.csv; their roles and schools are here.
    live_ids="""
        SELECT sourced_id || chr(31) || org_id AS id, sourced_id AS said
        FROM (SELECT sourced_id, unnest(school_ids) AS org_id FROM live_people)
    """,
    stays=(
        Keeps(
            "people",
            "live.sourced_id IN (SELECT said FROM lost_roles)",
            columns=(("role", "live.role"), OTHER_SCHOOLS_TOO),
        ),
    ),
    live="""
        SELECT NULL AS sourcedId, sourced_id AS userSourcedId, 'primary' AS roleType, role,
               unnest(school_ids) AS orgSourcedId
        FROM live_people
    """,
    rules=(
        Rule(
            "depends_on_rejected",
            "error",
            "sourcedId",
            "The person's roles in roles.csv were rejected. Fix these rows.",
            """SELECT u."row" FROM users u ANTI JOIN roles r ON r.userSourcedId = u.sourcedId
               SEMI JOIN read_roles sent ON sent.userSourcedId = u.sourcedId AND NOT sent.is_deleted""",
            file="users.csv",
        ),
        Rule(
            "role_missing",
            "error",
            "sourcedId",
            "The person has no role at any org in roles.csv. Send the role too.",
            'SELECT u."row" FROM users u ANTI JOIN roles r ON r.userSourcedId = u.sourcedId',
            file="users.csv",
        ),
        Rule(
            "primary_role",
            "warning",
            "roleType",
            "The person has a primary role at this org already. There is one for each person and org.",
            """SELECT "row" FROM roles WHERE roleType = 'primary'
               QUALIFY row_number() OVER (PARTITION BY userSourcedId, orgSourcedId ORDER BY "row") > 1""",
        ),
        Rule(
            "primary_role_missing",
            "warning",
            "roleType",
            "The person has no primary role; the first one counts.",
            """SELECT min("row") FILTER ("row" > 0) AS "row" FROM roles GROUP BY userSourcedId
               HAVING NOT bool_or(roleType = 'primary')""",
        ),
        Rule(
            "primary_org",
            "warning",
            "primaryOrgSourcedId",
            "The person has no role at primaryOrgSourcedId.",
            """SELECT u."row" FROM users u
               ANTI JOIN roles r ON r.userSourcedId = u.sourcedId AND r.orgSourcedId = u.primaryOrgSourcedId
               WHERE u.primaryOrgSourcedId IS NOT NULL""",
            file="users.csv",
        ),
    ),
)
ADMINISTRATORS = "('districtAdministrator', 'siteAdministrator', 'systemAdministrator', 'principal')"
FORMAT = Format(
    name="oneroster_1_2",
    label="OneRoster 1.2",
    files=(
        oneroster.ORGS,
        oneroster.SESSIONS,
        oneroster.COURSES,
        oneroster.CLASSES,
        USERS,
        ROLES_FILE,
        oneroster.demographics(("male", "female", "unspecified", "other")),
        oneroster.ENROLLMENTS,
    ),
    shapes={
        **oneroster.SHAPES,
        # The administrators of 1.2 are the one administrator of 1.1, so that all formats end in the same words. Live
        # rows come first, in the order in which they are live: their places count down from -1.
        "people": f"""
            WITH ranked AS (
                SELECT r.userSourcedId, r.orgSourcedId, r.role, {{'sent': r."row" > 0, 'nth': abs(r."row")}} AS place,
                       (r.roleType <> 'primary')::INT AS secondary,
                       (r.orgSourcedId IS DISTINCT FROM u.primaryOrgSourcedId)::INT AS elsewhere
                FROM roles r JOIN users u ON u.sourcedId = r.userSourcedId
            ),
            placed AS (
                SELECT userSourcedId, orgSourcedId, min(elsewhere) AS elsewhere, min(secondary) AS secondary,
                       min(place) AS place, first(role ORDER BY secondary, place) AS role
                FROM ranked GROUP BY userSourcedId, orgSourcedId
            ),
            held AS (
                SELECT userSourcedId,
                       list(orgSourcedId ORDER BY elsewhere, secondary, place, orgSourcedId) AS school_ids,
                       first(role ORDER BY secondary, elsewhere, place, role) AS role
                FROM placed GROUP BY userSourcedId
            )
            SELECT 'users.csv' AS file, u."row", u.sourcedId AS sourced_id,
                   CASE WHEN h.role IN {ADMINISTRATORS} THEN 'administrator' ELSE h.role END AS role,
                   u.givenName AS given_name, u.middleName AS middle_name, u.familyName AS family_name, u.username,
                   u.email, u.identifier, d.birthDate AS birth_date, u.grades AS grade, h.school_ids,
                   u.enabledUser AS enabled
            FROM users u
            JOIN held h ON h.userSourcedId = u.sourcedId
            LEFT JOIN demographics d ON d.sourcedId = u.sourcedId
        """,
    },
    rules=(oneroster.AGENT_ROLE, username_twice("username"), *ENROLLMENT_RULES),
    own_columns=oneroster.OWN_COLUMNS,
    fixed_order=True,
    names_its_district=True,
    tells_students=("roles.csv", "role"),
    tells_year=("academicSessions.csv", "schoolYear"),
    manifest_version="1.2",
    also_named=("1.2.1",),
    id_characters=oneroster.ID_CHARACTERS,
    unread=(
        "categories.csv",
        "classResources.csv",
        "courseResources.csv",
        "lineItemLearningObjectiveIds.csv",
        "lineItems.csv",
        "lineItemScoreScales.csv",
        "resources.csv",
        "resultLearningObjectiveIds.csv",
        "results.csv",
        "resultScoreScales.csv",
        "scoreScales.csv",
        "userProfiles.csv",
        "userResources.csv",
    ),
)

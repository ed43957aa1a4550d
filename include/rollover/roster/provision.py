"""Give the people of the live roster what a product needs for them: accounts, classrooms, a balance of points."""

from __future__ import annotations

from string import Template

from sqlalchemy import Connection, text

# A person can belong to several orgs, the district among them: their school is the first that is one, else the
# school of an enrollment.
SCHOOL_OF_PERSON = """
    JOIN LATERAL (
        SELECT coalesce(
            (SELECT o.sourced_id
             FROM unnest(p.school_ids) WITH ORDINALITY AS listed (org_id, place)
             JOIN roster.orgs o ON o.sourced_id = listed.org_id AND o.type = 'school'
             ORDER BY listed.place LIMIT 1),
            (SELECT min(e.school_id) FROM roster.enrollments e
             WHERE e.person_id = p.sourced_id AND e.status = 'active')
        ) AS id
    ) school ON school.id IS NOT NULL
"""

NEW_BALANCES = """
    INSERT INTO hero.point_balances (tenant_id, school_id, student_id, balance, as_of)
    SELECT p.tenant_id, school.id, p.sourced_id, 0, now()
    FROM roster.people p $school_of_person
    WHERE p.status = 'active' AND p.role = 'student'
    ON CONFLICT (tenant_id, student_id) DO NOTHING
"""

# A grade that the files do not say counts as the upper band, where nothing is hidden from a student.
STUDENTS = """
    SELECT p.tenant_id, school.id AS school_id, p.sourced_id AS person_id, p.username,
           coalesce(p.grade, 'Other') AS grade,
           CASE WHEN p.grade IN ('IT', 'PR', 'PK', 'TK', 'KG', '01', '02') THEN 'PreK-2' ELSE '3+' END AS band
    FROM roster.people p $school_of_person
    WHERE p.status = 'active' AND p.role = 'student'
"""

NEW_STUDENT_ACCOUNTS = """
    INSERT INTO $schema.student_accounts
        (tenant_id, school_id, account_id, person_id, username, grade, band, created_at)
    SELECT s.tenant_id, s.school_id, gen_random_uuid()::text, s.person_id, s.username, s.grade, s.band, now()
    FROM ($students) s
    WHERE NOT EXISTS (SELECT FROM $schema.student_accounts a WHERE a.person_id = s.person_id)
"""

CHANGED_STUDENT_ACCOUNTS = """
    UPDATE $schema.student_accounts a
    SET school_id = s.school_id, username = s.username, grade = s.grade, band = s.band
    FROM ($students) s
    WHERE a.person_id = s.person_id
      AND (a.school_id, a.username, a.grade, a.band)
          IS DISTINCT FROM (s.school_id, s.username, s.grade, s.band)
"""

NEW_EDUCATOR_ACCOUNTS = """
    INSERT INTO $schema.educator_accounts (tenant_id, school_id, account_id, person_id, username, created_at)
    SELECT p.tenant_id, school.id, gen_random_uuid()::text, p.sourced_id, p.username, now()
    FROM roster.people p $school_of_person
    WHERE p.status = 'active' AND p.role = 'teacher'
      AND NOT EXISTS (SELECT FROM $schema.educator_accounts a WHERE a.person_id = p.sourced_id)
"""

# A class is led by its primary teacher; without one, by the first who has an account.
CLASSES = """
    SELECT c.tenant_id, c.school_id, c.sourced_id AS class_id, c.title AS name, teacher.account_id
    FROM roster.classes c
    LEFT JOIN (
        SELECT DISTINCT ON (e.class_id) e.class_id, a.account_id
        FROM roster.enrollments e JOIN $schema.educator_accounts a ON a.person_id = e.person_id
        WHERE e.status = 'active' AND e.role = 'teacher'
        ORDER BY e.class_id, e."primary" DESC NULLS LAST, e.sourced_id
    ) teacher ON teacher.class_id = c.sourced_id
    WHERE c.status = 'active'
"""

NEW_CLASSROOMS = """
    INSERT INTO $schema.classrooms (tenant_id, school_id, classroom_id, class_id, name, educator_account_id)
    SELECT c.tenant_id, c.school_id, gen_random_uuid()::text, c.class_id, c.name, c.account_id
    FROM ($classes) c
    WHERE NOT EXISTS (SELECT FROM $schema.classrooms r WHERE r.class_id = c.class_id)
"""

CHANGED_CLASSROOMS = """
    UPDATE $schema.classrooms r
    SET school_id = c.school_id, name = c.name, educator_account_id = c.account_id
    FROM ($classes) c
    WHERE r.class_id = c.class_id
      AND (r.school_id, r.name, r.educator_account_id) IS DISTINCT FROM (c.school_id, c.name, c.account_id)
"""

SEATS = """
    CREATE TEMPORARY TABLE seats ON COMMIT DROP AS
    SELECT DISTINCT r.tenant_id, r.school_id, r.classroom_id, a.account_id
    FROM roster.enrollments e
    JOIN $schema.classrooms r ON r.class_id = e.class_id
    JOIN $schema.student_accounts a ON a.person_id = e.person_id
    WHERE e.status = 'active' AND e.role = 'student'
"""

NEW_SEATS = """
    INSERT INTO $schema.classroom_students (tenant_id, school_id, classroom_id, account_id)
    SELECT tenant_id, school_id, classroom_id, account_id FROM pg_temp.seats
    ORDER BY classroom_id, account_id
    ON CONFLICT (tenant_id, classroom_id, account_id) DO NOTHING
"""

LEFT_SEATS = """
    DELETE FROM $schema.classroom_students held
    WHERE NOT EXISTS (
        SELECT FROM pg_temp.seats seat
        WHERE seat.classroom_id = held.classroom_id AND seat.account_id = held.account_id
    )
"""

# What the statements name by $: the product's schema, and these, which use it themselves.
PARTS = {"school_of_person": SCHOOL_OF_PERSON, "classes": CLASSES}

HERO = {"point_balances_added": NEW_BALANCES}
IMAGINE = {
    "student_accounts_added": NEW_STUDENT_ACCOUNTS,
    "student_accounts_changed": CHANGED_STUDENT_ACCOUNTS,
    "educator_accounts_added": NEW_EDUCATOR_ACCOUNTS,
    "classrooms_added": NEW_CLASSROOMS,
    "classrooms_changed": CHANGED_CLASSROOMS,
}
SEATED = {"classroom_students_added": NEW_SEATS, "classroom_students_removed": LEFT_SEATS}
STATEMENTS = {"hero": HERO, "imagine_math": IMAGINE, "imagine_math_facts": IMAGINE}


def provision(connection: Connection, product: str) -> dict[str, int]:
    """Bring a product's accounts in line with the live roster; return the rows changed by each statement.

    Accounts that exist are kept, also of people who left. Hero's logins are made by people: it only gets a
    balance of 0 points for each new student. `connection` is the tenant session that applied the roster. Does
    nothing when all is there.
    """
    # The rows that this transaction brought are not in the planner's statistics: it expects hardly any, and
    # would go through all of them for each of them.
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    changed = _run(connection, product, STATEMENTS[product])
    if product != "hero":
        connection.execute(text(_for_product(SEATS, product)))
        changed |= _run(connection, product, SEATED)
        connection.execute(text("DROP TABLE pg_temp.seats"))
    connection.execute(text("SET LOCAL enable_nestloop TO DEFAULT"))
    return changed


def _run(connection: Connection, product: str, statements: dict[str, str]) -> dict[str, int]:
    return {
        name: connection.execute(text(_for_product(statement, product))).rowcount
        for name, statement in statements.items()
    }


def _for_product(statement: str, product: str) -> str:
    """A statement with its parts put in, for a product's schema: one of our own names, never a value."""
    students = Template(STUDENTS).substitute(PARTS)
    parts = {name: Template(part).substitute(schema=product) for name, part in PARTS.items()}
    return Template(statement).substitute(parts, schema=product, students=students)

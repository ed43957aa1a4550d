"""Creates the accounts, classrooms and balances of points that a product needs for the people of the live roster."""

from __future__ import annotations

from sqlalchemy import Connection, text

from rollover.database.held import is_held
from rollover.database.tables import metadata
from rollover.roster.applying import history
from rollover.roster.applying.bulk import planner

# A person can belong to several orgs, the district among them: their school is the first that is one, else the
# school of an enrollment.
SERVED = """
    CREATE TEMPORARY TABLE served ON COMMIT DROP AS
    WITH asked AS MATERIALIZED (
        SELECT p.sourced_id AS person_id, p.role, p.username, p.grade, p.school_ids, o.sourced_id AS school_id
        FROM roster.people p
        LEFT JOIN roster.orgs o ON o.sourced_id = p.school_ids[1] AND o.type = 'school'
        WHERE p.status = 'active' AND {who}
    ), listed AS MATERIALIZED (
        SELECT DISTINCT ON (a.person_id) a.person_id, o.sourced_id AS school_id
        FROM asked a
        CROSS JOIN LATERAL unnest(a.school_ids) WITH ORDINALITY AS listed (org_id, place)
        JOIN roster.orgs o ON o.sourced_id = listed.org_id AND o.type = 'school'
        WHERE a.school_id IS NULL
        ORDER BY a.person_id, listed.place
    ), enrolled AS MATERIALIZED (
        SELECT e.person_id, min(e.school_id) AS school_id
        FROM (
            SELECT person_id FROM asked WHERE school_id IS NULL EXCEPT SELECT person_id FROM listed
        ) unlisted
        JOIN roster.enrollments e ON e.person_id = unlisted.person_id AND e.status = 'active'
        GROUP BY e.person_id
    )
    SELECT a.person_id, a.role, a.username, school.id AS school_id,
           -- A grade that the files do not say counts as the upper band, where nothing is hidden from a student.
           coalesce(a.grade, 'Other') AS grade,
           CASE WHEN a.grade IN ('IT', 'PR', 'PK', 'TK', 'KG', '01', '02') THEN 'PreK-2' ELSE '3+' END AS band
    FROM asked a
    LEFT JOIN listed USING (person_id)
    LEFT JOIN enrolled USING (person_id)
    CROSS JOIN LATERAL (SELECT coalesce(a.school_id, listed.school_id, enrolled.school_id) AS id) school
    WHERE school.id IS NOT NULL
"""
# Whose username is another's login. It stays with the account that has it, and then with the first person. Only few
# people of a roster are looked at closely.
SHARED_LOGINS = """
    CREATE TEMPORARY TABLE shared_logins ON COMMIT DROP AS
    WITH accounts AS MATERIALIZED (
        SELECT person_id, lower(username) AS login FROM {schema}.student_accounts
        UNION ALL
        SELECT person_id, lower(username) FROM {schema}.educator_accounts
    ), claims AS MATERIALIZED (
        SELECT person_id, lower(username) AS login, true AS is_served FROM pg_temp.served
        UNION ALL
        SELECT a.person_id, a.login, false FROM accounts a
        WHERE NOT EXISTS (SELECT FROM pg_temp.served s WHERE s.person_id = a.person_id)
    ), twice AS MATERIALIZED (
        SELECT login FROM claims GROUP BY login HAVING count(DISTINCT person_id) > 1
    )
    SELECT person_id FROM (
        SELECT c.person_id, c.is_served, row_number() OVER (
            PARTITION BY login
            ORDER BY c.is_served, EXISTS (
                SELECT FROM accounts a WHERE a.person_id = c.person_id AND a.login = c.login
            ) DESC, c.person_id
        ) AS place
        FROM (SELECT DISTINCT person_id, login, is_served FROM claims JOIN twice USING (login)) c
    ) claimed
    WHERE is_served AND place > 1
"""
# The account of somebody whose new username is another's login keeps the one that it has.
OWN_LOGINS = """
    UPDATE pg_temp.served s SET username = a.username FROM {schema}.student_accounts a
    WHERE a.person_id = s.person_id AND s.person_id IN (SELECT person_id FROM pg_temp.shared_logins)
"""
WITHOUT_LOGIN = "s.person_id IN (SELECT person_id FROM pg_temp.shared_logins)"
STUDENTS_WITHOUT_BALANCE = """
    p.role = 'student' AND NOT EXISTS (SELECT FROM hero.point_balances b WHERE b.student_id = p.sourced_id)
"""
STUDENT_COLUMNS = ("school_id", "username", "grade", "band")
CLASSROOM_COLUMNS = ("school_id", "name", "educator_account_id")
"""The columns of an account and of a classroom that follow the roster."""
STUDENTS_AND_TEACHERS = "p.role IN ('student', 'teacher')"

NEW_BALANCES = """
    INSERT INTO hero.point_balances (tenant_id, school_id, student_id, balance, as_of)
    SELECT current_setting('rollover.tenant_id'), school_id, person_id, 0, now()
    FROM pg_temp.served ORDER BY person_id
"""
NEW_STUDENT_ACCOUNTS = """
    INSERT INTO {schema}.student_accounts
        (tenant_id, school_id, account_id, person_id, username, grade, band, created_at)
    SELECT current_setting('rollover.tenant_id'), s.school_id, gen_random_uuid()::text, s.person_id, s.username,
           s.grade, s.band, now()
    FROM pg_temp.served s
    WHERE s.role = 'student' AND NOT {without_login}
      AND NOT EXISTS (SELECT FROM {schema}.student_accounts a WHERE a.person_id = s.person_id)
"""
STUDENTS = "SELECT * FROM pg_temp.served WHERE role = 'student'"
NEW_EDUCATOR_ACCOUNTS = """
    INSERT INTO {schema}.educator_accounts (tenant_id, school_id, account_id, person_id, username, created_at)
    SELECT current_setting('rollover.tenant_id'), s.school_id, gen_random_uuid()::text, s.person_id, s.username, now()
    FROM pg_temp.served s
    WHERE s.role = 'teacher' AND NOT {without_login}
      AND NOT EXISTS (SELECT FROM {schema}.educator_accounts a WHERE a.person_id = s.person_id)
"""
# A class is led by its primary teacher; without one, by the first who has an account.
CLASSES = """
    SELECT c.school_id, c.sourced_id AS class_id, c.title AS name, teacher.account_id AS educator_account_id
    FROM roster.classes c
    LEFT JOIN (
        SELECT DISTINCT ON (e.class_id) e.class_id, a.account_id
        FROM roster.enrollments e JOIN {schema}.educator_accounts a ON a.person_id = e.person_id
        WHERE e.status = 'active' AND e.role = 'teacher'
        ORDER BY e.class_id, e."primary" DESC NULLS LAST, e.sourced_id
    ) teacher ON teacher.class_id = c.sourced_id
    WHERE c.status = 'active'
"""
NEW_CLASSROOMS = """
    INSERT INTO {schema}.classrooms (tenant_id, school_id, classroom_id, class_id, name, educator_account_id)
    SELECT current_setting('rollover.tenant_id'), c.school_id, gen_random_uuid()::text, c.class_id, c.name,
           c.educator_account_id
    FROM ({classes}) c
    WHERE NOT EXISTS (SELECT FROM {schema}.classrooms r WHERE r.class_id = c.class_id)
"""
NEW_CLASSROOM_IDS = """
    CREATE TEMPORARY TABLE new_classrooms ON COMMIT DROP AS
    SELECT jsonb_array_elements_text(before -> 'classroom_id') AS classroom_id FROM roster.history
    WHERE table_name = '{schema}.classrooms' AND jsonb_typeof(before -> 'classroom_id') = 'array'
"""
SEATS_IN_NEW_CLASSROOMS = """
    INSERT INTO {schema}.classroom_students (tenant_id, school_id, classroom_id, account_id)
    SELECT DISTINCT ON (r.classroom_id, a.account_id)
           current_setting('rollover.tenant_id'), r.school_id, r.classroom_id, a.account_id
    FROM roster.enrollments e
    JOIN {schema}.classrooms r ON r.class_id = e.class_id
    JOIN {schema}.student_accounts a ON a.person_id = e.person_id
    WHERE e.status = 'active' AND e.role = 'student'
      AND r.classroom_id IN (SELECT classroom_id FROM pg_temp.new_classrooms)
    ORDER BY r.classroom_id, a.account_id
"""
HAS_OLD_CLASSROOMS = """
    SELECT EXISTS (
        SELECT FROM {schema}.classrooms r
        WHERE NOT EXISTS (SELECT FROM pg_temp.new_classrooms new WHERE new.classroom_id = r.classroom_id)
    )
"""
# Students whose seats in other classrooms may have changed: the import touched an enrollment of theirs, or made their
# account.
MOVED_STUDENTS = """
    CREATE TEMPORARY TABLE moved_students ON COMMIT DROP AS
    WITH touched AS MATERIALIZED (
        SELECT e.person_id FROM roster.enrollments e WHERE e.import_id = :import_id
        UNION
        SELECT before ->> 'person_id' FROM roster.history WHERE table_name = 'roster.enrollments'
    ), made AS MATERIALIZED (
        SELECT jsonb_array_elements_text(before -> 'account_id') AS account_id FROM roster.history
        WHERE table_name = '{schema}.student_accounts' AND jsonb_typeof(before -> 'account_id') = 'array'
    )
    SELECT a.account_id, a.person_id FROM {schema}.student_accounts a JOIN touched USING (person_id)
    UNION
    SELECT a.account_id, a.person_id FROM {schema}.student_accounts a JOIN made USING (account_id)
"""
SEATS = """
    CREATE TEMPORARY TABLE seats ON COMMIT DROP AS
    WITH enrolled AS MATERIALIZED (
        SELECT e.class_id, moved.account_id
        FROM roster.enrollments e JOIN pg_temp.moved_students moved ON moved.person_id = e.person_id
        WHERE e.status = 'active' AND e.role = 'student'
    )
    SELECT DISTINCT r.school_id, r.classroom_id, enrolled.account_id
    FROM enrolled JOIN {schema}.classrooms r ON r.class_id = enrolled.class_id
"""
NEW_SEATS = """
    INSERT INTO {schema}.classroom_students (tenant_id, school_id, classroom_id, account_id)
    SELECT current_setting('rollover.tenant_id'), s.school_id, s.classroom_id, s.account_id
    FROM pg_temp.seats s
    WHERE NOT EXISTS (
        SELECT FROM {schema}.classroom_students held
        WHERE held.classroom_id = s.classroom_id AND held.account_id = s.account_id
    )
    ORDER BY s.classroom_id, s.account_id
"""
LEFT_SEATS = """
    DELETE FROM {schema}.classroom_students seat
    WHERE seat.account_id IN (SELECT account_id FROM pg_temp.moved_students) AND NOT {on_hold}
      AND NOT EXISTS (
        SELECT FROM pg_temp.seats s WHERE s.classroom_id = seat.classroom_id AND s.account_id = seat.account_id
    )
"""
TEMPORARY = "DROP TABLE IF EXISTS " + ", ".join(
    f"pg_temp.{name}" for name in ("served", "shared_logins", "moved_students", "new_classrooms", "seats")
)


def provision(connection: Connection, product: str, import_id: str) -> dict[str, int]:
    """Bring a product's accounts in line with the live roster; return the rows changed by each statement.

    Existing accounts are kept, also those of people who left. Nobody gets an account with another person's login.
    People create Hero's logins by hand: Hero only gets a balance of 0 points for each new student. `connection` is the
    tenant session that applies the import; old values go to its history. Does nothing if nothing is missing.
    """
    with planner(connection, "nestloop"):
        done = _hero(connection, import_id) if product == "hero" else _imagine(connection, product, import_id)
        connection.execute(text(TEMPORARY))
    return done


def _hero(connection: Connection, import_id: str) -> dict[str, int]:
    connection.execute(text(SERVED.format(who=STUDENTS_WITHOUT_BALANCE)))
    added = history.make(connection, import_id, "hero.point_balances", ["student_id"], NEW_BALANCES)
    return {"point_balances_added": added}


def _imagine(connection: Connection, schema: str, import_id: str) -> dict[str, int]:
    connection.execute(text(SERVED.format(who=STUDENTS_AND_TEACHERS)))
    connection.execute(text(SHARED_LOGINS.format(schema=schema)))
    connection.execute(text(OWN_LOGINS.format(schema=schema)))
    return {
        **_accounts(connection, schema, import_id),
        **_classrooms(connection, schema, import_id),
        **_seats(connection, schema, import_id),
    }


def _accounts(connection: Connection, schema: str, import_id: str) -> dict[str, int]:
    students, educators = f"{schema}.student_accounts", f"{schema}.educator_accounts"
    new_students, new_educators = (
        statement.format(schema=schema, without_login=WITHOUT_LOGIN)
        for statement in (NEW_STUDENT_ACCOUNTS, NEW_EDUCATOR_ACCOUNTS)
    )
    return {
        "student_accounts_changed": history.change(
            connection, import_id, students, "account_id", STUDENT_COLUMNS, source=STUDENTS, refers_by="person_id"
        ),
        "student_accounts_added": history.make(connection, import_id, students, ["account_id"], new_students),
        "educator_accounts_added": history.make(connection, import_id, educators, ["account_id"], new_educators),
    }


def _classrooms(connection: Connection, schema: str, import_id: str) -> dict[str, int]:
    classrooms, classes = f"{schema}.classrooms", CLASSES.format(schema=schema)
    new = NEW_CLASSROOMS.format(schema=schema, classes=classes)
    return {
        "classrooms_changed": history.change(
            connection, import_id, classrooms, "classroom_id", CLASSROOM_COLUMNS, source=classes, refers_by="class_id"
        ),
        "classrooms_added": history.make(connection, import_id, classrooms, ["classroom_id"], new),
    }


def _seats(connection: Connection, schema: str, import_id: str) -> dict[str, int]:
    """Set the seats of classrooms by the enrollments. A seat in a new classroom is removed with it, so it needs no
    history."""
    given = {"import_id": import_id}
    connection.execute(text(NEW_CLASSROOM_IDS.format(schema=schema)))
    added = connection.execute(text(SEATS_IN_NEW_CLASSROOMS.format(schema=schema))).rowcount
    removed = 0
    if connection.scalar(text(HAS_OLD_CLASSROOMS.format(schema=schema))):
        connection.execute(text(MOVED_STUDENTS.format(schema=schema)), given)
        connection.execute(text(SEATS.format(schema=schema)))
        seats, keys = f"{schema}.classroom_students", ["classroom_id", "account_id"]
        left = LEFT_SEATS.format(schema=schema, on_hold=is_held(metadata.tables[seats], "seat"))
        removed = history.remove(connection, import_id, seats, keys, "school_id", left)
        added += history.make(connection, import_id, seats, keys, NEW_SEATS.format(schema=schema))
    return {"classroom_students_added": added, "classroom_students_removed": removed}

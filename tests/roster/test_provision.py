"""What each product gets for the people of the new roster."""

from __future__ import annotations

from typing import Any

import pytest

from tests.roster.conftest import District
from tests.support.roster.small_set import row_of, whole_set
from tests.support.sampling import others_slow


def other_email(rows: Any) -> None:
    """A change that no product has to follow."""
    row_of(rows, "users", "parent-1")["email"] = "other@example.org"


imagine = pytest.mark.parametrize("tenant_id", others_slow(["imagine_math", "imagine_math_facts"]), indirect=True)


def schema(district: District) -> str:
    return district.tenant_id.split("__")[0]


def take_in(district: District, change: Any = None) -> dict[str, int]:
    rows = whole_set()
    if change:
        change(rows)
    provisioned: dict[str, int] = district.apply(district.take_rows(rows)["import_id"])["details"]["applied"][
        "provisioned"
    ]
    return provisioned


def test_hero_gets_a_balance_of_nothing_for_each_new_student(district: District) -> None:
    district.run(
        "INSERT INTO hero.point_balances VALUES (:t, 'school-1', 'student-1', 42, now())", t=district.tenant_id
    )
    assert take_in(district) == {"point_balances_added": 2}
    assert district.rows("SELECT student_id, school_id, balance FROM hero.point_balances ORDER BY 1") == [
        ("student-1", "school-1", 42),
        ("student-2", "school-2", 0),  # the district is listed before the school
        ("student-3", "school-2", 0),
    ]
    assert take_in(district, other_email) == {"point_balances_added": 0}
    assert district.rows("SELECT count(*) FROM hero.student_logins") == [(0,)]


@imagine
def test_imagine_gets_accounts_and_classrooms(district: District) -> None:
    assert take_in(district) == {
        "student_accounts_added": 3,
        "student_accounts_changed": 0,
        "educator_accounts_added": 1,
        "classrooms_added": 2,
        "classrooms_changed": 0,
        "classroom_students_added": 3,
        "classroom_students_removed": 0,
    }
    its = schema(district)
    assert district.rows(
        f"SELECT person_id, school_id, username, grade, band FROM {its}.student_accounts ORDER BY 1"
    ) == [
        ("student-1", "school-1", "student-1-login", "02", "PreK-2"),
        ("student-2", "school-2", "student-2-login", "05", "3+"),
        ("student-3", "school-2", "student-3-login", "05", "3+"),
    ]
    assert district.rows(
        f"SELECT r.class_id, e.person_id, array_agg(s.person_id ORDER BY s.person_id) "
        f"FROM {its}.classrooms r LEFT JOIN {its}.educator_accounts e ON e.account_id = r.educator_account_id "
        f"JOIN {its}.classroom_students c USING (classroom_id) "
        f"JOIN {its}.student_accounts s ON s.account_id = c.account_id GROUP BY 1, 2 ORDER BY 1"
    ) == [
        ("class-1-2025-26", "teacher-1", ["student-1"]),
        ("class-2-2025-26", None, ["student-2", "student-3"]),
    ]


@imagine
def test_a_second_time_nothing_is_new_and_accounts_stay(district: District) -> None:
    take_in(district)
    its = schema(district)
    accounts = (
        f"SELECT account_id, person_id FROM {its}.student_accounts "
        f"UNION ALL SELECT account_id, person_id FROM {its}.educator_accounts ORDER BY 1"
    )
    before = district.rows(accounts)
    assert len(before) == 4
    assert set(take_in(district, other_email).values()) == {0}
    assert district.rows(accounts) == before
    assert take_in(district, other_email) == {}, "a set that changes nothing is not provided for"


@imagine
def test_a_returning_student_gets_a_new_account_after_the_reset(district: District) -> None:
    take_in(district)
    its = schema(district)
    query = f"SELECT person_id, account_id FROM {its}.student_accounts"
    before = dict(district.rows(query))
    for table in ("student_accounts", "classrooms", "classroom_students"):
        district.run(f"DELETE FROM {its}.{table}")
    district.run("UPDATE directory.tenants SET current_school_year = '2026-27'")
    assert district.apply(district.take_rows(whole_set(ends=2027))["import_id"])["applied"] is True
    after = dict(district.rows(query))
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert district.rows(f"SELECT count(*) FROM {its}.classroom_students") == [(3,)]


@imagine
def test_accounts_follow_changes_within_the_year(district: District) -> None:
    take_in(district)

    def change(rows: Any) -> None:
        row_of(rows, "users", "student-1").update(grades="03", username="renamed")
        row_of(rows, "classes", "class-2-2025-26")["title"] = "Math B"
        row_of(rows, "users", "teacher-1")["role"] = "aide"
        rows["enrollments"] = [row for row in rows["enrollments"] if row["sourcedId"] != "e4-2025-26"]
        row_of(rows, "enrollments", "e3-2025-26")["classSourcedId"] = "class-1-2025-26"

    assert take_in(district, change) == {
        "student_accounts_added": 0,
        "student_accounts_changed": 1,
        "educator_accounts_added": 0,
        "classrooms_added": 0,
        "classrooms_changed": 1,
        "classroom_students_added": 1,
        "classroom_students_removed": 2,
    }
    its = schema(district)
    assert district.rows(f"SELECT username, grade, band FROM {its}.student_accounts WHERE person_id = 'student-1'") == [
        ("renamed", "03", "3+")
    ]
    # Who left keeps the account; who is no educator any more, too.
    assert district.rows(f"SELECT count(*) FROM {its}.student_accounts") == [(3,)]
    assert district.rows(f"SELECT count(*) FROM {its}.educator_accounts") == [(1,)]


@imagine
def test_nobody_gets_an_account_with_the_login_of_another(district: District) -> None:
    """Of two with one username the first has the account; who has it keeps it, also against a student who teaches."""
    its = schema(district)

    def logins() -> dict[str, str]:
        query = (
            f"SELECT person_id, username FROM {its}.student_accounts "
            f"UNION ALL SELECT person_id, username FROM {its}.educator_accounts"
        )
        return {str(person): str(username) for person, username in district.rows(query)}

    take_in(district, lambda rows: row_of(rows, "users", "student-3").update(username="Student-2-LOGIN"))
    assert logins() == {name: f"{name}-login" for name in ("student-1", "student-2", "teacher-1")}
    assert district.rows(f"SELECT count(*) FROM {its}.classroom_students") == [(2,)]
    assert district.rows("SELECT count(*) FROM roster.people WHERE status = 'active'") == [(6,)]

    def change(rows: Any) -> None:
        row_of(rows, "users", "student-1").update(username="teacher-1-login")
        row_of(rows, "users", "student-2").update(username="new-login")

    take_in(district, change)
    assert logins() == {
        **{"student-1": "student-1-login", "student-2": "new-login", "student-3": "student-3-login"},
        "teacher-1": "teacher-1-login",
    }

    def swapped(rows: Any) -> None:
        row_of(rows, "users", "student-1").update(username="student-3-login")
        row_of(rows, "users", "student-3").update(username="student-1-login")

    take_in(district, swapped)
    assert (logins()["student-1"], logins()["student-3"]) == ("student-3-login", "student-1-login")


@imagine
def test_a_student_without_a_school_takes_that_of_an_enrollment(district: District) -> None:
    take_in(district, lambda rows: row_of(rows, "users", "student-3").update(orgSourcedIds="springfield-district"))
    its = schema(district)
    assert district.rows(f"SELECT school_id FROM {its}.student_accounts WHERE person_id = 'student-3'") == [
        ("school-2",)
    ]


@imagine
def test_a_seat_that_a_person_gave_stays_while_the_students_enrollments_do(district: District) -> None:
    take_in(district)
    its = schema(district)
    seats = f"SELECT person_id, class_id FROM {its}.classroom_students JOIN {its}.student_accounts USING (account_id) "
    seats += f"JOIN {its}.classrooms USING (classroom_id) ORDER BY 1, 2"
    district.run(
        f"INSERT INTO {its}.classroom_students SELECT a.tenant_id, a.school_id, r.classroom_id, a.account_id "
        f"FROM {its}.student_accounts a, {its}.classrooms r "
        "WHERE r.class_id = 'class-1-2025-26' AND a.person_id <> 'student-1'"
    )
    assert len(district.rows(seats)) == 5

    def change(rows: Any) -> None:
        row_of(rows, "enrollments", "e3-2025-26")["beginDate"] = "2025-09-01"

    assert take_in(district, change)["classroom_students_removed"] == 1
    assert district.rows(seats) == [
        ("student-1", "class-1-2025-26"),
        ("student-2", "class-2-2025-26"),
        ("student-3", "class-1-2025-26"),
        ("student-3", "class-2-2025-26"),
    ]


@imagine
def test_two_enrollments_in_a_class_are_one_seat(district: District) -> None:
    def twice(rows: Any) -> None:
        rows["enrollments"].append({**row_of(rows, "enrollments", "e2-2025-26"), "sourcedId": "again"})

    assert take_in(district, twice)["classroom_students_added"] == 3
    assert take_in(district)["classroom_students_removed"] == 0, "of the two, one is left"


@imagine
def test_who_becomes_a_student_sits_where_the_enrollments_said_all_along(district: District) -> None:
    def as_aide(rows: Any) -> None:
        row_of(rows, "users", "student-1")["role"] = "aide"

    assert take_in(district, as_aide)["classroom_students_added"] == 2
    assert take_in(district) | {"student_accounts_changed": 0} == {
        "student_accounts_added": 1,
        "student_accounts_changed": 0,
        "educator_accounts_added": 0,
        "classrooms_added": 0,
        "classrooms_changed": 0,
        "classroom_students_added": 1,
        "classroom_students_removed": 0,
    }

"""A small world that a test can count on its fingers: one district, two schools, one of them subscribed.

Riverside's north school has an active subscription, its south school's has ended. Beside it lives another
tenant with the same ids, which nothing may touch.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select, text
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.certificate.signing import new_key
from rollover.config import District
from rollover.database.school_years import ensure_school_year
from rollover.database.tables import directory, hero, metadata, roster
from rollover.lint import load_catalog
from rollover.run import Run
from rollover.settings import HOME
from rollover.tenant import Tenant

YEAR = SchoolYear.parse("2025-26")
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
NORTH, SOUTH = "north", "south"
STUDENTS = {NORTH: ("n1", "n2", "n3"), SOUTH: ("s1", "s2")}
EVENTS_EACH = 4
PRODUCTS = HOME / "include" / "products"


@cache
def signing_key() -> Path:
    """A file with a key of this process's own."""
    folder = tempfile.mkdtemp(prefix="rollover-key-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "signing-key.pem"
    new_key(path)
    return path


def district(name: str = "riverside-ca", *, own_reset_date: date | None = None, **more: Any) -> District:
    """A district's file, as the loader would return it."""
    tenant: dict[str, Any] = {"first_school_year": YEAR.key, "roster_format": "oneroster_1_1"}
    tenant["roster_import"] = "at_once"
    tenant["reset_dates"] = {YEAR.key: own_reset_date} if own_reset_date else {}
    return District.model_validate(
        {
            "district": name,
            "name": name.title(),
            "time_zone": "America/Los_Angeles",
            "org_sourced_id": f"{name}-org",
            "sftp_connection": "district_sftp",
            "products": {
                product: {**tenant, "folder": f"/{name}/{product}"}
                for product in ("hero", "imagine_math", "imagine_math_facts")
            },
            **more,
        }
    )


def run_of(engine: Engine, storage: UPath, product: str = "hero", *, year: SchoolYear = YEAR, **more: Any) -> Run:
    """The arguments of a step for Riverside."""
    products = load_catalog(Path("/nonexistent"), PRODUCTS).products
    run = Run(
        engine=engine,
        tenant=Tenant(product, "riverside-ca"),
        school_year=year,
        district=district(),
        product=products[product],
        storage=storage,
        now=NOW,
        signing_key=signing_key(),
    )
    return replace(run, **more)


def add_directory(connection: Connection, name: str, products: Iterable[str]) -> None:
    """The district, its tenants, schools and subscriptions: north active, south ended."""
    connection.execute(insert(directory.districts).values(district_id=name, name=name, org_sourced_id=f"{name}-org"))
    for school in (NORTH, SOUTH):
        connection.execute(
            insert(directory.schools).values(district_id=name, school_id=school, name=f"{school.title()} School")
        )
    for product in products:
        connection.execute(
            insert(directory.tenants).values(
                tenant_id=f"{product}__{name}", district_id=name, product=product, current_school_year=YEAR.key
            )
        )
        for school, state, ends in ((NORTH, "active", date(2027, 6, 30)), (SOUTH, "ended", date(2025, 12, 31))):
            connection.execute(
                insert(directory.subscriptions).values(
                    district_id=name,
                    school_id=school,
                    product=product,
                    state=state,
                    starts_on=date(2024, 7, 1),
                    ends_on=ends,
                    source="crm",
                    read_at=NOW,
                )
            )


def add_hero(connection: Connection, tenant_id: str, year: SchoolYear = YEAR) -> None:
    """Codes, events, consequences, points, logins and settings of a Hero tenant, for one school year."""
    ensure_school_year(connection, year.key)
    at = datetime(year.last_year, 3, 2, 18, 30, tzinfo=UTC)
    events: list[dict[str, Any]] = []
    for school, students in STUDENTS.items():
        for student in students:
            for n in range(EVENTS_EACH):
                events.append(
                    {
                        "tenant_id": tenant_id,
                        "school_year": year.key,
                        "school_id": school,
                        "event_id": len(events) + 1,
                        "student_id": student,
                        "employee_id": "t1",
                        "code_id": f"{school}-kind",
                        "occurred_at": at + timedelta(days=n),
                        "location": 'Hall, "B"\nwing',
                        "points": 5,
                        "comment": None if n % 2 else "",
                    }
                )
    connection.execute(insert(hero.tracking_events), events)
    keys = ("tenant_id", "school_year", "school_id", "student_id")
    connection.execute(
        insert(hero.points_ledger),
        [
            {**{k: e[k] for k in keys}, "entry_id": e["event_id"], "kind": "earned", "points": 5, "entered_at": at}
            for e in events
        ],
    )
    connection.execute(
        insert(hero.action_assignments),
        [
            {
                **{k: e[k] for k in keys},
                "assignment_id": e["event_id"],
                "event_id": e["event_id"],
                "action_id": f"{e['school_id']}-detention",
                "assigned_on": at.date(),
                "served_on": None,
            }
            for e in events[::4]
        ],
    )


def add_hero_state(connection: Connection, tenant_id: str) -> None:
    """What a Hero tenant keeps or resets from year to year."""
    at = datetime(2025, 8, 20, tzinfo=UTC)
    for school, students in STUDENTS.items():
        row: dict[str, Any] = {"tenant_id": tenant_id, "school_id": school}
        values: list[tuple[Table, dict[str, Any]]] = [
            (hero.behavior_codes, {"code_id": f"{school}-kind", "name": "Kindness", "kind": "positive", "points": 5}),
            (hero.action_settings, {"action_id": f"{school}-detention", "name": "Detention", "code_id": "x"}),
            (hero.bell_schedules, {"schedule_id": f"{school}-bell", "period": "1", "name": "Regular"}),
            (hero.email_templates, {"template_id": f"{school}-mail", "name": "Mail", "subject": "Hi", "body": "…"}),
            (hero.notification_settings, {"sending": True, "switched_at": at}),
            (hero.portal_settings, {"students_see_schedules": True, "parents_see_schedules": True}),
        ]
        defaults = {
            "active": True,
            "updated_at": at,
            "threshold": 3,
            "starts_at": time(8),
            "ends_at": time(9),
            "effective_from": at.date(),
        }
        for table, own in values:
            known = {name: value for name, value in defaults.items() if name in table.c}
            connection.execute(insert(table).values(**row, **known, **own))
        for student in students:
            connection.execute(insert(hero.point_balances).values(**row, student_id=student, balance=20, as_of=at))
            for name in ("student_logins", "parent_logins"):
                connection.execute(
                    insert(metadata.tables[f"hero.{name}"]).values(
                        **row,
                        login_id=f"{name}-{student}",
                        person_id=student,
                        username=f"user-{student}",
                        password_hash="x",
                        created_at=at,
                    )
                )


def add_people(connection: Connection, tenant_id: str) -> None:
    """The roster's students; their names must never be seen outside database, archive and exports."""
    for school, students in STUDENTS.items():
        for n, student in enumerate(students):
            connection.execute(
                insert(roster.people).values(
                    tenant_id=tenant_id,
                    sourced_id=student,
                    role="student",
                    given_name="=Quentin" if n == 0 else "Rosalind",
                    family_name="Zebrowski",
                    username=f"user-{student}",
                    school_ids=[school],
                    grade="05",
                    enabled=True,
                    status="active",
                    row_hash=1,
                    import_id="seed",
                )
            )


def add_imagine(connection: Connection, tenant_id: str, year: SchoolYear = YEAR, *, state: bool = True) -> None:
    """A year of an Imagine tenant; with `state`, accounts, classrooms, THINK Points and avatars too."""
    product = Tenant.parse(tenant_id).product
    ensure_school_year(connection, year.key)
    at = datetime(year.last_year, 3, 2, tzinfo=UTC)

    def add(name: str, /, **values: Any) -> None:
        table = metadata.tables.get(f"{product}.{name}")
        if table is not None:
            connection.execute(insert(table).values(tenant_id=tenant_id, **values))

    number = 0
    for school, students in STUDENTS.items():
        for student in students:
            number += 1
            account = f"acc-{student}"
            key = {"school_id": school, "account_id": account}
            yearly = {**key, "school_year": year.key}
            add("assessments", **yearly, assessment_id=number, name="Benchmark 1", score=400, taken_on=at.date())
            add("usage", **yearly, week_of=at.date(), minutes=30, problems=12)
            for pathway in ("Grade 5", "Intervention"):
                add("progress", **yearly, pathway=pathway, lessons_assigned=9, lessons_passed=4, average_score=81.5)
                add("pathways", **yearly, pathway=pathway, assigned_on=at.date())
            if state:
                add(
                    "student_accounts", **key, person_id=student, username=student, grade="05", band="3+", created_at=at
                )
                add("classroom_students", **key, classroom_id=f"{school}-c")
                add("think_points", **key, points=70, as_of=at)
                add("avatars", **key, avatar="owl", updated_at=at)
        if state:
            add("classrooms", school_id=school, classroom_id=f"{school}-c", class_id=f"{school}-k", name="5A")
            add(
                "educator_accounts",
                school_id=school,
                account_id=f"edu-{school}",
                person_id=f"t-{school}",
                username=f"t-{school}",
                created_at=at,
            )


def hero_world(owner: Engine) -> None:
    """Two Hero tenants with equal ids: Riverside, and Lakeside, which no test may change."""
    with owner.begin() as connection:
        for name in ("riverside-ca", "lakeside-ca"):
            add_directory(connection, name, ["hero"])
            for add in (add_hero, add_hero_state, add_people):
                add(connection, f"hero__{name}")


def imagine_world(owner: Engine, product: str = "imagine_math") -> None:
    """Two Imagine tenants with equal ids."""
    with owner.begin() as connection:
        for name in ("riverside-ca", "lakeside-ca"):
            add_directory(connection, name, [product])
            add_imagine(connection, f"{product}__{name}")
            add_people(connection, f"{product}__{name}")


def unguarded(connection: Connection, *tables: str) -> None:
    """Take the guards from tables of the ledger, as an owner can: for a test that writes a state it is not about."""
    for table in tables:
        connection.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))


def rows(owner: Engine, table: str, tenant_id: str, **where: Any) -> int:
    """How many rows of a tenant a table has, seen by the superuser."""
    found = metadata.tables[table]
    query = select(func.count()).select_from(found).where(found.c.tenant_id == tenant_id)
    for name, value in where.items():
        query = query.where(found.c[name] == value)
    with owner.connect() as connection:
        return connection.scalar(query) or 0


def everything(owner: Engine, tenant_id: str, schemas: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of a tenant in some schemas, by table: to see that nothing changed."""
    found, wanted = {}, set(schemas)
    with owner.connect() as connection:
        for name, table in sorted(metadata.tables.items()):
            if table.schema in wanted and "tenant_id" in table.c:
                query = select(table).where(table.c.tenant_id == tenant_id)
                found[name] = sorted((tuple(row) for row in connection.execute(query)), key=repr)
    return found

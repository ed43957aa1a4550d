"""A small district with every product, and another beside it: what the reports must count, and what they must not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, text
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.session import connect, tenant_session
from rollover.database.tables import metadata
from rollover.exports import Scope, reports_of
from rollover.exports.write import Receipt, write_report
from rollover.tenant import Tenant
from rollover_demo import seed
from rollover_demo.postgres import LOGIN, PostgresServer
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, SubscriptionSpec, TenantSpec
from tests.conftest import TEMPLATE

YEAR = SchoolYear.parse("2025-26")
AS_OF = datetime(2026, 7, 8, 9, tzinfo=UTC)
ZONE = ZoneInfo("America/Chicago")
Rows = list[dict[str, Any]]

ODD_ONES_OUT = """
    -- Shortly before midnight of the day before, by the district's clock.
    UPDATE hero.tracking_events SET occurred_at = date_trunc('day', occurred_at) + interval '4 hours 30 minutes'
    WHERE event_id % 11 = 0;
    UPDATE hero.tracking_events SET comment = E'=HYPERLINK("x")\\nsecond line', location = '@Gym'
    WHERE event_id % 13 = 0;
    UPDATE roster.people SET given_name = '+Đan, "Thanh"' WHERE sourced_id IN (
        SELECT min(student_id) FROM hero.tracking_events GROUP BY school_id) AND tenant_id LIKE 'hero%';
    UPDATE roster.people SET given_name = '=1+1' WHERE tenant_id = 'imagine_math_facts__maple' AND sourced_id IN (
        SELECT min(person_id) FROM imagine_math_facts.student_accounts WHERE tenant_id = 'imagine_math_facts__maple');
    -- Deleted from the roster for good, and a code that is not known any more.
    DELETE FROM roster.people WHERE tenant_id LIKE 'hero%' AND sourced_id IN (
        SELECT max(student_id) FROM hero.tracking_events GROUP BY school_id);
    UPDATE hero.tracking_events SET code_id = 'gone' WHERE event_id % 17 = 0;
"""


def spec(district: str) -> DistrictSpec:
    schools = (SchoolSpec("10", "Ash Elementary", 0, 4, 60), SchoolSpec("20", "Birch Middle", 5, 8, 50))
    always = tuple(SubscriptionSpec(school.id, "active", date(2020, 7, 1), date(2030, 6, 30)) for school in schools)
    tenants = (
        TenantSpec(Tenant("hero", district), schools, always, past_years=1, events_per_student=12),
        TenantSpec(Tenant("imagine_math", district), schools, always),
        TenantSpec(Tenant("imagine_math_facts", district), schools, always),
    )
    return DistrictSpec(district, district.title(), ZONE.key, YEAR, tenants)


@dataclass(frozen=True)
class World:
    """The two districts' database, and what Maple's reports say."""

    owner: Engine
    engine: Engine

    def rows(self, table: str, *, year: str | None = YEAR.key) -> Rows:
        """Maple's rows of a table as they are, of one school year where the table has years."""
        found, tenant = metadata.tables[table], f"{table.partition('.')[0]}__maple"
        query = select(found)
        if "tenant_id" in found.c:
            query = query.where(found.c.tenant_id == tenant)
        if "school_year" in found.c:
            query = query.where(found.c.school_year == year)
        with self.owner.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def people(self, product: str) -> dict[str, dict[str, Any]]:
        people = metadata.tables["roster.people"]
        with self.owner.connect() as connection:
            found = connection.execute(select(people).where(people.c.tenant_id == f"{product}__maple")).mappings()
            return {row["sourced_id"]: dict(row) for row in found}

    def schools(self) -> dict[str, str]:
        return {"10": "Ash Elementary", "20": "Birch Middle"}

    def write(self, product: str, report: str, folder: Path, *, year: str = YEAR.key, **more: Any) -> list[Receipt]:
        scope = Scope(year, more.pop("is_current", True), ZONE.key, "Maple Schools", AS_OF)
        with tenant_session(self.engine, f"{product}__maple", isolation="REPEATABLE READ") as connection:
            return write_report(connection, reports_of(product)[report], scope, UPath(folder), **more)


@pytest.fixture(scope="package")
def world(postgres: PostgresServer) -> Iterator[World]:
    """Only read by the tests that share it."""
    name = f"exports_{uuid.uuid4().hex[:8]}"
    postgres.create(name, template=TEMPLATE)
    owner = connect(postgres.url(name))
    seed.load(owner, [spec("maple"), spec("other")], AS_OF)
    with owner.begin() as connection:
        connection.execute(text(ODD_ONES_OUT))
    yield World(owner, connect(postgres.url(name, user=LOGIN)))
    postgres.drop(name)

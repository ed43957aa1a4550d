"""Fills a database with a season: the data of the vendor's systems when a school year has just ended."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import polars as pl
from psycopg import sql
from sqlalchemy import Connection, Engine, Table, func, select

from rollover.calendar import SchoolYear
from rollover.database.school_years import ensure_school_year
from rollover.database.session import driver_of, tenant_session
from rollover.database.tables import directory, product_tables
from rollover.database.tables import hero as hero_tables
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.ledger import holds
from rollover_demo.seed import hero, imagine
from rollover_demo.seed.cohorts import finished_year
from rollover_demo.seed.live import roster_frames
from rollover_demo.seed.roster import Roster
from rollover_demo.seed.specs import DistrictSpec


def load(owner: Engine, specs: Iterable[DistrictSpec], now: datetime) -> dict[str, dict[str, int]]:
    """Fill directory, roster and product tables of a migrated, empty database, and set a hold on inspected records.

    `owner` bypasses row-level security. `now` is when the subscriptions were last read. Returns the rows
    written per tenant and table (``hero.tracking_events``).
    """
    counts: dict[str, dict[str, int]] = {}
    with owner.begin() as connection:
        for spec in specs:
            _load_directory(connection, spec, now)
            for tenant in spec.tenants:
                for back in range(tenant.past_years + 1):
                    ensure_school_year(connection, SchoolYear(spec.year.first_year - back).key)
                # The new year's activity begins the day after the reset.
                ensure_school_year(connection, spec.year.next.key)
                counts[tenant.id] = _load_tenant(connection, finished_year(spec, tenant))
    for spec in specs:
        for tenant in spec.tenants:
            if tenant.inspected_school:
                _hold(owner, tenant.id, tenant.inspected_school)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return counts


def _hold(owner: Engine, tenant_id: str, school_id: str) -> None:
    """An open request to inspect the records of a school's first student."""
    events = hero_tables.tracking_events
    with tenant_session(owner, tenant_id, exclusive=True) as connection:
        student_id = connection.scalar(select(func.min(events.c.student_id)).where(events.c.school_id == school_id))
        holds.place(connection, tenant_id, holds.INSPECTION, reason="a request", by="kim", student_id=student_id)


def _load_directory(connection: Connection, spec: DistrictSpec, now: datetime) -> None:
    connection.execute(
        directory.districts.insert(),
        {"district_id": spec.id, "name": spec.name, "org_sourced_id": spec.org_sourced_id},
    )
    connection.execute(
        directory.schools.insert(),
        [{"district_id": spec.id, "school_id": school.id, "name": school.name} for school in spec.schools],
    )
    connection.execute(
        directory.tenants.insert(),
        [
            {
                "tenant_id": tenant.id,
                "district_id": spec.id,
                "product": tenant.tenant.product,
                "current_school_year": spec.year.key,
            }
            for tenant in spec.tenants
        ],
    )
    connection.execute(
        directory.subscriptions.insert(),
        [
            {
                "district_id": spec.id,
                "school_id": subscription.school_id,
                "product": tenant.tenant.product,
                "state": subscription.state,
                "starts_on": subscription.starts_on,
                "ends_on": subscription.ends_on,
                "source": "crm",
                "read_at": now,
            }
            for tenant in spec.tenants
            for subscription in tenant.subscriptions
        ],
    )


def _load_tenant(connection: Connection, roster: Roster) -> dict[str, int]:
    product = roster.tenant.tenant.product
    frames = hero.frames(roster) if product == "hero" else imagine.frames(roster)
    tables = {table: frames[table.name] for table in product_tables(product)}
    rostered = roster_frames(roster)
    tables |= {table: rostered[table.name] for table in ROSTER_TABLES}
    for table, frame in tables.items():
        _copy(connection, table, frame.with_columns(pl.lit(roster.tenant.id).alias("tenant_id")))
    return {table.fullname: len(frame) for table, frame in tables.items()}


def _copy(connection: Connection, table: Table, frame: pl.DataFrame) -> None:
    """COPY a frame into a table. Columns go by name; a column that the frame lacks is null.

    A list column is written as PostgreSQL reads an array of plain ids: ``{a,b}``.
    """
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    text = frame.with_columns(
        pl.concat_str(pl.lit("{"), pl.col(name).list.join(","), pl.lit("}")).alias(name) for name in lists
    )
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(*table.fullname.split(".")), sql.SQL(", ").join(map(sql.Identifier, frame.columns))
    )
    with driver_of(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.write_csv(include_header=False).encode())

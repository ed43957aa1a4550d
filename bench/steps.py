"""How fast a year is exported, archived and erased, beside pandas and bare SQL on the same rows.

``make bench ARGS="--rows 1000000"``. Only ratios within one run carry over to another machine. Writes
``var/bench/steps.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
from sqlalchemy import Engine, insert, text
from upath import UPath

from rollover import steps
from rollover.calendar import SchoolYear
from rollover.certificate.signing import new_key
from rollover.config import District, load_catalog
from rollover.database import migrate
from rollover.database.school_years import ensure_school_year
from rollover.database.session import connect, tenant_session
from rollover.database.tables import directory
from rollover.local.postgres import LOGIN, PostgresServer
from rollover.run import Run
from rollover.settings import HOME, Settings
from rollover.tenant import Tenant

YEAR = SchoolYear.parse("2025-26")
NOW = datetime(2026, 8, 1, tzinfo=UTC)
TENANT = Tenant("hero", "bench-xx")
OTHERS = ("hero__other-xx", "hero__another-xx")
SCHOOLS = 8
QUERY = "SELECT * FROM hero.tracking_events WHERE tenant_id = 'hero__bench-xx' AND school_year = '2025-26'"
DELETE = QUERY.replace("SELECT *", "DELETE")

EVENTS = """
INSERT INTO hero.tracking_events
SELECT :tenant, :year, 'school-' || n % (:rows / 50 + 1) % :schools, n, 'student-' || n % (:rows / 50 + 1),
       'employee-' || n % 97, 'code-' || n % 40, timestamptz '2025-09-01 08:00+00' + n * interval '17 seconds',
       (ARRAY['Hall', 'Room 12', 'Cafeteria', 'Bus', 'Gym'])[1 + n % 5], n % 7 - 2,
       CASE WHEN n % 9 = 0 THEN 'helped a classmate, "on time"' END
FROM generate_series(1, :rows) n
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="tracking events of the tenant's year")
    rows = parser.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    server = PostgresServer(folder / "postgres")
    try:
        server.create("bench")
        owner = connect(server.url("bench"))
        migrate.upgrade(owner)
        server.create_login()
        fill(owner, rows)
        measured = _measure(owner, _run(connect(server.url("bench", user=LOGIN)), folder), rows)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    target = HOME / "var" / "bench" / "steps.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"rows": rows, "rows_per_second": measured}, indent=2))
    for name, rate in measured.items():
        print(f"{name:55} {rate:12,} rows/s")
    print(f"written to {target.relative_to(HOME)}")


def fill(owner: Engine, rows: int) -> None:
    """The tenant's year, within tables that hold two other tenants and another year as well."""
    with owner.begin() as connection:
        for year in (YEAR, YEAR.next):
            ensure_school_year(connection, year.key)
        connection.execute(insert(directory.districts).values(district_id="bench-xx", name="B", org_sourced_id="b"))
        connection.execute(
            insert(directory.tenants).values(
                tenant_id=TENANT.id, district_id="bench-xx", product="hero", current_school_year=YEAR.key
            )
        )
        for n in range(SCHOOLS):
            school = {"district_id": "bench-xx", "school_id": f"school-{n}"}
            connection.execute(insert(directory.schools).values(**school, name=f"School {n}"))
            connection.execute(
                insert(directory.subscriptions).values(
                    **school,
                    product="hero",
                    state="active",
                    starts_on=date(2020, 1, 1),
                    ends_on=date(2030, 1, 1),
                    source="bench",
                    read_at=NOW,
                )
            )
        for tenant, year, share in (
            (TENANT.id, YEAR, 1),
            *((other, YEAR, 4) for other in OTHERS),
            (TENANT.id, YEAR.next, 10),
        ):
            count = max(rows // share, 1)
            bound = {"tenant": tenant, "year": year.key, "rows": count, "schools": SCHOOLS}
            connection.execute(text(EVENTS), bound)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE hero.tracking_events"))


def _run(engine: Engine, folder: Path) -> Run:
    tenant = {"first_school_year": YEAR.key, "folder": "/bench-xx/hero", "roster_format": "oneroster_1_1"}
    district = District.model_validate(
        {
            "district": "bench-xx",
            "name": "Bench",
            "time_zone": "America/Chicago",
            "org_sourced_id": "b",
            "sftp_connection": "none",
            "products": {"hero": {**tenant, "roster_import": "nightly"}},
        }
    )
    products = load_catalog(Settings().districts, Settings().products).products
    storage, key = UPath(folder / "storage"), folder / "signing-key.pem"
    new_key(key)
    return Run(engine, TENANT, YEAR, district, products["hero"], storage, NOW, signing_key=key)


def _measure(owner: Engine, run: Run, rows: int) -> dict[str, int]:
    """Rows per second of each way, in the order of a rollover; the peers first, which change nothing."""
    found: dict[str, int] = {}

    def clock(name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        found[name] = round(rows / (time.perf_counter() - started))

    clock("limit: bare COPY TO STDOUT, binary", lambda: _bare_copy(owner))
    clock("peer: pandas read_sql in chunks to CSV", lambda: _pandas_csv(owner, run.storage))
    clock("peer: pandas read_sql in chunks to Parquet", lambda: _pandas_parquet(owner, run.storage))
    clock("limit: bare indexed DELETE (rolled back)", lambda: _bare_delete(owner))
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM hero.tracking_events"))
    steps.guard(run, "bench", lambda run_id: False)
    steps.pause_sync(run)
    plans: list[dict[str, object]] = []
    clock("plan: count and fingerprint", lambda: plans.append(steps.plan(run)))
    clock(
        "export_reports: all of Hero's, counted and read back",
        lambda: steps.export_reports(run, lambda file, remote: None),
    )
    answer = {"chosen_options": ["Approve"], "responded_by_user": {"id": "bench"}, **plans[0]}
    steps.approve(run, answer)
    clock("archive: Parquet, read back and compared", lambda: steps.archive(run))
    clock("erase: planned again, compared, deleted, proved", lambda: steps.erase(run))
    return found


def _bare_copy(owner: Engine) -> None:
    with owner.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(f"COPY ({QUERY}) TO STDOUT (FORMAT binary)") as copy:
            for _ in copy:
                pass


def _pandas_csv(owner: Engine, storage: UPath) -> None:
    storage.mkdir(parents=True, exist_ok=True)
    with owner.connect().execution_options(stream_results=True) as connection, (storage / "p.csv").open("w") as out:
        for chunk in pd.read_sql_query(text(QUERY), connection, chunksize=50_000):
            chunk.to_csv(out, index=False)


def _pandas_parquet(owner: Engine, storage: UPath) -> None:
    with owner.connect().execution_options(stream_results=True) as connection:
        for chunk in pd.read_sql_query(text(QUERY), connection, chunksize=50_000):
            chunk.to_parquet(io.BytesIO(), compression="zstd")


def _bare_delete(owner: Engine) -> None:
    with tenant_session(owner, TENANT.id) as connection:
        connection.execute(text(DELETE))
        connection.rollback()


if __name__ == "__main__":
    main()

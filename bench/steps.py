"""Measures how fast a year is archived and erased, compared with other ways and with PostgreSQL alone.

``make bench ARGS="steps --rows 1000000"``. Every way runs in a process of its own, on one tenant's year in tables that
hold other tenants and years. Writes ``var/bench/steps.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, text

from bench.measure import in_process, machine
from bench.steps_ways import NOW
from rollover.calendar import SchoolYear
from rollover.certificate.signing import new_key
from rollover.database import migrate
from rollover.database.school_years import ensure_school_year
from rollover.database.session import connect
from rollover.database.tables import directory
from rollover.settings import HOME
from rollover_demo.postgres import LOGIN, PostgresServer

YEAR = SchoolYear.parse("2025-26")
DISTRICT, OTHERS = "bench-xx", ("other-xx", "another-xx")
OTHERS_SHARE = 4
"""Each of the others has so many times fewer rows."""
ALONE = (("alone-xx", SchoolYear.parse("2021-22"), 10), ("apart-xx", SchoolYear.parse("2022-23"), 1))
"""Tenants alone in a year's partitions, and the share of the rows that each has."""
SCHOOLS = 8
IN_MEMORY = 1_000_000
"""How many rows the way that holds all of them in memory is given at most."""

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
    parser.add_argument("--rows", type=int, default=10_000_000, help="tracking events of the tenant's year")
    rows = parser.parse_args().rows
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    server = PostgresServer(folder / "postgres")
    try:
        server.create("bench")
        owner = connect(server.url("bench"))
        migrate.upgrade(owner)
        server.create_login()
        fill(owner, rows)
        fill_alone(owner, rows)
        new_key(folder / "signing-key.pem")
        found = _Measuring(server, owner, folder, rows).all()
        facts = machine(owner, ("pandas", "pyarrow", "psycopg", "apache-airflow-providers-common-sql"))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    for name, one in found.items():
        print(
            f"{name:58} {one['seconds']:8.2f} s {one['rows'] / one['seconds']:12,.0f} rows/s {one['processor']:7.2f} s "
            f"ours {one['server']:7.2f} s PostgreSQL's {one['megabytes']:6} MB"
        )
    for said in _ratios(found):
        print(said)
    target = HOME / "var" / "bench" / "steps.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"rows": rows, "machine": facts, "measured": found}, indent=2))
    print(f"written to {target.relative_to(HOME)}")


class _Measuring:
    """The ways in the order of a rollover; those that change nothing first."""

    def __init__(self, server: PostgresServer, owner: Engine, folder: Path, rows: int) -> None:
        self._owner, self._rows = owner, rows
        self._pid = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
        urls = {"url": server.url("bench", user=LOGIN), "owner": server.url("bench")}
        self._job = {name: url.render_as_string(hide_password=False) for name, url in urls.items()}
        self._job |= {"folder": str(folder), "tenant": DISTRICT, "year": YEAR.key}
        self._found: dict[str, dict[str, Any]] = {}

    def all(self) -> dict[str, dict[str, Any]]:
        self._take("limit: bare COPY TO STDOUT", "copy")
        self._take("peer: pandas read_sql in chunks to Parquet", "pandas")
        some = min(self._rows, IN_MEMORY)
        self._take(f"peer: Airflow's hook, whole frame ({some:,} rows)", "airflow", rows=some)
        self._take("plan: drawn up, frozen, approved", "approved")
        self._take("archive: Parquet, read back and compared", "archive")
        _vacuum(self._owner)
        self._take("erase: drawn up again, compared, deleted, proved", "erase")
        _vacuum(self._owner)
        another = {"tenant": OTHERS[0], "rows": self._rows // OTHERS_SHARE}
        self._take(f"limit: bare indexed DELETE of another tenant's ({another['rows']:,} rows)", "delete", **another)
        for district, year, share in ALONE:
            of = {"tenant": district, "year": year.key, "rows": self._rows // share}
            for way in ("approved", "archive_nothing"):
                in_process("bench.steps_ways", self._job | of | {"way": way}, self._pid)
            self._take(f"erase: alone in its partition, {of['rows']:,} rows", "erase", **of)
        return self._found

    def _take(self, name: str, way: str, **more: Any) -> None:
        job = {"rows": self._rows, **self._job, **more, "way": way}
        with self._owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
        one = in_process("bench.steps_ways", job, self._pid)
        server, memory = round(one.server_processor_seconds, 2), one.peak_bytes // 1_000_000
        self._found[name] = {**one.answer, "rows": job["rows"], "server": server, "megabytes": memory, "way": way}


def _ratios(found: dict[str, dict[str, Any]]) -> list[str]:
    """Yield the goals, and what was measured."""
    rates: dict[str, float] = {}
    for one in found.values():
        rates.setdefault(one["way"], one["rows"] / one["seconds"])  # of erase, the first: in a shared partition
    asked = [
        ("archive", "copy", "bare COPY", 0.5),
        ("archive", "pandas", "pandas", 5),
        ("archive", "airflow", "Airflow's hook", 5),
        ("erase", "delete", "bare DELETE", 0.7),
    ]
    return [
        f"{way}: {rates[way] / rates[other]:.2f} of the rate of {name}; {least} was asked"
        for way, other, name, least in asked
    ]


def fill(owner: Engine, rows: int) -> None:
    """The tenant's year, within tables that hold two other tenants and another year as well."""
    with owner.begin() as connection:
        for year in (YEAR, YEAR.next):
            ensure_school_year(connection, year.key)
        _add_tenant(connection, DISTRICT, "active")
        _add_events(connection, DISTRICT, YEAR, rows)
        for other in OTHERS:
            _add_events(connection, other, YEAR, max(rows // OTHERS_SHARE, 1))
        _add_events(connection, DISTRICT, YEAR.next, max(rows // 10, 1))
    _vacuum(owner)


def fill_alone(owner: Engine, rows: int) -> None:
    """Past years of tenants that are alone in their partitions and have no subscription: all of it is erased."""
    with owner.begin() as connection:
        for district, year, share in ALONE:
            _add_tenant(connection, district, "ended")
            ensure_school_year(connection, year.key)
            _add_events(connection, district, year, rows // share)
    _vacuum(owner)


def _add_tenant(connection: Connection, district: str, state: str) -> None:
    connection.execute(insert(directory.districts).values(district_id=district, name="B", org_sourced_id=district))
    tenant = {"tenant_id": f"hero__{district}", "district_id": district, "product": "hero"}
    connection.execute(insert(directory.tenants).values(**tenant, current_school_year=YEAR.key))
    term = {"starts_on": date(2020, 1, 1), "ends_on": date(2030, 1, 1) if state == "active" else date(2020, 6, 30)}
    for n in range(SCHOOLS):
        school = {"district_id": district, "school_id": f"school-{n}"}
        connection.execute(insert(directory.schools).values(**school, name=f"School {n}"))
        said = {"product": "hero", "state": state, "source": "bench", "read_at": NOW}
        connection.execute(insert(directory.subscriptions).values(**school, **said, **term))


def _add_events(connection: Connection, district: str, year: SchoolYear, rows: int) -> None:
    bound = {"tenant": f"hero__{district}", "year": year.key, "rows": rows, "schools": SCHOOLS}
    connection.execute(text(EVENTS), bound)


def _vacuum(owner: Engine) -> None:
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE hero.tracking_events"))


if __name__ == "__main__":
    main()

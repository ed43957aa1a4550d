"""Runs one way of archiving or erasing that ``bench.steps`` measures, in a process of its own.

A job comes as JSON on the standard input: ``{"way", "url", "owner", "folder", "rows", "tenant", "year"}``; the answer
is the last line of the output.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, text
from tests.support.outboxes import NoOutbox
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.config import District
from rollover.database.session import connect
from rollover.lint import load_catalog
from rollover.run import Run
from rollover.settings import Settings
from rollover.tenant import Tenant
from rollover.yearend import steps
from rollover.yearend.approval import PlanAnswer

NOW = datetime(2026, 8, 1, tzinfo=UTC)
CHUNK = 50_000


@dataclass(frozen=True)
class Job:
    """What a way works on: the rows of one tenant's year, as the working role or as the owner."""

    engine: Engine
    owner: Engine
    folder: Path
    rows: int
    tenant: Tenant
    year: SchoolYear

    @property
    def query(self) -> str:
        return (
            f"SELECT * FROM hero.tracking_events WHERE tenant_id = '{self.tenant.id}' "  # noqa: S608 - our own names
            f"AND school_year = '{self.year}'"
        )

    @property
    def run(self) -> Run:
        """A rollover of the tenant's year; reports are measured by ``bench.exports``, and this product has none."""
        config = {"first_school_year": "2025-26", "folder": "/f", "roster_format": "oneroster_1_1"}
        district = District.model_validate(
            {
                "district": self.tenant.district,
                "name": "Bench",
                "time_zone": "America/Chicago",
                "org_sourced_id": self.tenant.district,
                "sftp_connection": "none",
                "products": {"hero": {**config, "roster_import": "nightly"}},
            }
        )
        product = load_catalog(Settings().districts, Settings().products).products["hero"]
        bare = product.model_copy(update={"reports": ()})
        key = self.folder / "signing-key.pem"
        storage = UPath(self.folder / "storage")
        return Run(self.engine, self.tenant, self.year, district, bare, storage, NOW, signing_key=key)


def _copy(job: Job) -> None:
    with job.owner.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor, cursor.copy(f"COPY ({job.query}) TO STDOUT") as copy:
            for _ in copy:
                pass


def _pandas(job: Job) -> None:
    """In chunks, as its manual has it; one file, nothing read back."""
    writer: pq.ParquetWriter | None = None
    streaming = job.owner.connect().execution_options(stream_results=True)
    with streaming as connection, (job.folder / "pandas.parquet").open("wb") as out:
        for chunk in pd.read_sql_query(text(job.query), connection, chunksize=CHUNK):
            rows = pa.Table.from_pandas(chunk, schema=writer.schema if writer else None, preserve_index=False)
            writer = writer or pq.ParquetWriter(out, rows.schema, compression="zstd")
            writer.write_table(rows)
        assert writer is not None
        writer.close()


def _airflow(job: Job) -> None:
    """As Airflow's SQL-to-object-store transfers do: the hook's ``get_df``, and the whole frame to Parquet."""
    from airflow.models.connection import Connection
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    url = job.owner.url
    connection = Connection(
        conn_type="postgres", host=str(url.query["host"]), login=url.username, password="", schema=url.database
    )
    frame = PostgresHook(connection=connection).get_df(f"{job.query} LIMIT {job.rows}")
    frame.to_parquet(job.folder / "airflow.parquet", compression="zstd")


def _delete(job: Job) -> None:
    with job.owner.begin() as connection:
        assert connection.execute(text(job.query.replace("SELECT *", "DELETE"))).rowcount == job.rows


def _approved(job: Job) -> None:
    """Freeze and approve the plan first."""
    run = job.run
    steps.guard(run, "bench", lambda run_id: False)
    if job.year == SchoolYear.parse("2025-26"):
        steps.pause_sync(run)
    plan = steps.plan(run)
    steps.export_reports(run, NoOutbox())
    answer = {"chosen_options": ["Approve"], "responded_by_user": {"id": "bench"}}
    steps.approve(run, PlanAnswer.model_validate({**answer, "plan_no": plan.plan_no, "plan_hash": plan.plan_hash}))


def _archive(job: Job) -> None:
    assert steps.archive(job.run).rows == job.rows


def _archive_nothing(job: Job) -> None:
    assert steps.archive(job.run).rows == 0


def _erase(job: Job) -> None:
    assert steps.erase(job.run).deleted["hero.tracking_events"] == job.rows


WAYS: dict[str, Callable[[Job], None]] = {
    "copy": _copy,
    "pandas": _pandas,
    "airflow": _airflow,
    "delete": _delete,
    "approved": _approved,
    "archive": _archive,
    "archive_nothing": _archive_nothing,
    "erase": _erase,
}


def work(given: dict[str, Any]) -> None:
    """Run one way in a process of its own; its last line of output is its answer."""
    job = Job(
        connect(given["url"]),
        connect(given["owner"]),
        Path(given["folder"]),
        given["rows"],
        Tenant("hero", given["tenant"]),
        SchoolYear.parse(given["year"]),
    )
    started, used = time.perf_counter(), time.process_time()
    WAYS[given["way"]](job)
    print(json.dumps({"seconds": time.perf_counter() - started, "processor": time.process_time() - used}))


if __name__ == "__main__":
    work(json.loads(sys.stdin.read()))

"""A season on a cluster: Celery workers that share no disk, storage in S3, a broker and two PostgreSQL servers. A
worker is lost with its machine, the broker is restarted, the databases end as by a power cut. Everything ends right."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from upath import UPath

from rollover.archive.keys import Keys
from rollover.certificate.check import checked
from rollover.tenant import Tenant
from rollover_demo.demo.summary import summary
from rollover_demo.seed.season import demo_year, season
from tests import rules_check
from tests.cluster.cluster import After, season_on_a_cluster, small
from tests.cluster.machines import KEYS
from tests.cluster.servers import missing, reached
from tests.support.personal_values import Secrets, places

SEASON_SECONDS = 900.0
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
DISTRICTS = ("harbor-ct", "lakeshore-mi", "riverbend-mo")


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    specs = tuple(small(spec) for spec in season(demo_year(datetime.now(UTC).date())) if spec.id in DISTRICTS)
    folder = tmp_path_factory.mktemp("cluster")
    with season_on_a_cluster(folder, specs, print, timeout=SEASON_SECONDS) as end, reached(end.cluster.s3):
        yield end


def test_everything_failed_in_the_middle(after: After) -> None:
    assert after.faults.error is None
    assert list(after.faults.done) == ["worker", "broker", "databases"]
    assert min(after.faults.done.values()) >= 1
    assert after.faults.lost


def test_every_tenant_is_certified(after: After) -> None:
    entries = summary(after.cluster.owner)
    assert {entry["district"] for entry in entries} == set(DISTRICTS)
    assert {entry["state"] for entry in entries} == {"certified"}
    assert all(entry["kept_unchanged"] and entry["exports"] and entry["roster"]["people"] for entry in entries)


def test_every_certificate_is_whole_in_both_forms(after: After) -> None:
    with after.cluster.owner.connect() as connection:
        found = connection.execute(text("SELECT path, sha256 FROM ledger.certificates")).all()
    assert len(found) == len(summary(after.cluster.owner))
    for path, sha256 in found:
        assert path.startswith("s3://")
        for file in (UPath(path), UPath(path).with_suffix(".pdf")):
            assert checked(file.read_bytes()).sha256 == sha256


def test_what_happened_is_what_the_rules_say(after: After) -> None:
    folder = after.cluster.folder
    keys = Keys(folder / KEYS)

    def archived(url: str) -> pd.DataFrame:
        """An archive file of S3, by its tenant's key."""
        product, district = url.split("/archive/")[1].split("/")[:2]
        key = keys.of(Tenant(product, district).id)
        file = pq.ParquetFile(BytesIO(UPath(url).read_bytes()), decryption_properties=key.decrypting())
        return file.read().to_pandas(types_mapper=pd.ArrowDtype)

    before, end = (rules_check.read_snapshot(folder / when) for when in ("before", "after"))
    assert rules_check.check(before, end, archived) == []


def test_every_file_is_in_storage_and_no_machine_kept_one(after: After) -> None:
    """Each file of the ledger is there, nobody's part file is, and no machine has records of children on its disk."""
    root = UPath(after.cluster.s3.url)
    root.fs.invalidate_cache()
    there = {f"s3://{name}" for name in root.fs.find(root.path)}
    query = "SELECT path FROM ledger.archives UNION SELECT path FROM ledger.exports WHERE removed_at IS NULL"
    with after.cluster.owner.connect() as connection:
        known = set(connection.scalars(text(f"{query} UNION SELECT path FROM ledger.certificates")))
    assert len(known) > 30 and known <= there
    assert not [name for name in there if name.endswith(".part")]
    folders = [after.cluster.folder / name for name in ("control", *(w.name for w in after.cluster.workers))]
    kept = (".parquet", ".csv", ".xlsx", ".pdf", ".zip")
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in kept]
    assert found == []
    assert all(not list((folder / "tmp").iterdir()) for folder in folders)


def test_nothing_personal_is_in_the_logs_of_a_machine_or_the_metadata(after: After) -> None:
    folder = after.cluster.folder
    people = [pl.read_parquet(folder / when / "roster.people.parquet") for when in ("before", "after")]
    secret = Secrets.of(people[0]) | Secrets.of(people[1])
    logs = [folder / "control" / "airflow" / "logs", *(w.machine.folder / "logs" for w in after.cluster.workers)]
    searched = list(places(after.cluster.metadata, *logs))
    assert len(searched) > 100 and {"table public.xcom", "table public.celery_taskmeta"} < {
        name for name, _ in searched
    }
    assert [(name, found) for name, content in searched if (found := secret.found_in(content))] == []


def test_workers_have_what_tasks_need_before_they_start(after: After) -> None:
    assert after.preloaded == [worker.name for worker in after.cluster.workers] and len(after.preloaded) == 2


def test_nothing_of_airflow_is_left_running(after: After) -> None:
    assert after.all_stopped

"""A season over the real scheduler, a real PostgreSQL and a real SFTP server, judged from outside.

Two districts of the demo: Harbor's first drop is broken and its second is right, and it gets an update after the
rollover; Cedar Valley has past years, which are backfilled before its current one may start. Meanwhile workers
are killed in the middle of most tasks, and Airflow is left to go on.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.policy import default
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover.certificate.check import checked
from rollover.database.session import connect
from rollover.exports import REPORTS
from rollover.notify.kinds import ROLES, Kind
from rollover_demo.demo.season import Season
from rollover_demo.demo.services import MAIL, METADATA, prepared, running
from rollover_demo.demo.summary import summary
from rollover_demo.seed.season import demo_year, season
from rollover_demo.seed.specs import DistrictSpec
from rollover_demo.snapshot import snapshot
from tests import rules_check
from tests.support.personal_values import Secrets, places
from tests.support.worker_killer import WorkerKiller

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
DISTRICTS = ("harbor-ct", "cedar-valley-wa")
PRODUCTS = ("imagine_math_facts", "hero")
KILLED = {"plan", "export_reports", "archive", "erase", "import_roster", "certify"}


@dataclass(frozen=True)
class After:
    """The folder, the product database and Airflow's metadata after the season; and who it was about."""

    folder: Path
    owner: Engine
    metadata: Engine
    killed: set[str]


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """A season, over; its servers' data are still there to look at."""
    folder = tmp_path_factory.mktemp("season")
    specs = tuple(_shorter(spec) for spec in season(demo_year(datetime.now(UTC).date())) if spec.id in DISTRICTS)
    with prepared(folder, specs) as (server, owner):
        snapshot(owner, folder / "before")
        with running(folder, specs, server, owner) as services:
            saboteur = WorkerKiller(connect(server.url(METADATA)), KILLED, with_worker={"erase"})
            saboteur.start()
            try:
                happening = Season(services, print, answer_approvals=True)
                happening.begin()
                happening.run(timeout=1000)
                assert happening.wait_for_mails()
            finally:
                saboteur.stop()
        snapshot(owner, folder / "after")
        yield After(folder, owner, connect(server.url(METADATA)), saboteur.killed)


def _shorter(spec: DistrictSpec) -> DistrictSpec:
    """Two past years show the order of a backfill; the demo has three."""
    return replace(spec, tenants=tuple(replace(t, past_years=min(t.past_years, 2)) for t in spec.tenants))


def test_workers_were_killed_in_the_middle(after: After) -> None:
    for tenant_id in ("imagine_math_facts__harbor-ct", "hero__cedar-valley-wa"):
        got = {name.split()[1] for name in after.killed if name.startswith(f"rollover__{tenant_id} ")}
        assert len(got) >= 3, got


def test_every_year_of_every_tenant_is_certified(after: After) -> None:
    entries = summary(after.owner)
    assert {(e["tenant"], e["current"]) for e in entries} == {
        ("imagine_math_facts__harbor-ct", True),
        ("hero__cedar-valley-wa", True),
        ("hero__cedar-valley-wa", False),
    }
    assert len(entries) == 4
    assert {e["state"] for e in entries} == {"certified"}
    assert all(e["kept_unchanged"] and e["exports"] for e in entries)


def test_every_certificate_is_whole_in_both_forms(after: After) -> None:
    with after.owner.connect() as connection:
        found = connection.execute(text("SELECT path, sha256 FROM ledger.certificates")).all()
    assert len(found) == 4
    for path, sha256 in found:
        for file in (UPath(path), UPath(path).with_suffix(".pdf")):
            assert checked(file.read_bytes()).sha256 == sha256


def test_what_happened_is_what_the_rules_say(after: After) -> None:
    folder = after.folder
    assert rules_check.main([str(folder / "before"), str(folder / "after")]) == 0


def test_a_broken_drop_is_rejected_and_the_right_one_and_its_update_are_applied(
    after: After,
) -> None:
    with after.owner.connect() as connection:
        states = connection.scalars(
            text("SELECT state FROM ledger.imports WHERE tenant_id = 'imagine_math_facts__harbor-ct' ORDER BY found_at")
        ).all()
        codes = connection.scalars(text("SELECT DISTINCT code FROM ledger.findings WHERE severity = 'error'")).all()
    assert states == ["rejected", "applied", "applied"]
    assert set(codes) == {"file_missing", "reference"}


def test_the_district_finds_its_exports_in_its_outbox(after: After) -> None:
    outboxes = (after.folder / "sftp").glob("*/*/outbox/*/**/*")
    files = [path for path in outboxes if path.is_file()]
    certificates = {path for path in files if path.name.startswith("certificate_")}
    with after.owner.connect() as connection:
        issued = {sha256[:12] for sha256 in connection.scalars(text("SELECT sha256 FROM ledger.certificates"))}
    for suffix in (".json", ".pdf"):
        assert {path.stem.rpartition("-")[2] for path in certificates if path.suffix == suffix} == issued
    files = [path for path in files if path not in certificates]
    # A report of several files has a folder of its own, with a PDF per school or classroom, and their index.
    found = {path.name for path in files if path.suffix != ".pdf"}
    printed = {part for path in files if path.suffix == ".pdf" for part in path.with_suffix("").parts}
    ours = [report for report in REPORTS if report.product in PRODUCTS]
    reports = {f"{report.name}.{report.format}" for report in ours if report.format != "pdf"}
    checks = {"roster_check.csv", "roster_sample.csv", "educators_to_remove.csv", "educators_to_add.csv"}
    assert found == {*reports, *checks, "summary.txt", "findings.csv", "index.csv"}
    assert {report.name for report in ours if report.format == "pdf"} <= printed


def test_nothing_personal_is_outside_the_database_the_archive_and_the_exports(
    after: After,
) -> None:
    """Logs, XComs, run conf, notes: everything Airflow keeps, searched for every person of the season."""
    folder = after.folder
    secret = Secrets.of(people(folder, "before")) | Secrets.of(people(folder, "after"))
    assert len(secret.names) > 200 and len(secret.tokens) > 5_000 and len(secret.days) > 1_000
    searched = dict(places(after.metadata, folder / "airflow" / "logs"))
    assert len(searched) > 100 and {"table public.xcom", "table public.rendered_task_instance_fields"} < searched.keys()
    sent = dict(mails(folder / MAIL))
    assert len(sent) > 12
    searched |= sent
    searched["log of PostgreSQL"] = (folder / "postgres" / "log").read_text(errors="replace")
    leaks = {place: found for place, content in searched.items() if (found := secret.found_in(content))}
    assert leaks == {}


def mails(folder: Path) -> Iterator[tuple[str, str]]:
    """Each mail that was sent, with its headers and its texts decoded."""
    for path in folder.iterdir():
        mail = email.message_from_bytes(path.read_bytes(), policy=default)
        parts = [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
        assert len(parts) == 2
        parts[1] = re.sub(r"<[^>]*>", " ", parts[1])  # `lang` is a family name, too
        yield path.name, "\n".join([*map(str, mail.values()), *parts])


def test_every_certificate_is_mailed_once(after: After) -> None:
    with after.owner.connect() as connection:
        query = "SELECT kind, count(*) AS sent FROM ledger.notices WHERE sent_at IS NOT NULL GROUP BY 1"
        sent = {row.kind: row.sent for row in connection.execute(text(query))}
    assert sent["certified"] == 4 * len(ROLES[Kind.CERTIFIED])
    assert len(list((after.folder / MAIL).iterdir())) == sum(sent.values())


def people(folder: Path, when: str) -> pl.DataFrame:
    return pl.read_parquet(folder / when / "roster.people.parquet")

"""Runs tenants' rollovers step by step in one process, without Airflow: what the work itself costs.

A process of its own: ``python -m bench.season.work`` with a job as JSON on its standard input. Its last line of output
is the processor seconds of each tenant by who used them. The first tenant only warms up: what is loaded once is no
work.
"""

from __future__ import annotations

import json
import resource
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import paramiko
from sqlalchemy import Engine
from upath import UPath

from bench.season import districts, processor
from rollover.config import District, Product
from rollover.database.session import connect, tenant_session
from rollover.ledger.results import Planned
from rollover.lint import load_catalog
from rollover.roster.applying import apply
from rollover.roster.columnar import in_one_duckdb
from rollover.roster.comparing import compare
from rollover.roster.imports import ImportState
from rollover.roster.intake import fetch
from rollover.roster.intake.watch import Place, Watch, record_all
from rollover.roster.reading import stage
from rollover.roster.reporting.report import deliver_findings
from rollover.roster.validating import validate
from rollover.run import Run
from rollover.settings import Settings
from rollover.sftp.outbox import SftpOutbox
from rollover.sftp.transfer import Server
from rollover.yearend import steps
from rollover.yearend.approval import Person, PlanAnswer
from rollover_demo.demo.services import DATABASE, SIGNING_KEY, prepared
from rollover_demo.postgres import LOGIN
from rollover_demo.seed.specs import DistrictSpec
from rollover_demo.sftp_server import ROLLOVER, Account, SftpServer, start

SETTLED_SECONDS = 0.5
"""A connection of the database server is gone after so long, and its processor time is in its parent's."""


@dataclass(frozen=True)
class Used:
    """Processor seconds: of our own process, of PostgreSQL and of the SFTP server."""

    ours: float
    postgres: float
    sftp: float

    @property
    def total(self) -> float:
        return self.ours + self.postgres + self.sftp

    def since(self, before: Used) -> Used:
        return Used(self.ours - before.ours, self.postgres - before.postgres, self.sftp - before.sftp)


def main() -> None:
    job = json.loads(sys.stdin.read())
    made = districts.make(job["tenants"], faults=job["faults"])
    by_id = {spec.id: spec for spec in made.specs}
    specs = [by_id[spec_id] for spec_id in job["districts"]]  # in this order: the first one warms up
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    try:
        print(json.dumps({spec_id: vars(used) for spec_id, used in _measured(folder, specs).items()}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(folder: Path, specs: list[DistrictSpec]) -> dict[str, Used]:
    used = {}
    with prepared(folder, specs) as (server, _), _sftp_server(folder, specs) as (sftp, account):
        for name, content in districts.drops(districts.Made(tuple(specs), {})).items():
            (folder / "sftp" / name).write_bytes(content)
            (folder / "sftp" / f"{name}.done").touch()
        postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
        known = load_catalog(folder / "districts", Settings().products)
        engine = connect(server.url(DATABASE, user=LOGIN))
        for number, spec in enumerate(specs):
            work = _Work(engine, folder, known.districts[spec.id], known.products[districts.PRODUCT], sftp, account)
            before = _now(postmaster, sftp)
            work.all(spec)
            if number:
                used[spec.id] = _now(postmaster, sftp).since(before)
    return used


def _now(postmaster: int, sftp: SftpServer) -> Used:
    time.sleep(SETTLED_SECONDS)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = time.process_time() + children.ru_utime + children.ru_stime
    return Used(ours, processor.seconds(postmaster), processor.seconds(sftp.process.pid))


@contextmanager
def _sftp_server(folder: Path, specs: list[DistrictSpec]) -> Iterator[tuple[SftpServer, Account]]:
    account = Account(secrets.token_urlsafe(16), ".")
    for spec in specs:
        (folder / "sftp" / spec.id / districts.PRODUCT).mkdir(parents=True)
    server = start(folder / "sftp", {ROLLOVER: account}, folder / "sftp-server")
    try:
        yield server, account
    finally:
        server.stop()


@dataclass(frozen=True)
class _Work:
    """One tenant's steps, in the order of its rollover; each opens connections of its own, as a task does."""

    engine: Engine
    folder: Path
    district: District
    product: Product
    sftp: SftpServer
    account: Account

    def all(self, spec: DistrictSpec) -> None:
        tenant = spec.tenants[0].tenant
        storage = UPath(f"file://{self.folder / 'storage'}")
        now, key = datetime.now(UTC), self.folder / SIGNING_KEY
        run = Run(self.engine, tenant, spec.year, self.district, self.product, storage, now, signing_key=key)
        steps.guard(run, "bench", lambda _: False)
        steps.pause_sync(run)
        plan = steps.plan(run)
        with self._outbox() as outbox:
            steps.export_reports(run, outbox)
        import_id = self._checked(run)
        steps.approve(run, _yes(plan))
        steps.archive(run)
        steps.erase(run)
        steps.reset(run)
        steps.verify_reset(run)
        steps.before_import(run)
        given = (self.engine, tenant.id, import_id, storage)
        with in_one_duckdb():
            apply.apply(*given, self.product.limits_of(run.config), rollover_id=run.id)
            steps.import_roster(run, import_id)
            self._report(run, import_id)
            with self._outbox() as outbox:
                steps.verify_roster(run, outbox)
        steps.resume_sync(run)
        with self._outbox() as outbox:
            steps.certify(run, outbox)

    def _checked(self, run: Run) -> str:
        """The district's drop, up to the set that is ready."""
        place, tenant_id = Place("", run.config.folder, run.tenant.id), run.tenant.id
        drops = Watch(0).look([place], lambda: self.engine, lambda _: self._session(), time.monotonic())
        record_all(self.engine, drops)
        with tenant_session(self.engine, tenant_id) as connection:
            import_id = str(connection.exec_driver_sql("SELECT import_id FROM ledger.imports").scalar_one())
        given = (self.engine, tenant_id, import_id, run.storage)
        server = Server(self.sftp.host, self.sftp.port, ROLLOVER, self.sftp.host_key, self.account.password)
        with self._session() as session:
            fetch.fetch(*given[:3], session, server, run.storage)
        stage.stage(*given, run.config, needs_username=self.product.needs_username)
        with in_one_duckdb():
            validate.validate(*given, time_zone=self.district.time_zone, begins=self.district.school_year_begins)
            found = compare.compare(*given, self.product.limits_of(run.config))
        if found.state is not ImportState.READY:
            raise RuntimeError(f"the set of {tenant_id} is {found.state}: {found.reason}")
        self._report(run, import_id)
        return import_id

    def _report(self, run: Run, import_id: str) -> None:
        with self._outbox() as outbox:
            given = (self.engine, run.tenant.id, import_id, run.storage)
            deliver_findings(*given, self.district, self.product, outbox.deliver)

    def _outbox(self) -> SftpOutbox:
        return SftpOutbox(self._session)

    @contextmanager
    def _session(self) -> Iterator[paramiko.SFTPClient]:
        transport = paramiko.Transport((self.sftp.host, self.sftp.port))
        try:
            transport.connect(username=ROLLOVER, password=self.account.password)
            client = paramiko.SFTPClient.from_transport(transport)
            assert client is not None
            yield client
        finally:
            transport.close()


def _yes(plan: Planned) -> PlanAnswer:
    return PlanAnswer(
        chosen_options=["Approve"],
        responded_by_user=Person(id="bench"),
        plan_no=plan.plan_no,
        plan_hash=plan.plan_hash,
    )


if __name__ == "__main__":
    main()

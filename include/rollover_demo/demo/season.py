"""Plays the season: reads the ledger, and acts as the people who answer, upload and backfill.

Nobody here reaches into the product: the data engineer uses Airflow's API and command line, district IT uses
SFTP, and progress is read from the ledger.
"""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import paramiko
from sqlalchemy import distinct, func, select, tuple_

from rollover.calendar import SchoolYear
from rollover.database.tables.ledger import imports, notices, rollovers, steps
from rollover.season.readiness import SHARED_DAGS
from rollover.tenant import rollover_id
from rollover_demo.demo.services import Services
from rollover_demo.seed import oneroster
from rollover_demo.seed.oneroster import Files
from rollover_demo.seed.specs import DistrictSpec, TenantSpec
from rollover_demo.seed.uploads import broken_files, half_files, new_year_files, update_files

POLL_SECONDS = 1.0
READING_SECONDS = 5.0
"""How long a person reads a plan before approving it. An answer within a second can reach Airflow while it still defers
the task; it then asks again."""
NOTICES_SECONDS = 180.0
"""How long the last mails may take: the DAG that sends them runs every minute."""
Say = Callable[[str], None]


class SeasonFailed(Exception):
    """Something did not end as it should; the message says what and where to look."""


@dataclass
class Uploads:
    """What a tenant's district IT has dropped so far, in order: ``broken`` or ``half``, ``new_year``, ``update``."""

    done: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """The ledger at one moment."""

    steps: dict[str, list[str]]
    states: dict[str, str]
    imports: dict[str, list[tuple[str, str]]]


class Season:
    """Plays every tenant's season, until all are certified and in their new year."""

    def __init__(self, services: Services, say: Say, *, answer_approvals: bool) -> None:
        self._services = services
        self._say = say
        self._answer_approvals = answer_approvals
        self._tenants = [(spec, tenant) for spec in services.specs for tenant in spec.tenants]
        self._uploads = {tenant.id: Uploads() for _, tenant in self._tenants}
        self._said: set[str] = set()
        self._asked: dict[str, float] = {}
        self._backfilled: set[str] = set()
        self._cleared: set[str] = set()
        self._stopped: dict[str, str] = {}

    def begin(self) -> None:
        """Switch the DAGs on: the scheduler finds every reset date passed, and starts."""
        api = self._services.api
        tenants = {f"rollover__{tenant.id}" for _, tenant in self._tenants}
        # All of them: a DAG whose file is parsed later would stay paused, and an asset event would meet nobody.
        expected = tenants | set(SHARED_DAGS)
        api.wait_for("the DAGs", lambda: expected <= set(api.dag_ids()), timeout=180)
        if errors := api.import_errors():
            raise SeasonFailed(f"DAG files do not load: {'; '.join(errors.values())}")
        for dag_id in sorted(expected, key=lambda name: name.startswith("rollover__")):
            api.set_paused(dag_id, False)
        self._say(f"{len(tenants)} tenants' DAGs are on; their reset dates have passed, so the scheduler starts them")

    def run(self, *, timeout: float | None) -> None:
        """Play until everything possible is done. A run that fails, or is rejected, stops only its own tenant.

        Raises SeasonFailed at the end, naming every tenant that stopped, or if not all is done within `timeout` s.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            seen = self._look()
            self._tell(seen)
            if self._all_done(seen):
                break
            self._answer()
            self._look_after_failed_runs(seen)
            self.upload(seen)
            if deadline is not None and time.monotonic() > deadline:
                raise SeasonFailed(f"not done in {timeout:.0f} s: {self._unfinished(seen)}")
            time.sleep(POLL_SECONDS)
        year = self._services.specs[0].year.key
        stopped = {t: why for t, why in self._stopped.items() if seen.states.get(rollover_id(t, year)) != "certified"}
        if stopped:
            raise SeasonFailed("; ".join(f"{tenant_id} stopped: {why}" for tenant_id, why in stopped.items()))

    def wait_for_mails(self) -> bool:
        """Wait until the districts were notified of everything that is certified; False if they were not in time."""
        deadline = time.monotonic() + NOTICES_SECONDS
        certified = select(func.count()).where(rollovers.c.state == "certified")
        notified = select(func.count(distinct(tuple_(notices.c.tenant_id, notices.c.school_year)))).where(
            notices.c.kind == "certified", notices.c.sent_at.isnot(None)
        )
        while time.monotonic() < deadline:
            with self._services.owner.connect() as connection:
                if connection.scalar(certified) == connection.scalar(notified):
                    return True
            time.sleep(POLL_SECONDS)
        return False

    def upload(self, seen: Seen | None = None) -> None:
        """Drop the files of each tenant whose time has come, as its district's IT."""
        now = seen or self._look()
        for spec, tenant in self._tenants:
            self._upload(spec, tenant, now)

    def _look(self) -> Seen:
        with self._services.owner.connect() as connection:
            done: dict[str, list[str]] = {}
            for row in connection.execute(select(steps.c.rollover_id, steps.c.step).order_by(steps.c.finished_at)):
                done.setdefault(row.rollover_id, []).append(row.step)
            states = {r.rollover_id: r.state for r in connection.execute(select(rollovers))}
            drops: dict[str, list[tuple[str, str]]] = {}
            for row in connection.execute(select(imports).order_by(imports.c.found_at)):
                drops.setdefault(row.tenant_id, []).append((row.import_id, row.state))
        return Seen(done, states, drops)

    def _tell(self, seen: Seen) -> None:
        news = [f"{run}: {step}" for run, names in seen.steps.items() for step in names]
        for tenant_id, found in seen.imports.items():
            final = ("ready", "applied", "rejected", "superseded")
            news += [f"{tenant_id}: drop {name[-6:]} is {state}" for name, state in found if state in final]
        for line in news:
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    # The data engineer

    def _answer(self) -> None:
        api = self._services.api
        for question in api.questions():
            dag_id = question["task_instance"]["dag_id"]
            key = f"{dag_id} {question['task_instance']['dag_run_id']}"
            asked = self._asked.setdefault(key, time.monotonic())
            if self._answer_approvals and time.monotonic() - asked > READING_SECONDS:
                answers = _answers(question["options"])
                api.answer(question, *answers)
                del self._asked[key]
                self._say(f"Dana answers {', '.join(answers)}: {question['subject']}")
            elif not self._answer_approvals and key not in self._said:
                self._said.add(key)
                self._say(f"approval wanted: {question['subject']}: {self._services.airflow.url}/required_actions")

    def _look_after_failed_runs(self, seen: Seen) -> None:
        """A current year is refused while past years are not rolled over: backfill them, then clear its run.

        Any other failed run stops its tenant, until somebody has its run go on.
        """
        failed = [run for run in self._services.api.runs("~") if run["state"] == "failed"]
        for run in failed:
            spec, tenant = next(
                ((s, t) for s, t in self._tenants if f"rollover__{t.id}" == run["dag_id"]), (None, None)
            )
            if spec is None or tenant is None:
                self._stop(str(run["partition_key"] or run["dag_id"]), run)
                continue
            if not tenant.past_years or run["partition_key"] != spec.year.key:
                self._stop(tenant.id, run)
                continue
            self._backfill(tenant, run["partition_key"])
            if (
                self._past_years_certified(tenant, run["partition_key"], seen)
                and run["dag_run_id"] not in self._cleared
            ):
                self._cleared.add(run["dag_run_id"])
                path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/clear"
                self._services.api.call("POST", path, body={"dry_run": False})
                self._say(f"Dana clears the refused run of {tenant.id}: it goes on")
            elif run["dag_run_id"] in self._cleared and self._still_failed(run):
                self._stop(tenant.id, run)

    def _stop(self, tenant_id: str, run: dict[str, str]) -> None:
        """Continue without a tenant whose run failed: the others' season goes on."""
        where = self._services.folder / "airflow" / "logs" / "tasks" / f"dag_id={run['dag_id']}"
        if tenant_id not in self._stopped:
            self._stopped[tenant_id] = f"{run['dag_id']} failed in {run['dag_run_id']}: read {where}"
            self._say(f"{tenant_id} stopped: {self._stopped[tenant_id]}; the others go on")

    def _still_failed(self, run: dict[str, str]) -> bool:
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}"
        return str(self._services.api.call("GET", path)["state"]) == "failed"

    def _backfill(self, tenant: TenantSpec, refused: str) -> None:
        if tenant.id in self._backfilled:
            return
        self._backfilled.add(tenant.id)
        year = SchoolYear.parse(refused)
        first, last = SchoolYear(year.first_year - tenant.past_years), year.previous
        self._say(f"{tenant.id} {year} is refused: past years are not rolled over. Dana backfills {first} to {last}")
        command = ["airflow", "backfill", "create", "--dag-id", f"rollover__{tenant.id}"]
        command += ["--from-date", str(first.starts_on), "--to-date", str(last.starts_on)]
        command += ["--reprocess-behavior", "completed", "--max-active-runs", "1"]
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env=self._services.airflow.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SeasonFailed(f"{' '.join(command)}: {done.stderr[-500:]}")

    def _past_years_certified(self, tenant: TenantSpec, refused: str, seen: Seen) -> bool:
        year = SchoolYear.parse(refused)
        past = [SchoolYear(year.first_year - back) for back in range(1, tenant.past_years + 1)]
        return all(seen.states.get(rollover_id(tenant.id, y.key)) == "certified" for y in past)

    # District IT

    def _upload(self, spec: DistrictSpec, tenant: TenantSpec, seen: Seen) -> None:
        """The new year's files once the reset is verified; an update once the new year runs."""
        done = self._uploads[tenant.id].done
        run = rollover_id(tenant.id, spec.year.key)
        if "verify_reset" not in seen.steps.get(run, []):
            return
        states = [state for _, state in seen.imports.get(tenant.id, [])]
        if tenant.first_drop != "right" and tenant.first_drop not in done:
            wrong = {"broken": broken_files, "half": half_files}[tenant.first_drop]
            self._drop(spec, tenant, tenant.first_drop, wrong(spec, tenant))
        elif "new_year" not in done and (tenant.first_drop == "right" or "rejected" in states):
            self._drop(spec, tenant, "new_year", new_year_files(spec, tenant))
        elif seen.states.get(run) == "certified" and "update" not in done and _gets_update(tenant):
            self._drop(spec, tenant, "update", update_files(spec, tenant))

    def _drop(self, spec: DistrictSpec, tenant: TenantSpec, what: str, files: Files) -> None:
        """Immediate importers send a zip, the others loose files; one in two of these ends with a marker."""
        self._uploads[tenant.id].done.append(what)
        with_marker = len(tenant.schools) % 2 == 0
        if tenant.roster_import == "at_once":
            files = {f"{spec.id}-{what}.zip": oneroster.as_zip(files)}
        transport = self._services.district_it(spec.id)
        try:
            sftp = paramiko.SFTPClient.from_transport(transport)
            assert sftp is not None
            for name, content in files.items():
                sftp.putfo(io.BytesIO(content), f"/{tenant.tenant.product}/{name}")
            if with_marker and tenant.roster_import == "nightly":
                sftp.putfo(io.BytesIO(b""), f"/{tenant.tenant.product}/done")
        finally:
            transport.close()
        self._say(f"{spec.id} IT drops {len(files)} files ({what.replace('_', ' ')}) for {tenant.tenant.product}")

    # The end

    def _all_done(self, seen: Seen) -> bool:
        return not self._unfinished(seen)

    def _unfinished(self, seen: Seen) -> list[str]:
        left = []
        for spec, tenant in self._tenants:
            if tenant.id in self._stopped:
                continue
            for back in range(tenant.past_years + 1):
                run = rollover_id(tenant.id, SchoolYear(spec.year.first_year - back).key)
                if seen.states.get(run) != "certified":
                    left.append(f"{run} ({', '.join(seen.steps.get(run, ['not begun'])[-1:])})")
            applied = sum(state == "applied" for _, state in seen.imports.get(tenant.id, []))
            if applied < 1 + _gets_update(tenant):
                left.append(f"{tenant.id}: {applied} drops applied")
        return left


def _answers(options: list[str]) -> list[str]:
    """Return what Dana chooses. She discards the only roster in review, which lost a school. She approves plans, and
    confirms each school whose subscription is active again."""
    return ["Discard"] if "Discard" in options else [option for option in options if option != "Reject"]


def _gets_update(tenant: TenantSpec) -> bool:
    """Two tenants show the sync after the rollover: one that imports at once, one nightly."""
    return tenant.id in ("hero__riverbend-mo", "imagine_math_facts__harbor-ct")

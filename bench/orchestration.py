"""Measures what Airflow adds to the work: a tenant's whole rollover by the real scheduler, and the steps alone.

``make bench ARGS="orchestration --schools 200"``. The new year's set lies ready before the run begins, and the plan is
approved as soon as it is asked about, so nobody is waited for. Writes ``var/bench/orchestration.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import paramiko
from sqlalchemy import Engine, text

from rollover.calendar import SchoolYear
from rollover.settings import HOME
from rollover.tenant import Tenant
from rollover_demo.airflow_client import FINISHED
from rollover_demo.demo.services import Services, prepared, running
from rollover_demo.seed import oneroster
from rollover_demo.seed.season import demo_year
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, SubscriptionSpec, TenantSpec
from rollover_demo.seed.uploads import new_year_files

ASKED = 30.0
"""Seconds of orchestration that a rollover may take on top of its work."""
TENANT = Tenant("hero", "bench-xx")
STUDENTS_EACH, EVENTS_EACH = 30, 10
READING_SECONDS = 1.5
"""An answer within a second of the question can meet Airflow while it still parks the task."""
SECONDS = "SELECT step, seconds FROM ledger.steps WHERE rollover_id = :id"
READY = "SELECT count(*) FROM ledger.imports WHERE state = 'ready'"


@dataclass(frozen=True)
class Measured:
    """One rollover, in seconds. `importing` is the tasks of the roster's import from start to end, their work too."""

    schools: int
    run: float
    work: float
    person: float
    importing: float
    tasks: list[dict[str, Any]]
    """Of each: its id, the seconds from the end of what came before to its start, and from there to its end."""

    @property
    def on_top(self) -> float:
        """Everything except the steps' own work; the work of the import is still in it."""
        return self.run - self.work - self.person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, nargs="+", default=[1, 200])
    load_before, found = os.getloadavg()[0], []
    for schools in parser.parse_args().schools:
        measured = _measure(schools)
        found.append({**asdict(measured), "on_top": measured.on_top})
        print(
            f"{schools:4} schools: run {measured.run:6.1f} s, work {measured.work:6.1f} s, "
            f"asking {measured.person:4.1f} s, on top {measured.on_top:5.1f} s (at most {ASKED:.0f} asked), "
            f"of which {measured.importing:.1f} s in the tasks of the import"
        )
        for task in measured.tasks:
            print(f"     {task['id']:30} began after {task['gap']:5.1f} s, took {task['seconds']:5.1f} s")
    target = HOME / "var" / "bench" / "orchestration.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    said = {"load_before": load_before, "load_after": os.getloadavg()[0], "cores": os.cpu_count(), "runs": found}
    target.write_text(json.dumps(said, indent=2))
    print(f"load {load_before:.1f} before, {said['load_after']:.1f} after; written to {target.relative_to(HOME)}")


def _measure(schools: int) -> Measured:
    folder, spec = Path(tempfile.mkdtemp(prefix="rollover-bench-")), _district(schools)
    try:
        with prepared(folder, [spec]) as (server, owner), running(folder, [spec], server, owner) as services:
            _make_ready(services, spec)
            return _walk(services, owner, spec.year, schools)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _district(schools: int) -> DistrictSpec:
    """A district with a Hero tenant, half of its schools subscribed, whose reset date has passed."""
    year = demo_year(datetime.now(UTC).date())
    of = tuple(SchoolSpec(f"{n:03}", f"School {n}", 0, 2, STUDENTS_EACH) for n in range(1, schools + 1))
    ends = {True: ("active", date(year.last_year + 2, 6, 30)), False: ("ended", date(year.last_year, 1, 31))}
    subscriptions = tuple(
        SubscriptionSpec(school.id, ends[n % 2 == 0][0], date(year.first_year - 1, 8, 1), ends[n % 2 == 0][1])  # type: ignore[arg-type]
        for n, school in enumerate(of)
    )
    tenant = TenantSpec(TENANT, of, subscriptions, roster_import="at_once", events_per_student=EVENTS_EACH)
    return DistrictSpec(TENANT.district, "Bench Schools", "America/Chicago", year, (tenant,))


def _make_ready(services: Services, spec: DistrictSpec) -> None:
    """The new year's set is dropped, found, checked, and waits for the rollover."""
    api = services.api
    wanted = {TENANT.dag_id, "roster_intake", "roster_import"}
    api.wait_for("the DAGs", lambda: wanted <= set(api.dag_ids()), timeout=180)
    transport = services.district_it(spec.id)
    try:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        content = oneroster.as_zip(new_year_files(spec, spec.tenants[0]))
        sftp.putfo(io.BytesIO(content), f"/{TENANT.product}/roster.zip")
        sftp.putfo(io.BytesIO(b""), f"/{TENANT.product}/roster.zip.done")
    finally:
        transport.close()
    for dag_id in ("roster_intake", "roster_import"):
        api.set_paused(dag_id, False)
    api.wait_for("a set that is ready", lambda: _number(services.owner, READY), timeout=600, poll=1)
    api.wait_for("an idle scheduler", lambda: not _at_work(services), timeout=300, poll=1)


def _walk(services: Services, owner: Engine, year: SchoolYear, schools: int) -> Measured:
    """Switch the rollover on: its date has passed, so it is scheduled at once."""
    api, person = services.api, 0.0
    api.set_paused(TENANT.dag_id, False)
    (run,) = api.wait_for("the run", lambda: api.runs(TENANT.dag_id), timeout=120)
    deadline = time.monotonic() + 1800
    while (state := _run(services, run["dag_run_id"])["state"]) not in FINISHED:
        for question in api.questions():
            time.sleep(READING_SECONDS)
            person += READING_SECONDS
            api.answer(question, "Approve")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{TENANT.dag_id} is not done")
        time.sleep(0.3)
    if state != "success":
        raise RuntimeError(f"{TENANT.dag_id} failed: see {services.folder}")
    ended, tasks = _run(services, run["dag_run_id"]), api.tasks(TENANT.dag_id, run["dag_run_id"])
    with owner.connect() as connection:
        rows = connection.execute(text(SECONDS), {"id": f"{TENANT.id}__{year.key}"})
        seconds: dict[str, float] = {row.step: row.seconds for row in rows}
    return Measured(
        schools=schools,
        run=_between(ended["start_date"], ended["end_date"]),
        work=float(sum(seconds.values())),
        person=person,
        importing=sum(task["duration"] or 0 for task in tasks if task["task_id"] == "import_roster"),
        tasks=_in_order(tasks, ended["start_date"]),
    )


def _in_order(tasks: list[dict[str, Any]], began: str) -> list[dict[str, Any]]:
    found, before = [], began
    for task in sorted((task for task in tasks if task["start_date"]), key=lambda task: str(task["start_date"])):
        gap = _between(before, task["start_date"])
        found.append({"id": task["task_id"], "gap": gap, "seconds": task["duration"] or 0.0})
        before = task["end_date"] or task["start_date"]
    return found


def _run(services: Services, run_id: str) -> dict[str, Any]:
    return dict(services.api.call("GET", f"dags/{TENANT.dag_id}/dagRuns/{run_id}"))


def _at_work(services: Services) -> bool:
    """Whether a run other than the intake's, which always waits, is going on."""
    return any(run["state"] not in FINISHED and run["dag_id"] != "roster_intake" for run in services.api.runs("~"))


def _number(owner: Engine, query: str) -> int:
    with owner.connect() as connection:
        return int(connection.scalar(text(query)) or 0)


def _between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


if __name__ == "__main__":
    main()

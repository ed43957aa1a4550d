"""The tasks of a season killed around each of their commits, and run again: each step is done once, and all of them.

Most tasks take several steps. That a step killed at any of its statements ends right is shown in
`tests/yearend/test_killed.py` and `tests/roster/test_import_killed.py`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover.ledger.results import Step
from tests.dags.test_rollover_dag import HERO, Load, drop, new_year_zip
from tests.support import killable_tasks as work
from tests.support.killable_tasks import Tasks
from tests.support.row_outcomes import judge, rows_of_product
from tests.support.run_dag import run_dag
from tests.support.small_district import YEAR, everything, run_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OF_RUN = (YEAR.key, HERO)
SCHEMAS = ["hero", "roster", "ledger"]


def test_a_season_whose_tasks_are_killed_ends_as_it_should(
    airflow: Load, riverside: Path, owner: Engine, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where killed tasks leave their temporary folders
    lakeside = everything(owner, "hero__lakeside-ca", SCHEMAS)
    run = run_of(engine, UPath(f"file://{tmp_path}/storage"))
    before = rows_of_product(owner, run)
    drop(riverside, new_year_zip())
    assert run_dag(airflow("roster_intake")).state == "success"
    (import_id,) = column(owner, "SELECT import_id FROM ledger.imports")

    with Tasks() as tasks:

        def killed(least: int, *job: Any) -> Any:
            result, kills = tasks.kill_until_done(*job)
            assert kills >= least, f"{job} was killed {kills} times only"
            assert tasks.run(*job).result == result, "run once more, it says something else"
            return result

        assert killed(10, work.import_drop, import_id) == "ready"
        assert tasks.run(work.import_drops, import_id).result == [], "nothing is left to a person"
        planned = killed(6, work.plan, *OF_RUN)[Step.PLAN.value]
        killed(2, work.take, *OF_RUN, Step.EXPORT_REPORTS)
        killed(4, work.archive, *OF_RUN, yes(planned))
        killed(6, work.take, *OF_RUN, Step.ERASE, Step.RESET, Step.VERIFY_RESET)
        judge(owner, run, before)
        killed(8, work.import_roster, *OF_RUN, import_id)
        killed(4, work.take, *OF_RUN, Step.RESUME_SYNC, Step.CERTIFY)

    steps = Counter(column(owner, "SELECT step FROM ledger.steps"))
    assert steps == dict.fromkeys(set(Step) - {Step.ASK_APPROVAL, Step.AWAIT_ROSTER}, 1)
    evidence = Counter(column(owner, f"SELECT kind FROM ledger.evidence WHERE tenant_id = '{HERO}'"))
    assert {step: evidence[step] for step in steps} == steps, "each step is in the evidence once"
    assert column(owner, "SELECT state FROM ledger.rollovers") == ["certified"]
    assert column(owner, "SELECT state FROM ledger.imports") == ["applied"]
    assert column(owner, "SELECT plan_no FROM ledger.plans") == [1]
    assert column(owner, "SELECT ended_at IS NOT NULL FROM ledger.pauses") == [True], "one pause, which has ended"
    delivered = column(owner, "SELECT delivered_to FROM ledger.exports WHERE removed_at IS NULL")
    assert len(set(delivered)) == len(delivered)
    files = [path for path in (riverside / "outbox").rglob("*") if path.is_file() and "imports" not in path.parts]
    outbox = {f"/riverside-ca/hero/{path.relative_to(riverside)}" for path in files}
    assert outbox > set(delivered) and len(outbox - set(delivered)) == 2, "the others are the certificate's two files"
    assert not list(Path(run.storage.path).rglob("*.part"))
    assert everything(owner, "hero__lakeside-ca", SCHEMAS) == lakeside


def yes(planned: dict[str, Any]) -> dict[str, Any]:
    """The answer of a person who approves a plan, as the question's task returns it."""
    about = {name: planned[name] for name in ("plan_no", "plan_hash")}
    return {"chosen_options": ["Approve"], "responded_by_user": {"id": "dana"}, **about}


def column(owner: Engine, query: str) -> list[Any]:
    with owner.connect() as connection:
        return list(connection.scalars(text(query)))

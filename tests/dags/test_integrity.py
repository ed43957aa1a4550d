"""What holds for every DAG, whatever it does. None of it can pass because nothing was loaded."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from rollover.adapter.district_watch import SHARDS
from rollover.ledger.results import TASKS, Step
from rollover.lint import load_catalog
from rollover.settings import Settings
from tests.dags.airflow_home import DISTRICTS, HOME

ROLLOVERS = {
    "rollover__hero__lakeside-wa",
    "rollover__hero__springfield-il",
    "rollover__imagine_math__springfield-il",
    "rollover__imagine_math_facts__springfield-il",
}
OTHERS = {"roster_intake", "roster_import", "roster_sync", "archive_expiry", "notices"}
DAG_FILES = (
    "archive_expiry_dag.py",
    "notices_dag.py",
    "rollover_dag.py",
    "roster_intake_dag.py",
    "roster_import_dag.py",
    "roster_sync_dag.py",
    "district_files_dag.py",
)
HEAVY = ("pandas", "numpy", "polars", "pyarrow", "duckdb", "paramiko", "asyncssh")

UNFINISHED = {
    "unfinished.go_on": {"unfinished.ask", "unfinished.wake"},
    "unfinished.ask": {"unfinished.decide"},
    "unfinished.decide": {"unfinished.wake"},
    "unfinished.wake": set(),
}
DOWNSTREAM = {
    "rollover": {
        "plan": {"export_reports"},
        "export_reports": {"ask_approval"},
        "ask_approval": {"archive"},
        "archive": {"erase"},
        "erase": {"await_roster"},
        "await_roster": {"import_roster"},
        "import_roster": {"certify"},
        "certify": set(),
    },
    "roster_intake": {"wait": {"record"}, "record": set()},
    "roster_import": {"import_drops": set(UNFINISHED), **UNFINISHED},
    "roster_sync": {
        "due": {"wake", "tidy", "report", "stray_files", "overdue_pauses"},
        "wake": set(),
        "tidy": set(),
        "report": set(),
        "stray_files": set(),
        "overdue_pauses": set(),
    },
    "archive_expiry": {"due": {"expire.ask", "expire.erase"}, "expire.ask": {"expire.erase"}, "expire.erase": set()},
    "notices": {"send": set()},
}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=HOME / "dags")


@pytest.fixture(scope="module", params=sorted(ROLLOVERS | OTHERS))
def dag(bag: DagBag, request: pytest.FixtureRequest) -> DAG:
    return bag.dags[request.param]


def test_every_file_loads_and_every_tenant_has_its_dag(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == ROLLOVERS | OTHERS
    catalog = load_catalog(DISTRICTS, Settings().products)
    assert {tenant.dag_id for tenant in catalog.tenants} == ROLLOVERS


def test_the_tasks_and_their_order(dag: DAG) -> None:
    expected = DOWNSTREAM["rollover" if dag.dag_id in ROLLOVERS else dag.dag_id]
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == expected


@pytest.mark.parametrize("dag_id", sorted(ROLLOVERS))
def test_nothing_is_erased_before_it_is_planned_exported_approved_and_archived(bag: DagBag, dag_id: str) -> None:
    upstream = bag.dags[dag_id].get_task("erase").get_flat_relative_ids(upstream=True)
    assert upstream == {"plan", "export_reports", "ask_approval", "archive"}


@pytest.mark.parametrize("dag_id", sorted(ROLLOVERS))
def test_the_tasks_take_every_step_once_and_in_order(bag: DagBag, dag_id: str) -> None:
    assert [task.task_id for task in bag.dags[dag_id].topological_sort()] == list(TASKS)
    assert [step for taken in TASKS.values() for step in taken] == list(Step)


@pytest.mark.parametrize("dag_id", sorted(ROLLOVERS))
def test_a_failure_stops_everything_after_it(bag: DagBag, dag_id: str) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in bag.dags[dag_id].tasks}
    lenient = {"archive", "certify"}
    assert rules == {name: "none_failed" if name in lenient else "all_success" for name in rules}


def test_every_dag_says_what_it_does_and_who_owns_it(dag: DAG) -> None:
    assert dag.doc_md and dag.description
    for promise in ("**Guarantees.**", "**When it fails.**"):
        assert promise in dag.doc_md
    assert {task.owner for task in dag.tasks} == {"rollover"}


def test_what_is_shown_names_the_district_and_keeps_the_ids(dag: DAG) -> None:
    """Error messages name tasks by their ids, so what is shown instead begins with the id."""
    assert dag.dag_display_name != dag.dag_id
    if dag.dag_id in ROLLOVERS:
        district = {"lakeside-wa": "Lakeside School District", "springfield-il": "Springfield Public Schools"}
        product = {"hero": "Hero", "imagine_math": "Imagine Math", "imagine_math_facts": "Imagine Math Facts"}
        _, of, where = dag.dag_id.split("__")
        assert dag.dag_display_name == f"{district[where]} · {product[of]}"
    for task in dag.tasks:
        name = task.task_id.rpartition(".")[2]
        assert task.task_display_name in (task.task_id, name) or task.task_display_name.startswith(f"{name}: ")
    if dag.dag_id == "roster_import":
        assert dag.get_task("unfinished.ask").task_display_name == "ask: a person decides"


def test_each_failure_of_a_task_is_recorded(dag: DAG) -> None:
    for task in dag.tasks:
        given = task.on_failure_callback  # of a mapped task it is the function itself
        assert (given if callable(given) else given[0]).__name__ == "on_task_failure", task.task_id


def test_tags_are_known(bag: DagBag, dag: DAG) -> None:
    from wiring import Tag

    catalog = load_catalog(DISTRICTS, Settings().products)
    known = {*Tag, *catalog.districts, *catalog.products}
    assert dag.tags and set(dag.tags) <= known
    if dag.dag_id in ROLLOVERS:
        assert set(dag.tags) == {Tag.ROLLOVER, *dag.dag_id.split("__")[1:]}


def test_runs_are_bounded_and_failures_are_reported(dag: DAG) -> None:
    limit = {"roster_import": 1000}.get(dag.dag_id, 1)
    assert dag.max_active_runs == limit
    assert dag.has_on_failure_callback
    assert dag.on_failure_callback.__module__ == "rollover.adapter.failing"


def test_waiting_for_a_person_holds_up_nobody(bag: DagBag) -> None:
    """A run may wait for an answer; the question of one night is closed before the next night's is asked."""
    for dag_id, task_id in (("roster_import", "unfinished.ask"), ("archive_expiry", "expire.ask")):
        ask = bag.dags[dag_id].get_task(task_id)
        assert ask.response_timeout < timedelta(days=1)
        assert ask.defaults == ["Later"] and ask.max_active_tis_per_dag is None


def test_work_is_bounded_over_all_tenants_by_pools_that_are_there(dag: DAG) -> None:
    known = json.loads((HOME / "pools.json").read_text())
    others = {"roster_import": "roster_imports", "roster_intake": "default_pool"}
    expected = "rollovers" if dag.dag_id in ROLLOVERS else others.get(dag.dag_id, "nightly")
    assert {task.pool for task in dag.tasks} == {expected} <= {*known, "default_pool"}


def test_the_largest_district_goes_first(bag: DagBag) -> None:
    def weight(dag_id: str, task_id: str) -> int:
        return int(bag.dags[dag_id].get_task(task_id).priority_weight)

    large, unknown = "rollover__hero__springfield-il", "rollover__hero__lakeside-wa"
    assert {weight(large, task.value) for task in TASKS} == {52_000}
    assert {weight(unknown, task.value) for task in TASKS} == {1}


def test_a_refusal_is_not_tried_again_and_a_lost_connection_is(dag: DAG) -> None:
    from rollover.errors import ProofFailed, Refused

    for task in dag.tasks:
        # roster_intake goes on for a night's time: it is tried again more often than a step.
        assert task.retries == (20 if task.task_id == "wait" else 3)
        decide = task.retry_policy.evaluate
        assert str(decide(Refused("no", "ask"), 1, 3).action.value) == "fail"
        assert str(decide(ProofFailed("no", "ask"), 1, 3).action.value) == "fail"
        assert str(decide(ConnectionResetError(), 1, 3).action.value) == "retry"
        assert str(decide(KeyError(), 1, 3).action.value) == "default"


def test_airflow_says_nothing_about_dates_that_partitioned_runs_do_not_have(bag: DagBag) -> None:
    assert bag.dags and not any(task.depends_on_past for dag in bag.dags.values() for task in dag.tasks)


@pytest.mark.parametrize("name", DAG_FILES)
def test_a_dag_file_is_wiring_only(name: str) -> None:
    source = (HOME / "dags" / name).read_text()
    assert len(source.splitlines()) <= 120
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    allowed = (
        "__future__",
        "datetime",
        "typing",
        "zlib",
        "airflow",
        "rollover",
        "wiring",
        "school_year_timetable",
        "tenant_timetable",
    )
    assert imported and {module.split(".")[0] for module in imported} <= set(allowed)
    assert {module for module in imported if module.startswith("airflow")} <= {"airflow.sdk", "airflow.sdk.exceptions"}


def test_the_list_of_files_is_complete() -> None:
    files = {path.name for path in (HOME / "dags").glob("*.py")}
    assert files == {*DAG_FILES, "wiring.py", "sharding.py"}
    assert {path.name for path in (HOME / "plugins").glob("*.py")} >= {
        "school_year_timetable.py",
        "tenant_timetable.py",
    }


def test_parsing_imports_nothing_heavy() -> None:
    """In a fresh process, as the dag processor parses."""
    script = (
        f"import sys, airflow; before = set(sys.modules); sys.path.append({str(HOME / 'dags')!r})\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        f"bag = DagBag(dag_folder={str(HOME / 'dags')!r})\n"
        "assert len(bag.dags) == 9, bag.import_errors\n"
        f"print([name for name in {HEAVY!r} if name in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_in_a_worker_only_the_dag_at_hand_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "rollover__hero__lakeside-wa")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", "plan")
    assert set(DagBag(dag_folder=HOME / "dags").dags) == {"rollover__hero__lakeside-wa"} | OTHERS


def test_every_tenant_is_in_one_shard() -> None:
    """A DAG file of its own for each shard, whose name says which one it makes."""
    files = sorted((HOME / "dags" / "rollover_shards").glob("*.py"))
    ids = [dag_id for path in files for dag_id in DagBag(dag_folder=path).dags]
    assert sorted(ids) == sorted(ROLLOVERS)
    said = [re.findall(r"make_rollovers\(shard=(\d+)\)", path.read_text()) for path in files]
    assert said == [[str(n)] for n in range(len(files))]
    assert [path.stem for path in files] == [f"shard_{n:02}" for n in range(SHARDS)]


def test_a_district_file_that_is_wrong_is_shown_and_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in DISTRICTS.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    broken = tmp_path / "lakeside-wa.yaml"
    broken.write_text(broken.read_text().replace("roster_import:", "roster_imports:"))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(tmp_path))
    bag = DagBag(dag_folder=HOME / "dags")
    assert set(bag.dags) == (ROLLOVERS | OTHERS) - {"rollover__hero__lakeside-wa"}
    (message,) = bag.import_errors.values()
    assert "lakeside-wa.yaml" in message and "roster_import" in message

"""The pages in Airflow's own API application: its login, its rights, and its questions."""

from __future__ import annotations

import importlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from airflow import plugins_manager
from airflow.api_fastapi import app as airflow_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.hitl import HITLDetail
from airflow.models.log import Log
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Param, dag
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, select

from rollover.adapter import pages
from rollover.season.facts import OpenQuestion
from rollover.tenant import Tenant
from rollover.web.host import NotAnswered, Right
from tests.support.district_auth import BrokenAuthManager, DistrictAuthManager
from tests.support.made_season import put, question_with
from tests.support.run_dag import Finished, run_dag

HERO, OTHER = "hero__riverside-ca", "hero__lakeside-ca"
ADMIN, CLERK, READER = "ada", "cleo", "ray"
ROLES = {ADMIN: "admin", CLERK: "user", READER: "viewer"}
Load = Callable[[str], DAG]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plugin, as the API server loads it."""
    monkeypatch.setattr(sys, "argv", ["airflow", "api-server"])
    return importlib.reload(importlib.import_module("rollover_pages"))


@pytest.fixture(params=[DistrictAuthManager])
def server(
    request: pytest.FixtureRequest, airflow: Load, plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FastAPI]:
    """Airflow's API application with the plugin, on the tests' databases."""
    manager = request.param
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", f"{manager.__module__}.{manager.__qualname__}")
    monkeypatch.setattr(plugins_manager, "get_fastapi_plugins", lambda: (plugin.RolloverPagesPlugin.fastapi_apps, []))
    airflow_app.purge_cached_app()
    yield airflow_app.create_app("core")
    airflow_app.purge_cached_app()


def browser(server: FastAPI, login: str | None) -> TestClient:
    """A browser with Airflow's cookie."""
    cookies = {}
    if login:
        user = SimpleAuthManagerUser(username=login, role=ROLES[login])
        cookies["_token"] = airflow_app.get_auth_manager().generate_jwt(user)
    return TestClient(server, cookies=cookies, follow_redirects=False)


def test_the_pages_are_in_the_api_server_only(monkeypatch: pytest.MonkeyPatch, airflow: Load) -> None:
    module = importlib.import_module("rollover_pages")
    monkeypatch.delitem(sys.modules, module.SERVER, raising=False)
    for command in ("scheduler", "dag-processor", "triggerer"):
        monkeypatch.setattr(sys, "argv", ["airflow", command])
        assert module.views() == {}
    monkeypatch.setattr(sys, "argv", ["airflow", "api-server"])
    found = module.views()
    assert [view["href"] for view in found["external_views"]] == ["/rollover/season", "/rollover/dags/{DAG_ID}"]
    assert [app["bundle_url"] for app in found["react_apps"]] == ["/rollover/static/panel.js"]


def test_pages_that_cannot_be_loaded_are_not_there(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pages, "application", lambda: 1 / 0)
    with caplog.at_level(logging.ERROR):
        assert plugin.views() == {}
    assert "ZeroDivisionError" in caplog.text


def test_everything_but_the_health_check_needs_airflows_login(server: FastAPI) -> None:
    anonymous = browser(server, None)
    assert anonymous.get("/rollover/health").status_code == 200
    for path in ("/", "/season", "/decisions", "/totals", "/static/panel.js", "/docs", "/openapi.json"):
        assert anonymous.get(f"/rollover{path}").status_code in (401, 404), path
    assert anonymous.get("/rollover/season", headers={"Authorization": "Bearer forged"}).status_code == 403
    assert browser(server, READER).get("/rollover/season").status_code == 200


@pytest.mark.parametrize("server", [BrokenAuthManager], indirect=True)
def test_an_authorization_that_fails_denies_everything(server: FastAPI, owner: Engine) -> None:
    put(owner, HERO, "2025-26")
    admin = browser(server, ADMIN)
    assert admin.get("/rollover/totals").json()["tenants"] == 0
    assert admin.get(f"/rollover/tenants/{HERO}/dates/2025-26").status_code == 404


def test_each_right_is_one_of_airflows(server: FastAPI) -> None:
    mine, other = Tenant.parse(HERO), Tenant.parse(OTHER)
    both = [mine, other]
    by_login = {
        login: {
            right: pages.AirflowVisitor(SimpleAuthManagerUser(username=login, role=role)).allowed(both, right)
            for right in Right
        }
        for login, role in ROLES.items()
    }
    assert by_login[ADMIN] == dict.fromkeys(Right, frozenset(both))
    assert by_login[CLERK] == dict.fromkeys(Right, frozenset([mine]))
    assert by_login[READER] == {right: frozenset(both if right is Right.READ else []) for right in Right}


# Questions


def made_up() -> DAG:
    """A DAG that asks, and no DAG of a file. Its id ends with Riverside, so that the clerk may answer."""

    @dag(dag_id="made_up__riverside-ca", schedule=None)
    def asks() -> None:
        HITLOperator(
            task_id="ask",
            subject="Erase?",
            body="- *Approve*: rows go.\n",
            options=["Approve", "Reject"],
            params={"reason": Param(None, type=["null", "string"])},
        )

    return asks()


def asked(run_id: str) -> OpenQuestion:
    """The question that the made-up DAG asks, as the ledger would have it."""
    return question_with(HERO, 7, dag_id="made_up__riverside-ca", run_id=run_id, task_id="ask", subject="Erase?")


def open_run() -> str:
    """The run that asks now."""
    with create_session(scoped=False) as session:
        query = select(TaskInstance.run_id).where(
            TaskInstance.dag_id == "made_up__riverside-ca", TaskInstance.state == "awaiting_input"
        )
        return str(session.scalars(query).one())


def ran(answer: Callable[[OpenQuestion], None]) -> Finished:
    """The run of the made-up DAG, whose question is answered by `answer`."""
    return run_dag(made_up(), answers={"ask": lambda: answer(asked(open_run()))})


def visitor(login: str) -> pages.AirflowVisitor:
    return pages.AirflowVisitor(SimpleAuthManagerUser(username=login, role=ROLES[login]))


def test_an_answer_of_the_pages_is_one_of_airflow(server: FastAPI, owner: Engine) -> None:
    clerk, logged = browser(server, CLERK), []

    def through_the_pages(question: OpenQuestion) -> None:
        put(owner, HERO, "2025-26", questions=(question,))
        page = clerk.get(f"/rollover/decisions/confirm?answer={HERO}.7:Approve")
        assert page.status_code == 200 and "rows go." in page.text
        token = re.search(r'name="token" value="([^"]+)"', page.text)
        assert token is not None
        form = {"answer": f"{HERO}.7:Approve", "reason": "It is right.", "token": token[1]}
        done = clerk.post("/rollover/decisions", data=form)
        assert done.status_code == 200 and "Not answered" not in done.text
        assert pages.answered_by([question]) == {7: CLERK}
        assert pages.text_of(question) == "- *Approve*: rows go."
        again = clerk.post("/rollover/decisions", data=form)
        assert f"It was already answered by {CLERK}." in again.text
        with create_session(scoped=False) as session:
            query = select(Log.owner, Log.extra).where(Log.event == "update_hitl_detail", Log.run_id == question.run_id)
            logged.extend(tuple(row) for row in session.execute(query))

    finished = ran(through_the_pages)
    assert finished.state == "success"
    result = finished.result_of("ask")
    assert result["chosen_options"] == ["Approve"] and result["params_input"] == {"reason": "It is right."}
    assert finished.question_of("ask").responded_by == {"id": CLERK, "name": CLERK}
    assert [owner_ for owner_, _ in logged] == [CLERK] and "It is right." not in str(logged)


def test_airflows_own_rules_hold_for_an_answer(server: FastAPI) -> None:
    def refused(login: str, question: OpenQuestion, option: str = "Approve") -> str:
        with pytest.raises(NotAnswered) as error:
            pages.answer(visitor(login), question, [option], "why")
        return str(error.value)

    def with_each_mistake(question: OpenQuestion) -> None:
        assert "do not have the right" in refused(READER, question)
        assert "does not offer" in refused(ADMIN, question, "Perhaps")
        assert "does not ask it any more" in refused(ADMIN, question.model_copy(update={"run_id": "removed"}))
        assert "do not have the right" in refused(CLERK, question.model_copy(update={"about": f"{OTHER}__2025-26"}))
        with create_session(scoped=False) as session:
            query = select(HITLDetail).join(TaskInstance).where(TaskInstance.run_id == question.run_id)
            session.scalars(query).one().assignees = [{"id": "kim", "name": "Kim"}]
        assert "only they may answer" in refused(ADMIN, question)
        assert pages.answered_by([question]) == {}

    def then_answer(question: OpenQuestion) -> str:
        with_each_mistake(question)
        return "Reject"

    done = run_dag(made_up(), answers={"ask": lambda: then_answer(asked(open_run()))})
    assert done.result_of("ask")["chosen_options"] == ["Reject"]


def test_the_catalog_is_read_again_after_a_file_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LOOK_SECONDS", -1.0)
    (tmp_path / "a.yaml").write_text("a: 1")
    read = []

    def count() -> object:
        read.append(len(read))
        return read[-1]

    fresh = pages.FreshCatalog(count, [tmp_path])  # type: ignore[arg-type]
    assert [fresh(), fresh()] == [0, 0]
    (tmp_path / "new").write_text("a: 12")
    (tmp_path / "new").replace(tmp_path / "a.yaml")  # at once: a file that is being written is two changes
    deadline = time.monotonic() + 10
    while fresh() == 0:
        assert time.monotonic() < deadline, "the changed file was never read"
    assert read == [0, 1]

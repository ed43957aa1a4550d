"""Gives the pages Airflow's people, rights and questions. Only the API server imports it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import FastAPI, HTTPException

from rollover.adapter import connections, runs
from rollover.archive.keys import Keys
from rollover.config import Catalog
from rollover.config.load import files_in
from rollover.season.facts import OpenQuestion
from rollover.settings import Settings
from rollover.tenant import SEPARATOR, Tenant
from rollover.web.app import create_app
from rollover.web.host import KEPT_CONNECTIONS, Host, NotAnswered, Right, Visitor

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
    from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest
    from sqlalchemy.orm import Session

PREFIX = "/rollover"
"""Where the pages are mounted, below the path of ``[api] base_url``."""
METHODS: dict[Right, tuple[ResourceMethod, DagAccessEntity | None]] = {
    Right.READ: ("GET", None),
    Right.DECIDE: ("PUT", DagAccessEntity.HITL_DETAIL),
    Right.DOWNLOAD: ("POST", DagAccessEntity.RUN),
    Right.HOLD: ("PUT", None),
}
"""What each right is in Airflow's auth manager, about the tenant's DAG. docs/pages.md explains it."""
LOOK_SECONDS = 10.0
"""How long the list of district files is used before it is looked at again."""


class AirflowVisitor(Visitor):
    """A user of Airflow, with the rights that its auth manager gives."""

    def __init__(self, user: Any) -> None:
        self.user = user

    @property
    def id(self) -> str:
        return str(self.user.get_id())

    @property
    def name(self) -> str:
        return str(self.user.get_name())

    def look_up(self, tenants: Collection[Tenant], right: Right) -> Iterable[Tenant]:
        method, entity = METHODS[right]
        by_dag = {tenant.dag_id: tenant for tenant in tenants}
        manager, found = get_auth_manager(), set[str]()
        for team, dag_ids in by_team(list(by_dag)).items():
            details = {dag_id: DagDetails(id=dag_id, team_name=team) for dag_id in sorted(dag_ids)}
            if entity is None:
                found |= manager.filter_authorized_dag_ids(
                    dag_ids=dag_ids, user=self.user, method=method, team_name=team
                )
                continue
            requests = [
                cast("IsAuthorizedDagRequest", {"method": method, "access_entity": entity, "details": each})
                for each in details.values()
            ]
            if manager.batch_is_authorized_dag(requests, user=self.user):
                found |= details.keys()
            else:  # some of them: Airflow has no filter for what belongs to a DAG
                found |= {
                    dag_id
                    for dag_id, each in details.items()
                    if manager.is_authorized_dag(method=method, access_entity=entity, details=each, user=self.user)
                }
        return [by_dag[dag_id] for dag_id in found]


def by_team(dag_ids: list[str]) -> dict[str | None, set[str]]:
    """The DAGs by the team that they belong to, where Airflow has teams."""
    if not conf.getboolean("core", "multi_team", fallback=False):
        return {None: set(dag_ids)} if dag_ids else {}
    from airflow.models.dag import DagModel

    teams, found = DagModel.get_dag_id_to_team_name_mapping(dag_ids), dict[str | None, set[str]]()
    for dag_id in dag_ids:
        found.setdefault(teams.get(dag_id), set()).add(dag_id)
    return found


def visitor(user: GetUserDep) -> Visitor:
    """The person who is logged in to Airflow. Raises what Airflow raises if nobody is."""
    return AirflowVisitor(user)


# Questions


def answer(who: Visitor, question: OpenQuestion, options: Sequence[str], reason: str) -> None:
    """Answer a question as Airflow's Required Actions do. Raises NotAnswered with what Airflow has against it."""
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.utils.session import create_session

    assert isinstance(who, AirflowVisitor)
    if not who.may(tenant_of(question), Right.DECIDE):
        raise NotAnswered("You do not have the right to answer it.")
    payload = UpdateHITLDetailPayload(chosen_options=list(options), params_input={"reason": reason})
    try:
        with create_session(scoped=False) as session:
            update_hitl_detail(
                dag_id=question.dag_id,
                dag_run_id=question.run_id,
                task_id=question.task_id,
                map_index=question.map_index,
                update_hitl_detail_payload=payload,
                user=who.user,
                session=session,
            )
            _note_action(session, who, question, options)
    except HTTPException as error:
        raise NotAnswered(_why(question, error.status_code)) from None


def tenant_of(question: OpenQuestion) -> Tenant:
    """The tenant that a question is about: its rollover's or its import's id begins with the tenant's."""
    return Tenant.parse(question.about.rpartition(SEPARATOR)[0])


def _note_action(session: Session, who: AirflowVisitor, question: OpenQuestion, options: Sequence[str]) -> None:
    """Write Airflow's audit log, as its own route does. The reason is in the question itself."""
    from airflow.models.log import Log

    session.add(
        Log(
            event="update_hitl_detail",
            task_instance=None,
            owner=who.name,
            owner_display_name=who.name,
            extra=json.dumps({"chosen_options": list(options), "method": "POST", "map_index": question.map_index}),
            dag_id=question.dag_id,
            run_id=question.run_id,
            task_id=question.task_id,
        )
    )


REASONS = {
    HTTPStatus.BAD_REQUEST: "Airflow does not offer this answer any more: open the question again.",
    HTTPStatus.FORBIDDEN: "It is assigned to other people, and only they may answer it.",
    HTTPStatus.NOT_FOUND: "Airflow does not ask it any more: its run was removed or cleared.",
}


def _why(question: OpenQuestion, status: int) -> str:
    """Why Airflow did not take an answer."""
    if status == HTTPStatus.CONFLICT:
        return f"It was already answered by {answered_by([question]).get(question.question_id, 'somebody else')}."
    return REASONS.get(HTTPStatus(status), f"Airflow refused the answer ({status}).")


def answered_by(questions: Sequence[OpenQuestion]) -> dict[int, str]:
    """Of questions that the ledger has as open, who has answered them in Airflow, by the question's id.

    For a moment only: the task that asked then goes on, and records the answer in the ledger.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_

    place = (TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index)
    ids = {(each.dag_id, each.run_id, each.task_id, each.map_index): each.question_id for each in questions}
    query = (
        select(*place, HITLDetail.responded_by)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(tuple_(*place).in_(list(ids)), HITLDetail.responded_at.is_not(None))
    )
    with create_session(scoped=False) as session:
        return {ids[tuple(row[:4])]: (row[4] or {}).get("name") or "nobody in time" for row in session.execute(query)}


def text_of(question: OpenQuestion) -> str | None:
    """The text that Airflow shows with a question; None if it does not ask it any more."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = (
        select(HITLDetail.body)
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(TaskInstance.dag_id == question.dag_id, TaskInstance.run_id == question.run_id)
        .where(TaskInstance.task_id == question.task_id, TaskInstance.map_index == question.map_index)
    )
    with create_session(scoped=False) as session:
        row = session.execute(query).one_or_none()
    return None if row is None else row.body or ""


# The rest of the host


class FreshCatalog:
    """The district and product files, read again in the background after one has changed.

    Thousands of files take seconds to read. So a request gets those of the last reading, and only the first one waits.
    """

    def __init__(self, read: Callable[[], Catalog], folders: Sequence[Path]) -> None:
        self._read = read
        self._folders = folders
        self._lock = threading.Lock()
        self._known: Catalog | None = None
        self._seen: object = None
        self._looked_at = float("-inf")

    def __call__(self) -> Catalog:
        with self._lock:
            if self._known is None:
                self._seen, self._known = self._signature(), self._read()
                self._looked_at = time.monotonic()
            elif time.monotonic() - self._looked_at > LOOK_SECONDS:
                self._looked_at = float("inf")  # until this look is over
                threading.Thread(target=self._look, daemon=True).start()
            return self._known

    def _look(self) -> None:
        try:
            signature = self._signature()
            if signature != self._seen:
                known = self._read()
                with self._lock:
                    self._seen, self._known = signature, known
        finally:
            self._looked_at = time.monotonic()

    def _signature(self) -> object:
        """Names, sizes and times of all files."""
        found = (path.stat() for folder in self._folders for path in files_in(folder))
        return [(each.st_ino, each.st_size, each.st_mtime_ns) for each in found]


def host() -> Host:
    """Airflow, as the pages need it."""
    settings = Settings()
    return Host(
        visitor=visitor,
        engine=cache(partial(connections.engine, keep=KEPT_CONNECTIONS)),
        catalog=FreshCatalog(runs.catalog, (settings.districts, settings.products)),
        answer=answer,
        answered_by=answered_by,
        text_of=text_of,
        secret=lambda: str(conf.get_mandatory_value("api", "secret_key")),
        clock=runs.clock,
        districts=settings.districts,
        storage=settings.storage_root,
        keys=Keys(settings.archive_keys),
        backup_days=settings.backup_days,
    )


def application() -> FastAPI:
    """The pages, to be mounted at `PREFIX`."""
    return create_app(host())


def path_of(page: str) -> str:
    """The path of a page in a browser: behind the path of ``[api] base_url``."""
    return f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{PREFIX}{page}"

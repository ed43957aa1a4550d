"""Runs a DAG from its first task to its end in this process: no scheduler, no API server, no triggerer.

`airflow.DAG.test` cannot: it knows no partition key, and waits for ever where a person is asked. This is its loop,
with a key, asset events, and answers that the test gives. It uses internals of the pinned Airflow version.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pendulum
from airflow import settings
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.collection import update_dag_parsing_results_in_db
from airflow.models.asset import AssetEvent
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.trigger import handle_event_submit
from airflow.models.xcom import XComModel
from airflow.sdk import DAG, timezone
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.triggers.base import TriggerEvent
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session

BUNDLE = "dags-folder"


@dataclass(frozen=True)
class Cleared:
    """In the place of an answer: somebody clears these tasks, in Airflow's page."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True)
class Reasoned:
    """An option, and the reason that a person wrote beside it."""

    option: str
    reason: str


Given = str | list[str] | Reasoned | Cleared | None
Answer = Given | Callable[[], Given]
"""An option or several; None: nobody answers in time; or what happens before, and returns one of these."""


@dataclass
class Finished:
    """A finished run: its state, its tasks' states by task id and map index (-1: not mapped), and results."""

    run_id: str
    state: str
    tasks: dict[tuple[str, int], str]
    results: dict[tuple[str, int], Any] = field(default_factory=dict)
    questions: dict[tuple[str, int], HITLDetail] = field(default_factory=dict)

    def state_of(self, task_id: str, map_index: int = -1) -> str:
        return self.tasks[task_id, map_index]

    def result_of(self, task_id: str, map_index: int = -1) -> Any:
        return self.results[task_id, map_index]

    def question_of(self, task_id: str, map_index: int = -1) -> HITLDetail:
        return self.questions[task_id, map_index]


def run_dag(
    dag: DAG,
    *,
    partition_key: str | None = None,
    answers: Mapping[str, Answer] | None = None,
    run_type: DagRunType = DagRunType.MANUAL,
    asset_extra: Mapping[str, Any] | None = None,
    timeout: float = 120,
) -> Finished:
    """Run `dag` and return how it ended; a failed task is not raised but found in the result.

    `answers`: task id of a question to its answer; a question without one raises AssertionError. `asset_extra`: the
    extra of an asset event that set off the run. Deferred tasks run their triggers here, and retries follow at once,
    whatever their delay.
    """
    session = cast(Session, cast(Any, settings.Session)())
    run = _create_run(dag, partition_key, run_type, asset_extra, session)
    run_pk, scheduled, deadline = run.id, run.dag, time.monotonic() + timeout
    while run.state == DagRunState.RUNNING:
        if time.monotonic() > deadline:
            raise TimeoutError({ti.task_id: str(ti.state) for ti in run.get_task_instances(session=session)})
        _schedule(run, session)
        _answer(run, answers or {}, session)
        for ti in run.get_task_instances(state=[TaskInstanceState.SCHEDULED], session=session):
            _run_task(ti=ti, task=dag.task_dict[ti.task_id], run_triggerer=True)
        session.expire_all()
        run = session.get_one(DagRun, run_pk)  # a task may have closed the session, which is the thread's
        run.dag = scheduled
    finished = _finished(run, session)
    session.close()
    return finished


def asset_events_of(run_id: str) -> list[AssetEvent]:
    """The asset events that the tasks of a run sent, by partition key."""
    with cast(Any, settings.NonScopedSession)() as session:
        query = select(AssetEvent).where(AssetEvent.source_run_id == run_id).order_by(AssetEvent.partition_key)
        return list(session.scalars(query))


def xcom_of(run_id: str, task_id: str, key: str) -> Any:
    """What a task that is not mapped said in XCom under a key."""
    query = select(XComModel).where(XComModel.run_id == run_id, XComModel.task_id == task_id, XComModel.key == key)
    with cast(Any, settings.NonScopedSession)() as session:
        return XComModel.deserialize_value(session.scalars(query).one())


def _create_run(
    dag: DAG,
    partition_key: str | None,
    run_type: DagRunType,
    asset_extra: Mapping[str, Any] | None,
    session: Session,
) -> DagRun:
    DagBundlesManager().sync_bundles_to_db(session=session)
    session.commit()
    lazy = LazyDeserializedDAG.from_dag(dag)
    update_dag_parsing_results_in_db(BUNDLE, None, [lazy], {}, None, set(), session=session)
    session.commit()
    serialized = SerializedDagModel.get(dag.dag_id, session=session)
    assert serialized is not None
    scheduled = serialized.dag
    now, timetable = timezone.utcnow(), scheduled.timetable
    run = scheduled.create_dagrun(
        run_id=timetable.generate_run_id(
            run_type=run_type, run_after=pendulum.instance(now), data_interval=None, partition_key=partition_key
        ),
        run_after=now,
        run_type=run_type,
        state=DagRunState.RUNNING,
        start_date=now,
        triggered_by=DagRunTriggeredByType.TEST,
        partition_key=partition_key,
        partition_date=timetable.resolve_partition_date(partition_key),
        session=session,
    )
    if asset_extra is not None:
        _, asset = next(iter(timetable.asset_condition.iter_assets()))
        event = AssetEvent(asset_id=_asset_id(asset.name, session), extra=dict(asset_extra))
        run.consumed_asset_events.append(event)
    session.commit()
    return run


def _asset_id(name: str, session: Session) -> int:
    from airflow.models.asset import AssetModel

    return session.scalars(select(AssetModel.id).where(AssetModel.name == name)).one()


def _schedule(run: DagRun, session: Session) -> None:
    ready, _ = run.update_state(session=session, execute_callbacks=False)
    for ti in ready:
        if ti.state != TaskInstanceState.UP_FOR_RESCHEDULE:
            ti.try_number += 1
        ti.state, ti.scheduled_dttm = TaskInstanceState.SCHEDULED, timezone.utcnow()
    for ti in run.get_task_instances(state=[TaskInstanceState.UP_FOR_RETRY], session=session):
        ti.end_date = timezone.datetime(2000, 1, 1)  # its retry delay is over
    session.commit()


def _list_of(chosen: str | list[str] | None) -> list[str]:
    return [chosen] if isinstance(chosen, str) else list(chosen or [])


def _answer(run: DagRun, answers: Mapping[str, Answer], session: Session) -> None:
    for ti in run.get_task_instances(state=[TaskInstanceState.AWAITING_INPUT], session=session):
        assert ti.task_id in answers, f"{ti.task_id} asks, and the test has no answer"
        detail, answer = session.get(HITLDetail, ti.id), answers[ti.task_id]
        assert detail is not None
        chosen = answer() if callable(answer) else answer
        session.refresh(detail)
        if detail.response_received:  # somebody answered in Airflow, or in the pages
            session.commit()
            return
        if isinstance(chosen, Cleared):
            found = run.get_task_instances(session=session)
            clear_task_instances([other for other in found if other.task_id in chosen.task_ids], session)
            session.commit()
            return
        params = {"reason": chosen.reason} if isinstance(chosen, Reasoned) else {}
        assert params.keys() <= detail.params.keys()
        chosen = chosen.option if isinstance(chosen, Reasoned) else chosen
        assert set(_list_of(chosen)) <= set(detail.options), f"'{chosen}' is not offered"
        # As the scheduler does when the time is over.
        detail.chosen_options, detail.params_input = _list_of(chosen) or list(detail.defaults or ()), params
        detail.responded_at = timezone.utcnow()
        detail.responded_by = {"id": "tester", "name": "tester"} if chosen else None
        event = TriggerEvent(detail.as_resume_event_payload(timedout=chosen is None))
        handle_event_submit(event, task_instance=ti, session=session)
        session.commit()


def _finished(run: DagRun, session: Session) -> Finished:
    tasks: list[TaskInstance] = run.get_task_instances(session=session)
    query = select(XComModel).where(
        XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id, XComModel.key == "return_value"
    )
    return Finished(
        run_id=run.run_id,
        state=str(run.state),
        tasks={(ti.task_id, ti.map_index): str(ti.state) for ti in tasks},
        results={(x.task_id, x.map_index): XComModel.deserialize_value(x) for x in session.scalars(query)},
        questions={
            (ti.task_id, ti.map_index): detail for ti in tasks if (detail := session.get(HITLDetail, ti.id)) is not None
        },
    )

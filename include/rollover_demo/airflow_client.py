"""Calls the REST API of an Airflow for the demo, the end-to-end tests and the benchmarks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Self

import httpx

from rollover.errors import RolloverError

log = logging.getLogger(__name__)

PAGE = 100
"""Airflow answers no more at once, whatever is asked for."""
READ_AGAIN = 3
"""How often a request is repeated that was not answered in time: a laptop may be busy."""
FINISHED = frozenset({"success", "failed"})


class ApiError(RolloverError):
    """Airflow answered with an error; the message has its status and reason."""


class AirflowClient:
    """One logged-in user. A call times out after 30 seconds, and what only reads is then tried again; a token that
    expired is renewed once."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._login = {"username": user, "password": password}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @staticmethod
    def health(url: str) -> dict[str, str]:
        """Component to status, as far as there is one; empty while nothing answers."""
        try:
            answer = httpx.get(f"{url}/api/v2/monitor/health", timeout=10)
            components = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, ValueError):
            return {}
        return {name: str(said.get("status")) for name, said in components.items() if said}

    def call(self, method: str, path: str, *, body: Any = None, **query: Any) -> Any:
        """The JSON that Airflow answers, None for an empty answer. Raises ApiError for an error status."""
        answer = self._send(method, path, body, query)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._http.headers["Authorization"] = f"Bearer {self._token()}"
            answer = self._send(method, path, body, query)
        if answer.is_error:
            raise ApiError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, body: Any, query: dict[str, Any]) -> httpx.Response:
        for _ in range(READ_AGAIN if method == "GET" else 0):
            try:
                return self._http.request(method, f"/api/v2/{path}", params=query)
            except httpx.TimeoutException:
                log.info("Airflow's API did not answer in time: asked again")
        return self._http.request(method, f"/api/v2/{path}", json=body, params=query)

    def _token(self) -> str:
        answer = self._http.post("/auth/token", json=self._login)
        if answer.is_error:
            raise ApiError(f"login refused: {answer.status_code}")
        return str(answer.json()["access_token"])

    def dag_ids(self) -> list[str]:
        """The DAGs that Airflow knows now, by name."""
        found: list[str] = []
        while True:
            page = self.call("GET", "dags", limit=PAGE, offset=len(found), order_by="dag_id")["dags"]
            found += [dag["dag_id"] for dag in page]
            if len(page) < PAGE:
                return found

    def dag(self, dag_id: str) -> dict[str, Any]:
        """One DAG with its next run: ``next_dagrun_run_after``, ``is_paused``, ``tags``, …"""
        return dict(self.call("GET", f"dags/{dag_id}"))

    def set_paused(self, dag_id: str, paused: bool) -> None:
        self.call("PATCH", f"dags/{dag_id}", body={"is_paused": paused})

    def import_errors(self) -> dict[str, str]:
        """File name to the message that its parsing ended with."""
        errors = self.call("GET", "importErrors", limit=PAGE)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def trigger(self, dag_id: str, *, partition_key: str | None = None) -> str:
        """Start a run by hand; the run id, which names the key since the grid does not show it."""
        body: dict[str, Any] = {"logical_date": None, "partition_key": partition_key}
        if partition_key:
            body["dag_run_id"] = f"manual__{partition_key}__{time.time_ns()}"
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", body=body)["dag_run_id"])

    def backfill(self, dag_id: str, *, first: str, last: str) -> int:
        """Backfill the partitions dated `first` to `last` (ISO dates), oldest first; the backfill's id.

        One at a time, said here because a backfill ignores the DAG's own max_active_runs.
        """
        body = {"dag_id": dag_id, "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z"}
        return int(self.call("POST", "backfills", body=body | {"max_active_runs": 1})["id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The newest runs of a DAG (``~`` for all), newest first: dag_run_id, state, partition_key, …"""
        path = f"dags/{dag_id}/dagRuns"
        return list(self.call("GET", path, limit=PAGE, order_by="-start_date")["dag_runs"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run: task_id, map_index, state, try_number, start_date, …"""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return list(self.call("GET", path, limit=PAGE)["task_instances"])

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self.call("GET", path, deserialize=True)["value"]

    def questions(self) -> list[dict[str, Any]]:
        """Return the questions waiting for a person: subject, body, options, ``task_instance`` with dag_id and task."""
        path = "dags/~/dagRuns/~/hitlDetails"
        return list(self.call("GET", path, response_received=False, limit=PAGE)["hitl_details"])

    def answer(self, question: dict[str, Any], *options: str, reason: str | None = None) -> None:
        """Answer a question of `questions` as this user. Raises ApiError when somebody already did."""
        task = question["task_instance"]
        path = f"dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
        body = {"chosen_options": list(options), "params_input": {"reason": reason} if reason else {}}
        self.call("PATCH", f"{path}/{task['map_index']}/hitlDetails", body=body)

    def wait_for(self, what: str, check: Callable[[], Any], *, timeout: float, poll: float = 0.3) -> Any:
        """Ask `check` until it answers something true, and return that. Raises TimeoutError naming `what`."""
        deadline = time.monotonic() + timeout
        while not (found := check()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout:g} seconds")
            time.sleep(poll)
        return found

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float) -> str:
        """Wait until a run is finished; its state, ``success`` or ``failed``."""

        def state() -> str | None:
            now = str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])
            return now if now in FINISHED else None

        return str(self.wait_for(f"{dag_id} {run_id}", state, timeout=timeout))

"""The DAG `notices`: from Airflow's connections to mails and chats, and what it leaves in logs and XComs."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk import DAG
from sqlalchemy import Engine, select

from rollover.adapter import runs
from rollover.database.tables import ledger
from rollover_demo.airflow import free_ports
from rollover_demo.mail_server import HOST, MailServer
from tests.notify.conftest import CONTACTS, SENDER
from tests.support.run_dag import run_dag
from tests.support.small_district import run_of

SMTP: dict[str, Any] = {
    "conn_type": "smtp",
    "host": HOST,
    "extra": {"from_email": SENDER, "disable_ssl": True, "disable_tls": True},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path / "mail").start()
    yield server
    server.stop()


@pytest.fixture
def chats() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A service that takes JSON, as Apprise sends it: its address, and what it got."""
    got: list[dict[str, Any]] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    service = HTTPServer((HOST, 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    yield f"json://{HOST}:{service.server_port}", got
    service.shutdown()
    service.server_close()


@pytest.fixture
def week_before(
    airflow: Callable[[str], DAG], riverside: Path, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> datetime:
    """Riverside, with contacts, five days before its reset."""
    file = tmp_path / "districts" / "riverside-ca.yaml"
    said = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**said, "contacts": list(CONTACTS)[:1]}))
    now = run_of(engine, tmp_path).reset_at - timedelta(days=5)  # type: ignore[arg-type]
    monkeypatch.setattr(runs, "clock", lambda: now)
    monkeypatch.setenv("ROLLOVER_TEAM_MAIL", json.dumps({"customer_success": ["success@vendor.example"]}))
    return now


def rows(owner: Engine) -> list[tuple[Any, ...]]:
    columns = ledger.notices.c
    with owner.connect() as connection:
        query = select(columns.role, columns.channel, columns.recipients, columns.error_class).order_by("role")
        return [tuple(row) for row in connection.execute(query.order_by(columns.channel))]


@pytest.mark.parametrize("connection", ["ROLLOVER_MAIL", "SMTP_DEFAULT"])
def test_a_notice_that_is_due_is_mailed_once(
    airflow: Callable[[str], DAG],
    week_before: datetime,
    server: MailServer,
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    connection: str,
) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{connection}", json.dumps({**SMTP, "port": server.port}))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.vendor.example/team")
    run = run_dag(airflow("notices"))
    assert (run.state, run.result_of("send")) == ("success", {"sent": 2})
    assert run_dag(airflow("notices")).result_of("send") == {}
    assert rows(owner) == [("customer_success", "mail", 1, None), ("district_it", "mail", 1, None)]
    names = [path.name for path in sorted(server.folder.iterdir())]
    assert names == [
        "0001-reset_in_1_week-hero__riverside-ca-district_it.eml",
        "0002-reset_in_1_week-hero__riverside-ca-customer_success.eml",
    ]
    ours = (server.folder / names[1]).read_text()
    assert "https://airflow.vendor.example/team/dags/rollover__hero__riverside-ca" in ours.replace("=\n", "")
    logged = "\n".join(each.getMessage() for each in caplog.records if not each.name.startswith("mail"))
    assert "Lovett" not in logged and "@riverside.example" not in logged and "@vendor.example" not in logged


def test_without_a_mail_server_nothing_is_due(
    airflow: Callable[[str], DAG], week_before: datetime, owner: Engine
) -> None:
    run = run_dag(airflow("notices"))
    assert (run.state, run.result_of("send"), rows(owner)) == ("success", {}, [])


def test_a_dead_server_or_a_connection_without_a_sender_fails_no_run(
    airflow: Callable[[str], DAG],
    week_before: datetime,
    server: MailServer,
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = {**SMTP, "port": server.port, "extra": {"disable_ssl": True, "disable_tls": True}}
    monkeypatch.setenv("AIRFLOW_CONN_ROLLOVER_MAIL", json.dumps(nobody))
    run = run_dag(airflow("notices"))
    assert (run.state, run.result_of("send")) == ("success", {"failed": 2})
    assert {row[-1] for row in rows(owner)} == {"NoSender"}
    (unused,) = free_ports(1)
    monkeypatch.setenv("AIRFLOW_CONN_ROLLOVER_MAIL", json.dumps({**SMTP, "port": unused}))
    assert run_dag(airflow("notices")).result_of("send") == {"failed": 2}
    assert {row[-1] for row in rows(owner)} == {"ConnectionRefusedError"}


def test_a_silent_server_costs_its_time_once(
    airflow: Callable[[str], DAG], week_before: datetime, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as silent:
        extra = {**SMTP["extra"], "timeout": 1}
        given = {**SMTP, "port": silent.getsockname()[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ROLLOVER_MAIL", json.dumps(given))
        begun = time.monotonic()
        assert run_dag(airflow("notices")).result_of("send") == {"failed": 2}
        assert time.monotonic() - begun < 5
    assert {row[-1] for row in rows(owner)} == {"SMTPServerDisconnected"}


def test_a_chat_gets_what_its_roles_get(
    airflow: Callable[[str], DAG],
    week_before: datetime,
    chats: tuple[str, list[dict[str, Any]]],
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, got = chats
    services = [{"path": f"{url}/team", "tag": ["customer_success", "data_engineer"]}, {"path": f"{url}/x", "tag": "x"}]
    chat = {"conn_type": "apprise", "extra": {"config": services}}
    monkeypatch.setenv("AIRFLOW_CONN_ROLLOVER_APPRISE", json.dumps(chat))
    assert run_dag(airflow("notices")).result_of("send") == {"sent": 1}
    assert rows(owner) == [("customer_success", "chat", 1, None)]
    assert len(got) == 1 and "resets on" in got[0]["title"] and "If it says nothing" in got[0]["message"]
    assert "Casey" not in got[0]["message"] and "@" not in got[0]["message"]


def test_a_chat_that_takes_nothing_is_tried_again(
    airflow: Callable[[str], DAG],
    week_before: datetime,
    chats: tuple[str, list[dict[str, Any]]],
    owner: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, _ = chats

    def chat(path: str) -> None:
        config = {"config": {"path": f"{url}/{path}", "tag": "customer_success"}}
        monkeypatch.setenv("AIRFLOW_CONN_ROLLOVER_APPRISE", json.dumps({"conn_type": "apprise", "extra": config}))

    chat("broken")
    assert run_dag(airflow("notices")).result_of("send") == {"failed": 1}
    assert rows(owner) == [("customer_success", "chat", None, "NotTaken")]
    chat("whole")
    assert run_dag(airflow("notices")).result_of("send") == {"sent": 1}

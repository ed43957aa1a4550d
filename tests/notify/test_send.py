"""Each notice is sent once, whatever is killed when and whichever server is down; and the ledger says so."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from sqlalchemy import event, insert, text, update

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.errors import Refused
from rollover.ledger import failures, notices, questions
from rollover.ledger.failures import Failed
from rollover.ledger.results import Step
from rollover.notify import send as sending
from rollover.notify.addresses import Addresses
from rollover.notify.kinds import Kind
from rollover.notify.mail import Login, MailChannel
from rollover.notify.message import Message
from rollover.season.deadlines import Alarm
from rollover.season.phases import Phase
from rollover.season.read import read_season
from rollover.season.state import TenantState
from rollover.yearend import steps
from tests.notify.conftest import CONTACTS, NAMES, Office
from tests.support import certified
from tests.support.personal_values import Secrets
from tests.support.small_district import YEAR, district
from tests.yearend.test_rollover_steps import RUN_ID, answer_to, certify, no_outbox, nobody

IT, PRIVACY, SUCCESS, ENGINEER = "district_it", "privacy_officer", "customer_success", "data_engineer"


def week_before(office: Office) -> datetime:
    return office.run.reset_at - timedelta(days=5)


def state(office: Office, now: datetime) -> TenantState:
    (found,) = read_season(office.run.engine, office.catalog, now).states
    return found


def to(kind: Kind, *roles: str) -> list[tuple[str, str]]:
    return [(kind, role) for role in roles]


def drop(office: Office, number: int, state: str, reason: str | None = None) -> None:
    """A drop of the following year, in a state."""
    import_id, at = f"{office.run.tenant.id}__{number:012}", datetime.now(UTC)
    row = {"drop_id": import_id, "folder": "/f", "fingerprint": import_id, "files": [], "found_at": at}
    values = {"import_id": import_id, "school_year": office.run.school_year.next.key, "found_at": at}
    values |= {"state": state, "reason": reason, "changed_at": at}
    with office.owner.begin() as connection:
        connection.execute(insert(ledger.drops).values(tenant_id=office.run.tenant.id, **row))
        connection.execute(insert(ledger.imports).values(tenant_id=office.run.tenant.id, **values))


def decided(office: Office, number: int, state: str) -> None:
    with office.owner.begin() as connection:
        is_it = ledger.imports.c.import_id == f"{office.run.tenant.id}__{number:012}"
        connection.execute(update(ledger.imports).where(is_it).values(state=state, changed_at=datetime.now(UTC)))


def test_a_season_is_notified_of_step_by_step_and_each_once(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    run, seen = office.run, 0

    def news() -> list[tuple[str, str]]:
        nonlocal seen
        now = datetime.now(UTC)
        found = office.send(now)
        assert office.send(now) == office.send(now + timedelta(minutes=15)) == {}
        new, seen = office.kinds()[seen:], len(office.kinds())
        assert found.get("sent", 0) == len(new) and not found.get("failed")
        return new

    for days, kind, roles in (
        (30, None, ()),
        (28, Kind.RESET_IN_4_WEEKS, (IT, PRIVACY, SUCCESS)),
        (14, Kind.RESET_IN_2_WEEKS, (IT, SUCCESS)),
        (7, Kind.RESET_IN_1_WEEK, (IT, SUCCESS)),
        (1, Kind.RESET_IN_1_DAY, (IT, SUCCESS, ENGINEER)),
    ):
        noon = run.reset_at - timedelta(days=days) + timedelta(hours=11)
        office.send(noon)
        assert office.send(noon) == {}
        new, seen = office.kinds()[seen:], len(office.kinds())
        assert new == (to(kind, *roles) if kind else [])
    assert state(office, run.reset_at).phase is Phase.INFORMED

    steps.guard(run, RUN_ID, nobody)
    steps.pause_sync(run)
    assert news() == []
    with tenant_session(run.engine, run.tenant.id) as connection:
        where = Failed(Step.PLAN, RUN_ID, datetime.now(UTC), rollover_id=run.id)
        failures.record(connection, run.tenant.id, where, ValueError("Rosalind Zebrowski"))
    assert news() == to(Kind.STEP_FAILED, ENGINEER)
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    ask(office, plan.plan_no, plan.plan_hash)
    assert news() == to(Kind.APPROVAL_WAITING, ENGINEER)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    steps.erase(run)
    steps.reset(run)
    steps.verify_reset(run)
    assert news() == []
    first_day = {YEAR.next.key: {"first_day": datetime.now(UTC).date() + timedelta(days=5)}}
    office.run = run = replace(run, district=district(contacts=CONTACTS, school_years=first_day))
    assert news() == to(Kind.FILES_MISSING, IT, SUCCESS)
    drop(office, 1, "rejected", "refused for no_people")
    assert news() == to(Kind.ROSTER_REJECTED, IT, SUCCESS, ENGINEER)
    drop(office, 2, "in_review", "2 over the limits")
    assert news() == to(Kind.ROSTER_IN_REVIEW, SUCCESS, ENGINEER)
    drop(office, 3, "in_review", "1 over the limits")
    assert news() == to(Kind.ROSTER_IN_REVIEW, SUCCESS, ENGINEER)
    decided(office, 3, "superseded")
    assert news() == []
    decided(office, 2, "applied")
    certified.resumed(run)
    assert news() == []
    certify(run)
    assert news() == to(Kind.CERTIFIED, IT, PRIVACY, SUCCESS, ENGINEER)

    rows = office.rows()
    assert len(rows) == len(office.mails()) and {row.kind for row in rows} == set(Kind)
    for row, mail in zip(rows, office.mails(), strict=True):
        assert (row.subject, row.recipients, row.attempts) == (str(mail["Subject"]), 1, 1)
        assert row.sent_at is not None and row.error_class is None and len(row.text_sha256) == 64
        assert (row.reset_date == run.reset_date) == row.kind.startswith("reset_in_")
    assert {row.text_sha256 for row in rows if row.role == IT}.isdisjoint(r.text_sha256 for r in rows if r.role != IT)
    no_student_in(office)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("rollover")]
    written = "\n".join([*logged, *map(str, rows)])
    assert "@" not in written.replace("@vendor.example", "") and not any(name in written for name in NAMES)


def no_student_in(office: Office) -> None:
    """No mail has a value of a person of the roster, in its headers, its text or its HTML."""
    with office.owner.connect() as connection:
        rows = connection.execute(text("SELECT * FROM roster.people")).mappings()
        people = pl.DataFrame([dict(row) for row in rows], infer_schema_length=None)
    secrets = Secrets.of(people.with_columns(pl.col("birth_date").cast(pl.Date)))
    assert {"rosalind", "zebrowski", "quentin"} <= secrets.names
    for mail in office.mails():
        parts = [str(value) for value in mail.values()]
        parts += [part.get_content() for part in mail.walk() if part.get_content_maintype() == "text"]
        assert len(parts) > 8 and secrets.found_in("\n".join(parts)) == set()


def ask(office: Office, plan_no: int, digest: str) -> None:
    asked = questions.Asked(
        kind="plan",
        about=office.run.id,
        digest=digest,
        subject="Riverside: erase 18?",
        rows_erased=18,
        options=["Approve", "Reject"],
        dag_id=office.run.tenant.dag_id,
        run_id=RUN_ID,
        task_id="ask_approval",
        map_index=-1,
        asked_at=datetime.now(UTC),
        plan_no=plan_no,
    )
    with tenant_session(office.run.engine, office.run.tenant.id) as connection:
        questions.ask(connection, office.run.tenant.id, asked)


def test_a_mail_says_the_default_that_follows_from_silence(office: Office) -> None:
    office.send(week_before(office))
    mail, _ = office.mails()
    day = office.run.reset_date
    said = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert f"{day:%B} {day.day}, {day.year}" in mail["Subject"]
    assert "If we hear nothing from you, this date stands." in said and f"Reset date:   {day}" in said
    assert "Hello Ada Lovett," in said
    assert str(mail["Reply-To"]) == "Casey Success <customer-success@riverside.example>"
    assert {row.reset_date for row in office.rows()} == {day}


def test_a_moved_date_is_notified_of_again(office: Office) -> None:
    now = week_before(office)
    office.send(now)
    moved = office.run.reset_date + timedelta(days=6)
    office.run = replace(office.run, district=district(contacts=CONTACTS, own_reset_date=moved))
    assert office.send(now) == {"sent": 2}
    assert office.send(now) == {}
    mail = office.mails()[-2]
    said = " ".join(mail.get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert "The date has changed: an earlier notice named" in said and f"Reset date: {moved}" in said
    assert [(row.kind, row.reset_date) for row in office.rows()][::2] == [
        (Kind.RESET_IN_1_WEEK, office.run.reset_date - timedelta(days=6)),
        (Kind.RESET_IN_2_WEEKS, moved),
    ]


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", ["begin", "write", "send", "record_sent", "between"])
def test_killed_at_any_instant_each_is_sent_and_none_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    now = week_before(office)
    place: dict[str, Any] = {
        "begin": (notices, "begin"),
        "write": (sending, "write"),
        "send": (MailChannel, "send"),
        "record_sent": (notices, "record_sent"),
        "between": (notices, "known"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*place[function], killed)
        with pytest.raises(KeyboardInterrupt):
            office.send(now)
    assert office.send(now) == {"sent": 2}
    assert office.send(now) == {}
    ids = [mail["Message-ID"] for mail in office.mails()]
    assert len(set(ids)) == 2
    assert len(ids) == (3 if function == "record_sent" else 2), "only the one that SMTP cannot exclude is sent twice"
    assert [row.sent_at for row in office.rows()] == [now, now]


def test_two_runs_at_once_send_once(office: Office) -> None:
    now, nested = week_before(office), []

    class Meanwhile(MailChannel):
        def send(self, message: Message, now: datetime) -> int:
            office.channel = MailChannel
            nested.append(office.send(now))
            return super().send(message, now)

    office.channel = Meanwhile
    assert office.send(now) == {"sent": 2}
    assert nested == [{}, {}] and len(office.mails()) == 2


def test_a_dead_server_is_tried_once_in_a_run_and_is_an_alarm(office: Office) -> None:
    now, port = week_before(office), office.port
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        office.port = unused.getsockname()[1]
        assert office.send(now) == {"failed": 2}
        assert office.logins == 1
        late = now + timedelta(minutes=15)
        assert office.send(late) == {"failed": 2}
    assert {(row.attempts, row.error_class, row.failed_at, row.sent_at) for row in office.rows()} == {
        (2, "ConnectionRefusedError", late, None)
    }
    found = state(office, now)
    assert found.alarms == (Alarm.NOTICE_NOT_SENT,) and found.phase is Phase.SCHEDULED
    assert found.sentences == ["2 notices could not be sent: `rollover notices --unsent` says why."]
    office.port = port
    assert office.send(now) == {"sent": 2}
    assert state(office, now).alarms == () and state(office, now).phase is Phase.INFORMED
    assert [row.attempts for row in office.rows()] == [3, 3]


def test_a_server_that_says_nothing_is_left_after_its_time(office: Office) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        office.port = silent.getsockname()[1]
        office.log_in = short_login(office)  # type: ignore[method-assign]
        assert office.send(week_before(office)) == {"failed": 2}
    assert {row.error_class for row in office.rows()} == {"SMTPServerDisconnected"}


def short_login(office: Office) -> Callable[[], Login]:
    import smtplib

    return lambda: Login(smtplib.SMTP("127.0.0.1", office.port, timeout=0.2), "rollover@vendor.example")


def test_a_mail_that_is_refused_stops_no_other(office: Office) -> None:
    refused = iter(["552 too large", "250 OK", "250 OK"])

    async def answer(*_: object) -> str:
        return next(refused)

    office.server.handle_DATA = answer  # type: ignore[method-assign]
    assert office.send(week_before(office)) == {"failed": 1, "sent": 1}
    first, second = office.rows()
    assert (first.error_class, first.sent_at, second.error_class) == ("SMTPDataError", None, None)
    assert office.logins == 1, "the session is kept"
    assert office.send(week_before(office)) == {"sent": 1}


def test_a_server_that_hangs_up_is_called_again(office: Office) -> None:
    """The notice that it hung up on fails; the next one goes out in a new session."""
    answers = iter(["421 closing", "250 OK"])

    async def answer(*_: object) -> str:
        return next(answers)

    office.server.handle_DATA = answer  # type: ignore[method-assign]
    found = office.send(week_before(office))
    assert found == {"failed": 1, "sent": 1}


def test_what_is_no_longer_true_is_withdrawn_and_no_alarm(office: Office) -> None:
    now, port = week_before(office), office.port
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        office.port = unused.getsockname()[1]
        office.send(now)
        after = office.run.reset_at + timedelta(hours=1)
        assert office.send(after) == {"withdrawn": 2}
    assert {row.withdrawn_at for row in office.rows()} == {after}
    assert state(office, after).alarms == ()
    office.port = port
    assert office.send(after) == {}
    assert office.mails() == []
    # The date moves on: the same notice is true again.
    assert office.send(now) == {"sent": 2}
    assert {row.withdrawn_at for row in office.rows()} == {None}


def test_a_district_without_contacts_is_an_alarm_and_is_not_informed(office: Office) -> None:
    office.run = replace(office.run, district=district())
    office.addresses = Addresses(team={SUCCESS: ("success@vendor.example", "second@vendor.example")})
    now = week_before(office)
    assert office.send(now) == {"failed": 1, "sent": 1}
    assert [(row.role, row.error_class, row.recipients) for row in office.rows()] == [
        (IT, "NoAddress", None),
        (SUCCESS, None, 2),
    ]
    found = state(office, now)
    assert found.phase is Phase.SCHEDULED and found.alarms == (Alarm.NOTICE_NOT_SENT,)
    (mail,) = office.mails()
    assert "names no contact of the district" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_refusal_says_what_to_do_to_who_can(office: Office) -> None:
    steps.guard(office.run, RUN_ID, nobody)

    class Unclear(Refused):
        waits_for = SUCCESS

    error = Unclear("The subscription of North School is stale.", "read it again from the CRM, then clear plan.")
    with tenant_session(office.run.engine, office.run.tenant.id) as connection:
        where = Failed(Step.PLAN, RUN_ID, datetime.now(UTC), rollover_id=office.run.id)
        failures.record(connection, office.run.tenant.id, where, error)
    office.send(datetime.now(UTC))
    assert office.kinds() == to(Kind.STEP_FAILED, SUCCESS, ENGINEER)
    said = " ".join(office.mails()[0].get_body(("plain",)).get_content().split())  # type: ignore[union-attr]
    assert error.reason in said and error.remedy in said


def test_with_nothing_due_a_run_costs_the_same_however_many_tenants_there_are(office: Office) -> None:
    now, statements = week_before(office), []
    assert office.send(now) == {"sent": 2}
    event.listen(office.run.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert office.send(now) == {} and office.logins == 1
    reads = [each for each in statements if each.startswith("SELECT") and "FROM ledger." in each]
    assert len(reads) == 2 and len(statements) <= 8


def test_without_any_channel_nothing_is_due(office: Office) -> None:
    office.addresses = Addresses(mail=False)
    assert office.send(week_before(office)) == {} and office.rows() == []


def test_what_was_sent_is_a_record(office: Office) -> None:
    office.send(week_before(office))
    with pytest.raises(Exception, match="is a record"), office.owner.begin() as connection:
        connection.execute(update(ledger.notices).values(sent_at=None))

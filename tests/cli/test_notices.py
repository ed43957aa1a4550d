"""`rollover notices`: what was sent, and what could not be."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from rollover import cli
from rollover.cli.command import drawn
from rollover.cli.notices import Notice, Notices
from rollover.database.session import tenant_session
from rollover.ledger import notices
from rollover.run import Run
from tests.cli.conftest import Shown

HERO = "hero__riverside-ca"
AT = datetime(2026, 7, 1, 15, tzinfo=UTC)
DAY = date(2026, 7, 8)


@pytest.fixture
def noticed(run: Run) -> Run:
    """One notice of each state; the other tenant's is not Riverside's."""
    kinds = ("reset_in_4_weeks", "reset_in_1_week", "reset_in_2_weeks", "certified")
    for tenant_id in (HERO, "hero__lakeside-ca"):
        with tenant_session(run.engine, tenant_id) as connection:
            for kind in kinds:
                key = notices.Key(tenant_id, kind, "2026-07-08", "district_it", "mail")
                number = notices.begin(connection, key, "2025-26", DAY, AT)
                assert number is not None
                if kind == "reset_in_4_weeks":
                    said = {"subject": "Riverside", "text_sha256": "f" * 64, "recipients": 2}
                    notices.record_sent(connection, number, **said, now=AT)
                    assert notices.begin(connection, key, "2025-26", DAY, AT) is None
                elif kind != "certified":
                    notices.record_failed(connection, number, "TimeoutError", AT)
                if kind == "reset_in_2_weeks":
                    notices.withdraw(connection, key, AT)
    return run


def test_json(noticed: Run, shown: Shown) -> None:
    found = shown(Notices, "notices", "riverside-ca")["notices"]
    assert [(each["tenant"], each["kind"], each["state"]) for each in found] == [
        (HERO, "certified", "pending"),
        (HERO, "reset_in_2_weeks", "withdrawn"),
        (HERO, "reset_in_1_week", "failed"),
        (HERO, "reset_in_4_weeks", "sent"),
    ]
    sent = found[-1]
    assert (sent["recipients"], sent["subject"], sent["sent_at"]) == (2, "Riverside", "2026-07-01T15:00:00+00:00")
    assert (found[2]["error"], found[2]["attempts"], found[2]["reset_date"]) == ("TimeoutError", 1, "2026-07-08")


def test_a_pipe_gets_one_line_per_notice(noticed: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["notices", HERO, "--unsent"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{HERO} 2025-26: certified to district_it by mail: pending",
        f"{HERO} 2025-26: reset_in_1_week to district_it by mail: not sent: TimeoutError, 1 attempt, "
        "the last 2026-07-01 15:00 UTC",
    ]


def test_a_terminal_gets_a_table(noticed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    with tenant_session(noticed.engine, HERO) as connection:
        found = notices.listed(connection, [HERO])
    said = drawn(Notices([Notice.of(each) for each in found]).sheet())
    for part in ("Tenant", "district it", "reset in 4 weeks", "sent 2026-07-01 15:00 UTC", "withdrawn"):
        assert part in said

"""Exports leave when their time is over: not before, here and in the outbox, and with evidence."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover.database.session import tenant_session
from rollover.exports.keep import remove_expired
from rollover.ledger import evidence
from rollover.run import Run
from rollover.yearend import steps
from tests.support.outboxes import NoOutbox
from tests.support.sftp_server import Sftp, sftp, sftp_server  # noqa: F401
from tests.support.small_district import YEAR, add_hero, everything, hero_world, run_of
from tests.yearend.test_rollover_steps import HERO, OTHER, RUN_ID, answer_to, certify, nobody

KEPT = 30
CERTIFIED = datetime(2026, 8, 1, 12, tzinfo=UTC)


@pytest.fixture
def outbox(sftp: Sftp) -> Sftp:  # noqa: F811
    folder = sftp.root / "riverside-ca" / "hero" / "outbox"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return sftp


@pytest.fixture
def past(owner: Engine, engine: Engine, storage: UPath, outbox: Sftp) -> Run:
    """A past year that was exported and certified."""
    from rollover.sftp.outbox import put_file

    hero_world(owner)
    run = run_of(engine, storage, year=YEAR.previous)
    with owner.begin() as connection:
        add_hero(connection, HERO, YEAR.previous)

    def deliver(file: UPath, remote: str) -> None:
        with file.open("rb") as stream:
            put_file(outbox.client, stream, remote)

    steps.guard(run, RUN_ID, nobody)
    plan = steps.plan(run)
    steps.export_reports(run, NoOutbox(deliver))
    steps.approve(run, answer_to(plan))
    for step in (steps.archive, steps.erase, steps.verify_reset, certify):
        step(run)
    with owner.begin() as connection:
        connection.execute(text("UPDATE ledger.rollovers SET finished_at = :at"), {"at": CERTIFIED})
    return run


def kept(run: Run, outbox: Sftp) -> tuple[int, int]:
    """How many files there are here, and in the outbox."""
    here = UPath(run.storage) / "exports"
    there = outbox.root / run.config.outbox.strip("/") / run.school_year.key
    return (len([p for p in here.rglob("*.*") if p.is_file()]), len([p for p in there.rglob("*.*") if p.is_file()]))


def remove(run: Run, outbox: Sftp, now: datetime, tenant_id: str = HERO) -> int:
    from rollover.sftp.outbox import remove_file

    def take_away(remote: str) -> None:
        remove_file(outbox.client, remote)

    return remove_expired(run.engine, tenant_id, kept_days=KEPT, now=now, remove=take_away)


def test_exports_stay_for_their_time_and_then_leave_with_evidence(past: Run, outbox: Sftp, owner: Engine) -> None:
    files, delivered = kept(past, outbox)
    assert files == delivered > 10
    assert remove(past, outbox, CERTIFIED + timedelta(days=KEPT)) == 0
    assert kept(past, outbox) == (files, delivered)

    later = CERTIFIED + timedelta(days=KEPT, hours=1)
    assert remove(past, outbox, later, OTHER) == 0, "another tenant's are not its to remove"
    assert remove(past, outbox, later) == files
    assert kept(past, outbox) == (0, 0)
    with owner.connect() as connection:
        removed = connection.execute(text("SELECT DISTINCT removed_at FROM ledger.exports")).all()
        facts = connection.execute(text("SELECT facts FROM ledger.evidence WHERE kind = 'exports_removed'")).all()
    assert removed == [(later,)] and facts == [({"files": files},)]
    with tenant_session(past.engine, HERO) as connection:
        assert evidence.check(connection).wrong == ()

    ledger = everything(owner, HERO, ["ledger"])
    assert remove(past, outbox, later + timedelta(days=1)) == 0
    assert everything(owner, HERO, ["ledger"]) == ledger


def test_what_is_not_certified_stays(past: Run, outbox: Sftp, owner: Engine) -> None:
    with owner.begin() as connection:
        connection.execute(text("UPDATE ledger.rollovers SET state = 'running'"))
    assert remove(past, outbox, CERTIFIED + timedelta(days=1000)) == 0
    assert kept(past, outbox)[0] > 10


def test_a_removal_that_broke_off_is_done_again(past: Run, outbox: Sftp) -> None:
    files, _ = kept(past, outbox)
    later = CERTIFIED + timedelta(days=KEPT, hours=1)

    def falls_silent(remote: str) -> None:
        outbox.client.remove(remote)
        if "tardies" in remote:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        remove_expired(past.engine, HERO, kept_days=KEPT, now=later, remove=falls_silent)
    assert 0 < kept(past, outbox)[0] < files
    assert remove(past, outbox, later) == files
    assert kept(past, outbox) == (0, 0)

"""Pauses that last too long are reported, tenant by tenant, until they end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import pause
from rollover.season.overdue import refuse_overdue_pauses
from tests.season.conftest import HERO, LAKESIDE, STARTED, Book, catalog


@pytest.mark.parametrize(
    ("own", "days", "is_reported"),
    [({}, 30, False), ({}, 31, True), ({"pause_max_days": 5}, 5, False), ({"pause_max_days": 5}, 6, True)],
)
def test_a_pause_that_lasts_too_long_is_reported_every_day(
    book: Book, own: dict[str, int], days: int, is_reported: bool
) -> None:
    book.pause()
    now = STARTED + timedelta(days=days)
    if not is_reported:
        refuse_overdue_pauses(book.engine, catalog(**own), now)
        return
    for day in range(3):
        with pytest.raises(Refused) as refused:
            refuse_overdue_pauses(book.engine, catalog(**own), now + timedelta(days=day))
        allowed = own.get("pause_max_days", 30)
        since = f"{HERO} since 2026-07-01 08:00 UTC by hero__riverside-ca__2025-26"
        assert f"{since} ({days + day} days; {allowed} are allowed)" in str(refused.value)
        assert "rollover resume" in refused.value.remedy


def test_every_overdue_tenant_is_named(book: Book) -> None:
    book.pause()
    book.pause(LAKESIDE, STARTED - timedelta(days=100))
    with pytest.raises(Refused, match=rf"{LAKESIDE} since 2026-03-23 .*; {HERO} since 2026-07-01"):
        refuse_overdue_pauses(book.engine, catalog(), STARTED + timedelta(days=31))


def test_a_pause_that_has_ended_is_not_reported(book: Book) -> None:
    book.pause()
    with tenant_session(book.engine, HERO) as connection:
        pause.end_by_hand(connection, HERO, by="dana", reason="a test")
    refuse_overdue_pauses(book.engine, catalog(), STARTED + timedelta(days=400))
    assert "nightly sync: on" in book.sentences()

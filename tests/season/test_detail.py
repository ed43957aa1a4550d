"""What `rollover status TENANT` says of a tenant, and the view behind it."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from rollover.database.session import tenant_session
from tests.season.conftest import HERO, LAKESIDE, Book


def test_a_tenant_without_a_past(book: Book) -> None:
    assert book.sentences() == [
        "current school year 2025-26",
        "nightly sync: on",
        "last import: none",
        "rollover of 2025-26: Scheduled: resets on 2026-07-10",
    ]
    assert book.sentences("hero__nowhere-tx") == ["not in the directory"]


def test_the_last_import_is_reported_with_the_dates_of_its_files(book: Book) -> None:
    details = {"rows": {"users.csv": 12_000, "orgs.csv": 3}, "errors": {"bad_date": 2, "id_length": 1}}
    book.drop("applied", details={"schema_version": 1, **details})
    book.drop("applied", LAKESIDE)
    said = book.sentences()
    assert (
        "last import: applied 2026-08-01 04:00 UTC, 2025-26, files of 2026-07-31 21:05 UTC to 2026-07-31 22:15 UTC, "
        "12,003 rows, 3 errors, 0 warnings" in said
    )
    assert not any(part.startswith("newest drop") for part in said)


@pytest.mark.parametrize(
    ("state", "reason"),
    [("rejected", "refused for bad_date"), ("undone", "by dana"), ("superseded", "x is newer"), ("found", None)],
)
def test_a_newer_drop_that_did_not_go_live_is_reported_beside_it(book: Book, state: str, reason: str | None) -> None:
    book.drop("applied")
    book.drop(state, year=None, reason=reason)
    last, newest = (part for part in book.sentences() if "UTC" in part)
    assert last.startswith("last import: applied 2026-08-01 04:00 UTC, 2025-26, files of 2026-07-31 21:05")
    assert newest.startswith(f"newest drop: {state} 2026-08-02 04:00 UTC, year unknown, files of 2026-08-01 21:05")
    assert newest.endswith(f"({reason})" if reason else "UTC")


def test_an_import_in_review_is_reported_with_how_to_decide(book: Book) -> None:
    book.drop("applied")
    first = book.drop("in_review", reason="over its limits: school_lost (1)")
    second = book.drop("in_review", year="2026-27", reason="over its limits: half_set (1), school_lost (2)")
    assert [(each.import_id, each.since.day) for each in book.detail().in_review] == [(first, 2), (second, 3)]
    said = book.sentences()
    how = "answer in Airflow (Browse, Required Actions) or by `rollover roster decide`"
    begins = "roster import in review since 2026-08"
    assert (
        f"roster import in review since 2026-08-02 04:00 UTC: {first}, over its limits: school_lost (1); {how}" in said
    )
    assert f"{begins}-03 04:00 UTC: {second}, over its limits: half_set (1), school_lost (2); {how}" in said


def test_the_live_import_is_the_one_of_the_latest_year_and_drop(book: Book) -> None:
    """As apply sees it: a set of a later year is live although an older year's drop was found after it."""
    book.drop("applied", year="2025-26")
    live = book.drop("applied", year="2026-27")
    newest = book.drop("applied", year="2025-26")
    with book.owner.connect() as connection:
        rows = connection.execute(text("SELECT import_id, is_newest, is_live FROM ledger.last_imports"))
        assert {tuple(row) for row in rows} == {(live, False, True), (newest, True, False)}


def test_one_query_tells_of_every_tenant_and_a_session_of_its_own_only(book: Book) -> None:
    here, there = book.drop("applied"), book.drop("rejected", LAKESIDE)
    query = text("SELECT import_id FROM ledger.last_imports ORDER BY found_at")
    with book.owner.connect() as connection:
        assert connection.scalars(query).all() == [here, there]
    for tenant_id, own in ((HERO, here), (LAKESIDE, there), ("hero__nowhere-tx", None)):
        with tenant_session(book.engine, tenant_id) as connection:
            assert connection.scalars(query).all() == ([own] if own else [])


def test_a_pause_is_reported_with_who_and_why(book: Book) -> None:
    book.pause()
    said = "sync paused since 2026-07-01 08:00 UTC by hero__riverside-ca__2025-26: rollover of 2025-26"
    assert said in book.sentences()

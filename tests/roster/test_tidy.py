"""What is left of a set once it is done with, and of a row once its grace is over: the ledger's word, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import evidence, holds, pause
from rollover.roster.applying.tidy import Tidied, tidy
from rollover.roster.imports.files import import_folder
from tests.roster.conftest import District
from tests.support.roster.school_years import Town
from tests.support.roster.small_set import as_files, whole_set
from tests.support.roster.stored_sets import Desk, expected
from tests.support.sampling import others_slow

GRACE = 30
NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=GRACE, hours=1)
"""When the grace of what goes today is over."""


@pytest.fixture(params=["hero"])
def desk(request: pytest.FixtureRequest, owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage, request.param)


def tidied(desk: Desk | District, now: datetime) -> Tidied:
    return tidy(desk.engine, desk.tenant_id, desk.storage, grace_days=GRACE, now=now)


def fewer(desk: Desk) -> Town:
    after = desk.town.copy()
    after.leave(after.students("ash", "01")[:2])
    return after


# Files


def test_sets_that_are_done_with_are_removed_and_the_others_stay(district: District) -> None:
    done = district.take(as_files(whole_set()))["import_id"]
    assert district.apply(done)["applied"] is True
    waiting = district.upload({**as_files(whole_set()), "extra.csv": b"x\n"})
    district.fetch(waiting)
    assert import_folder(district.storage, done).exists()

    with tenant_session(district.engine, district.tenant_id) as connection:
        pause.begin(connection, district.tenant_id, by="a rollover", reason="test")
    assert tidied(district, NOW) == Tidied(), "a rollover still needs the files"
    with tenant_session(district.engine, district.tenant_id) as connection:
        pause.end_by_hand(connection, district.tenant_id, by="a person", reason="a test")

    assert tidied(district, NOW) == Tidied(sets=1)
    assert not import_folder(district.storage, done).exists()
    assert import_folder(district.storage, waiting).exists()
    assert tidied(district, NOW) == Tidied()


def test_the_removal_is_recorded_when_no_step_can_write_any_more(district: District) -> None:
    """A step that was at work when the import ended may write a file after the first night."""
    done = district.take(as_files(whole_set()))["import_id"]
    district.apply(done)
    removed = "SELECT files_removed_at FROM ledger.imports"
    folder = import_folder(district.storage, done)
    assert tidied(district, NOW) == Tidied(sets=1) and district.rows(removed) == [(None,)]
    folder.mkdir(parents=True)
    later = datetime.now(UTC) + timedelta(days=1)
    assert tidied(district, later) == Tidied(sets=1) and district.rows(removed) == [(later,)]
    folder.mkdir(parents=True)
    assert tidied(district, later) == Tidied(), "nobody looks again"


# Rows


@pytest.mark.parametrize("desk", others_slow(["hero", "imagine_math"]), indirect=True)
def test_rows_leave_for_good_when_their_grace_is_over(desk: Desk) -> None:
    desk.take(desk.town)
    desk.take(fewer(desk))
    product = {name: rows for name, rows in desk.everything().items() if not name.startswith("roster.")}
    version = desk.version
    assert tidied(desk, NOW + timedelta(days=GRACE - 1)).rows == {}
    assert desk.version == version
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(4,)]

    gone = {"people": 4, "guardians": 2, "enrollments": 2}
    assert tidied(desk, LATER).rows == gone
    assert desk.live() == expected(fewer(desk))
    assert desk.query("SELECT count(*) FROM roster.people") == [(len(fewer(desk).people),)]
    assert desk.version == version + 1
    after = desk.everything()
    assert {name: rows for name, rows in after.items() if not name.startswith("roster.")} == product
    ((facts,),) = desk.query("SELECT facts FROM ledger.evidence WHERE kind = 'left_the_roster'")
    assert facts == {"rows": gone, "grace_days": GRACE}
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        assert evidence.check(connection).broken == ()

    assert tidied(desk, LATER).rows == {}
    assert desk.version == version + 1


def test_each_row_has_a_grace_of_its_own(desk: Desk) -> None:
    desk.take(desk.town)
    first = desk.take(fewer(desk))
    last = fewer(desk)
    last.retire(last.of_role("teacher")[:1])
    desk.take(last)
    desk.run("UPDATE ledger.imports SET changed_at = changed_at - interval '10 days' WHERE import_id = :i", i=first)
    assert tidied(desk, LATER - timedelta(days=5)).rows == {"people": 4, "guardians": 2, "enrollments": 2}
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(1,)]


def test_who_returned_in_time_stays(desk: Desk) -> None:
    for town in (desk.town, fewer(desk), desk.town):
        desk.take(town)
    assert tidied(desk, LATER).rows == {}
    assert desk.live() == expected(desk.town)


def test_nothing_leaves_while_the_sync_is_paused(desk: Desk) -> None:
    desk.take(desk.town)
    desk.take(fewer(desk))
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        pause.begin(connection, desk.tenant_id, by="a rollover", reason="test")
    before = desk.everything()
    assert tidied(desk, LATER) == Tidied()
    assert desk.everything() == before


def test_another_tenants_rows_have_their_own_grace(desk: Desk) -> None:
    desk.take(desk.town)
    desk.take(fewer(desk))
    other = "hero__shelbyville-il"
    assert tidy(desk.engine, other, desk.storage, grace_days=GRACE, now=LATER).rows == {}
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(4,)]


def test_what_has_left_for_good_cannot_be_undone(desk: Desk) -> None:
    desk.take(desk.town)
    last = desk.take(fewer(desk))
    tidied(desk, LATER)
    assert desk.query("SELECT count(*) FROM roster.history") == [(0,)], "it holds children's records too"
    before = desk.everything()
    with pytest.raises(Refused, match=f"What {last} removed or changed is not kept any more"):
        desk.undo()
    assert desk.everything() == before


def test_an_import_is_compared_anew_after_rows_have_left(desk: Desk) -> None:
    """A child who was to return is new by now."""
    desk.take(desk.town)
    desk.take(fewer(desk))
    back = desk.drop(desk.town)
    assert desk.found(back).details.changes["people"]["returned"] == 4
    tidied(desk, LATER)
    applied = desk.apply(back)
    assert applied["applied"] is True
    people = applied["details"]["changes"]["people"]
    assert (people["added"], people["returned"]) == (4, 0)
    assert desk.live() == expected(desk.town)


# What the ledger says about it


def tidied_imports(desk: Desk) -> list[bool]:
    return [bool(is_over) for (is_over,) in desk.query("SELECT rows_removed_at FROM ledger.imports ORDER BY found_at")]


def test_the_ledger_knows_which_imports_have_no_rows_left(desk: Desk) -> None:
    desk.take(desk.town)
    desk.take(fewer(desk))
    tidied(desk, NOW + timedelta(days=GRACE - 1))
    assert tidied_imports(desk) == [False, False]
    tidied(desk, LATER)
    assert tidied_imports(desk) == [True, True]


def test_an_import_whose_rows_are_on_hold_is_looked_at_again(desk: Desk) -> None:
    desk.take(desk.town)
    desk.take(fewer(desk))
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        holds.place(connection, desk.tenant_id, holds.LEGAL, reason="a dispute", by="dana")
    tidied(desk, LATER)
    assert tidied_imports(desk) == [True, False]


def test_rows_that_an_undo_brings_back_are_removed_by_their_old_import(desk: Desk) -> None:
    desk.take(desk.town)
    left = desk.take(fewer(desk))
    desk.run("UPDATE ledger.imports SET changed_at = changed_at - interval '40 days' WHERE import_id = :i", i=left)
    desk.take(desk.town)
    tidied(desk, datetime.now(UTC))
    assert tidied_imports(desk) == [False, True, False]
    desk.undo()
    assert desk.query("SELECT count(*) FROM roster.people WHERE status = 'tobedeleted'") == [(4,)]
    assert tidied_imports(desk) == [False, False, False]
    assert tidied(desk, datetime.now(UTC)).rows == {"people": 4, "guardians": 2, "enrollments": 2}

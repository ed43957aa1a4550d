"""When a set is, byte for byte, the one that is live: only then nothing is to be done for it. When it is an earlier
one, which is not live any more: a person has to look."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, update
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import imports as table
from rollover.roster import imports
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.details import Reading
from rollover.roster.imports.earlier import same_set, seen_before
from rollover.roster.imports.model import patched, write_details
from rollover.roster.review.answers import Answer
from rollover.roster.review.in_words import in_words
from tests.support.roster.school_years import Town
from tests.support.roster.stored_sets import Desk
from tests.support.sampling import others_slow
from tests.support.small_district import unguarded

READ = {"formats": ["oneroster_1_1"], "column_map": {}}
SET: dict[str, Any] = {"sha256": "a" * 64, "format": "oneroster_1_1", "read_as": READ}


@pytest.fixture
def desk(owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage)


def say(desk: Desk, import_id: str, **said: Any) -> str:
    """Note in the ledger what a set is, as fetching and staging do."""
    known = {**SET, **said}
    known["details"] = patched(ImportDetails(reading=Reading(read_as=known.pop("read_as"))))
    with desk.owner.begin() as connection:
        connection.execute(update(table).where(table.c.import_id == import_id).values(**known))
    return import_id


def is_unchanged(desk: Desk, import_id: str) -> bool:
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        return same_set(connection, imports.load(connection, import_id)) is not None


def smaller(town: Town) -> Town:
    after = town.copy()
    after.leave(after.students("ash", "01")[:1])
    return after


def test_the_same_files_read_the_same_way_are_unchanged(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    assert is_unchanged(desk, say(desk, desk.drop_only(desk.town)))


@pytest.mark.parametrize(
    "other",
    others_slow(
        [
            {"sha256": "b" * 64},
            {"sha256": None},
            {"format": "oneroster_1_2"},
            {"format": None},
            {"read_as": {**READ, "column_map": {"users.csv": {"sourcedId": "id"}}}},
            {"read_as": None},
        ],
        3,
    ),
    ids=str,
)
def test_other_files_or_another_way_to_read_them_are_not(desk: Desk, other: dict[str, Any]) -> None:
    say(desk, desk.take(desk.town))
    assert not is_unchanged(desk, say(desk, desk.drop_only(desk.town), **other))


def test_what_is_not_known_of_the_live_set_is_no_match(desk: Desk) -> None:
    live = say(desk, desk.take(desk.town), sha256=None, format=None, read_as=None)
    new = say(desk, desk.drop_only(desk.town), sha256=None, format=None, read_as=None)
    assert not is_unchanged(desk, new)
    assert desk.found(live).state == "applied"


def test_nothing_is_unchanged_where_nothing_is_live(desk: Desk) -> None:
    assert not is_unchanged(desk, say(desk, desk.drop(desk.town)))


def test_the_last_set_that_went_live_counts(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    assert not is_unchanged(desk, say(desk, desk.drop_only(desk.town)))
    assert is_unchanged(desk, say(desk, desk.drop_only(smaller(desk.town)), sha256="b" * 64))


def test_after_an_undo_every_set_is_looked_at(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    desk.undo()
    for sha256 in ("a" * 64, "b" * 64):
        assert not is_unchanged(desk, say(desk, desk.drop_only(desk.town), sha256=sha256))


def test_a_set_of_which_only_additions_were_let_in_is_not_what_is_live(desk: Desk) -> None:
    live = say(desk, desk.take(desk.town))
    with desk.owner.begin() as connection:
        unguarded(connection, "imports")
    decided = "decision = 'additions_only', decided_by = 'dana', decided_at = now()"
    desk.run(f"UPDATE ledger.imports SET {decided} WHERE import_id = :i", i=live)
    assert not is_unchanged(desk, say(desk, desk.drop_only(desk.town)))


def test_a_set_of_last_year_is_not_what_is_live_in_this_one(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    desk.begin_year("2026-27")
    say(desk, desk.take(desk.town.next_year()), sha256="b" * 64)
    assert not is_unchanged(desk, say(desk, desk.drop_only(desk.town)))


# Files that were dropped before, and are not live


def held_for(desk: Desk, import_id: str) -> str | None:
    desk.compare(import_id)
    return desk.found(import_id).reason


def seen(desk: Desk, import_id: str) -> str | None:
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        return seen_before(connection, imports.load(connection, import_id))


def test_files_of_a_set_that_another_has_replaced_are_held(desk: Desk) -> None:
    """An old export, sent again: it is within its limits, and would take back what came since."""
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    again = say(desk, desk.drop_only(desk.town))
    assert held_for(desk, again) == "over its limits: seen_before (1)"
    (breach,) = Comparison.from_json(desk.found(again).comparison or {}).breaches
    said = in_words(breach, Comparison.from_json(desk.found(again).comparison or {}))
    assert said == "These are the same files as in an earlier upload, which has been replaced since then."
    desk.decide(again, Answer.APPROVE)
    assert desk.apply(again)["applied"] is True
    assert is_unchanged(desk, say(desk, desk.drop_only(desk.town))), "they are what is live again"


def test_files_of_a_set_that_was_undone_are_held(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    desk.undo()
    again = say(desk, desk.drop_only(smaller(desk.town)), sha256="b" * 64)
    assert (seen(desk, again), held_for(desk, again)) == ("undone", "over its limits: seen_before (1)")
    assert held_for(desk, say(desk, desk.drop_only(desk.town))) is None, "what is live after the undo"


def test_a_set_that_is_ready_is_held_when_its_like_is_undone(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    other = say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    ready = say(desk, desk.drop(smaller(desk.town)), sha256="b" * 64)
    assert desk.found(ready).state == "ready"
    desk.undo(other)
    assert (desk.apply(ready)["applied"], desk.found(ready).state) == (False, "in_review")


def test_files_of_a_set_that_a_person_discarded_are_held(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    half = desk.town.copy()
    half.leave(half.students("ash")[::2])
    discarded = say(desk, desk.drop(half), sha256="b" * 64)
    desk.decide(discarded, Answer.DISCARD)
    again = say(desk, desk.drop_only(half), sha256="b" * 64)
    assert seen(desk, again) == "discarded"
    assert "seen_before (1)" in str(held_for(desk, again))


@pytest.mark.parametrize("state", others_slow(["superseded", "rejected", "ready"]))
def test_files_of_a_set_that_was_never_live_are_as_good_as_new(desk: Desk, state: str) -> None:
    say(desk, desk.take(desk.town))
    earlier = say(desk, desk.drop(smaller(desk.town)), sha256="b" * 64)
    desk.run("UPDATE ledger.imports SET state = :s WHERE import_id = :i", s=state, i=earlier)
    assert held_for(desk, say(desk, desk.drop_only(smaller(desk.town)), sha256="b" * 64)) is None


@pytest.mark.parametrize("other", [{"sha256": None}, {"read_as": None}, {"format": "oneroster_1_2"}], ids=str)
def test_what_is_not_known_or_read_otherwise_was_not_seen_before(desk: Desk, other: dict[str, Any]) -> None:
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    assert held_for(desk, say(desk, desk.drop_only(desk.town), **other)) is None


def test_a_delta_says_the_same_again_when_it_is_so_again(desk: Desk) -> None:
    say(desk, desk.take(desk.town))
    say(desk, desk.take(smaller(desk.town)), sha256="b" * 64)
    again = say(desk, desk.drop_only(desk.town))
    reading = desk.found(again).details.reading.model_copy(update={"deltas": ("users.csv",)})
    with tenant_session(desk.engine, desk.tenant_id) as connection:
        write_details(connection, again, ImportDetails(reading=reading))
    assert seen(desk, again) is None

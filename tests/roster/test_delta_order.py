"""Deltas among other sets: each is laid over the roster that the sets before it leave, and none is lost or reverted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from rollover.database.session import tenant_session
from rollover.ledger import pause
from rollover.roster.applying.tidy import tidy
from rollover.roster.imports.queue import lets_another_go_on, pending
from rollover.roster.review.answers import Answer
from tests.roster.conftest import District
from tests.roster.test_at_once import applied
from tests.roster.test_delta import NOW, Sync
from tests.support.roster.generated_sets import as_files, oneroster
from tests.support.roster.processes import at_once, killed_at
from tests.support.sampling import cases

pytestmark = pytest.mark.slow

LATER = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture
def sync(district: District) -> Sync:
    return Sync(district)


def change(sync: Sync, number: int, **values: str) -> dict[str, Any]:
    """A delta that changes one student."""
    return sync.send({"users.csv": [sync.row("users", f"student-{number}", **values)]})


def whole(sync: Sync, number: int, **values: str) -> dict[str, bytes]:
    """The whole set again, with other values of one student."""
    users = [{**row, **values} if row["sourcedId"] == f"student-{number}" else row for row in sync.bulk["users.csv"]]
    return as_files(sync.spec, {**sync.bulk, "users.csv": users})


def without_birth_dates(sync: Sync, number: int, **values: str) -> dict[str, bytes]:
    """The same, and silent about birth dates."""
    files = whole(sync, number, **values)
    files["manifest.csv"] = files["manifest.csv"].replace(b"file.demographics,bulk", b"file.demographics,absent")
    del files["demographics.csv"]
    return files


def given_names(sync: Sync) -> dict[int, str]:
    query = "SELECT sourced_id, given_name FROM roster.people WHERE role = 'student' AND status = 'active'"
    return {int(sourced_id.removeprefix("student-")): name for sourced_id, name in sync.district.rows(query)}


def birth_date(sync: Sync, number: int) -> str:
    query = "SELECT birth_date::text FROM roster.people WHERE sourced_id = :p"
    return str(sync.district.rows(query, p=f"student-{number}")[0][0])


def paused(district: District, *, until_now: bool = False) -> None:
    with tenant_session(district.engine, district.tenant_id, exclusive=True) as connection:
        if until_now:
            pause.end_by_hand(connection, district.tenant_id, by="dana", reason="a test")
        else:
            pause.begin(connection, district.tenant_id, by="dana", reason="a test")


def work_off(district: District) -> list[str]:
    """Runs for a tenant while they bring something in; returns what was applied, in its order."""
    order: list[str] = []
    done = ["none yet"]
    while done:
        todo = pending(district.engine, district.tenant_id)
        ready = [each for each in todo if district.go_on(each)["state"] == "ready"]
        done = [each for each in ready if district.apply(each)["applied"]]
        order += done
    return order


def ids(*imports: dict[str, Any]) -> list[str]:
    return [each["import_id"] for each in imports]


# Their order


def test_deltas_that_come_in_a_pause_follow_one_another_afterwards(sync: Sync) -> None:
    paused(sync.district)
    first, second = change(sync, 0, givenName="First"), change(sync, 1, givenName="Second")
    third = change(sync, 0, givenName="Third")
    assert (first["state"], second["state"], third["state"]) == ("ready", "staged", "staged")
    assert second["reason"] == f"it is a delta, and the older import {first['import_id']} is ready"
    assert work_off(sync.district) == []
    paused(sync.district, until_now=True)
    assert work_off(sync.district) == ids(first, second, third)
    assert (given_names(sync)[0], given_names(sync)[1]) == ("Third", "Second")
    assert sync.changed() == {"people": {"student-0", "student-1"}}


def test_the_next_delta_goes_on_when_the_one_before_it_is_at_its_end(sync: Sync) -> None:
    district = sync.district
    first, second = change(sync, 0, givenName="First"), change(sync, 1, givenName="Second")
    where = (district.engine, district.tenant_id, first["import_id"])
    assert not lets_another_go_on(*where)
    district.apply(first["import_id"])
    assert lets_another_go_on(*where)
    assert district.go_on(second["import_id"])["state"] == "ready"
    assert not lets_another_go_on(*where), "it went on"


def test_a_delta_follows_a_whole_set_that_waits_for_the_night(sync: Sync) -> None:
    bulk = sync.district.take(whole(sync, 3, givenName="Bulk"))
    delta = change(sync, 0, givenName="Delta")
    assert (bulk["state"], delta["state"]) == ("ready", "staged")
    assert work_off(sync.district) == ids(bulk, delta)
    assert (given_names(sync)[0], given_names(sync)[3]) == ("Delta", "Bulk")
    assert sync.changed() == {"people": {"student-0", "student-3"}}


def test_a_delta_right_after_the_first_set_is_not_refused(district: District) -> None:
    """Both come at once: without the set before it, a delta looks like another district's."""
    bulk = oneroster("1_1", students=4)
    first = district.upload(as_files("oneroster_1_1", bulk))
    district.fetch(first)
    child = next(row for row in bulk["users.csv"] if row["sourcedId"] == "student-0")
    rows = {"users.csv": [{**child, "status": "active", "dateLastModified": NOW, "givenName": "D"}]}
    second = district.take(as_files("oneroster_1_1", rows, {"users": "delta"}))
    assert (second["state"], second["reason"]) == (
        "staged",
        f"it is a delta, and the older import {first} is fetched",
    )
    assert work_off(district) == [first, second["import_id"]]
    assert district.rows("SELECT given_name FROM roster.people WHERE sourced_id = 'student-0'") == [("D",)]


@pytest.mark.parametrize("answer", [Answer.APPROVE, Answer.DISCARD])
def test_a_delta_waits_until_a_person_has_decided_about_the_set_before_it(sync: Sync, answer: Answer) -> None:
    district = sync.district
    district.limits = district.limits.model_copy(update={"least_rows": 1, "least_in_a_school": 1})
    users = [row for row in sync.bulk["users.csv"] if row["sourcedId"] != "student-3"]
    enrollments = [row for row in sync.bulk["enrollments.csv"] if row["userSourcedId"] != "student-3"]
    rows = {**sync.bulk, "users.csv": users, "enrollments.csv": enrollments}
    held = district.take(as_files(sync.spec, rows))
    delta = change(sync, 0, givenName="Delta")
    assert (held["state"], delta["state"]) == ("in_review", "staged")
    assert delta["reason"] == f"it is a delta, and the older import {held['import_id']} is in review"
    assert work_off(district) == []
    assert district.found(held["import_id"]).state == "in_review", "a delta is no substitute for it"
    district.decide(held["import_id"], answer)
    approved = answer is Answer.APPROVE
    assert work_off(district) == (ids(held, delta) if approved else ids(delta))
    assert given_names(sync)[0] == "Delta" and (3 in given_names(sync)) is not approved


def test_a_whole_set_waits_for_none_and_makes_older_deltas_unneeded(sync: Sync) -> None:
    district = sync.district
    paused(district)
    first, second = change(sync, 0, givenName="First"), change(sync, 1, givenName="Second")
    bulk = district.take(whole(sync, 3, givenName="Bulk"))
    third = change(sync, 2, givenName="Third")
    assert (bulk["state"], third["state"]) == ("ready", "staged")
    paused(district, until_now=True)
    assert work_off(district) == ids(bulk, third)
    assert [district.found(each).state for each in ids(first, second)] == ["superseded"] * 2
    assert sync.changed() == {"people": {"student-2", "student-3"}}


def test_what_is_older_than_the_last_whole_set_that_is_live_is_not_waited_for(sync: Sync) -> None:
    district = sync.district
    stuck = district.upload(whole(sync, 3, givenName="Stuck"))
    bulk = district.take(whole(sync, 3, givenName="Bulk"))
    district.apply(bulk["import_id"])
    assert district.found(stuck).state == "found"
    assert change(sync, 0, givenName="Delta")["state"] == "ready"


def test_a_delta_after_the_next_years_set_waits_for_the_rollover_too(sync: Sync) -> None:
    """What it changes is in that set, perhaps not in this year's: nobody can tell."""
    coming = sync.district.take(whole(sync, 3, givenName="Bulk"))
    sync.district.run("UPDATE ledger.imports SET school_year = '2026-27' WHERE import_id = :i", i=coming["import_id"])
    assert change(sync, 0, givenName="Delta")["state"] == "staged"
    assert work_off(sync.district) == []


def test_the_same_delta_again_changes_nothing_and_makes_none_unneeded(sync: Sync) -> None:
    first = change(sync, 0, givenName="First")
    sync.district.apply(first["import_id"])
    second, again = change(sync, 1, givenName="Second"), change(sync, 0, givenName="First")
    assert "unchanged" not in again["details"]
    assert work_off(sync.district) == ids(second, again)
    assert (given_names(sync)[0], given_names(sync)[1]) == ("First", "Second")


# The roster that they are laid over


def ready_at_once(sync: Sync) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two deltas, the second validated as if the first were finished."""
    first = change(sync, 0, givenName="First")
    sync.district.run("UPDATE ledger.imports SET state = 'superseded' WHERE import_id = :i", i=first["import_id"])
    second = change(sync, 1, givenName="Second")
    sync.district.run("UPDATE ledger.imports SET state = 'ready' WHERE import_id = :i", i=first["import_id"])
    assert second["state"] == "ready"
    return first, second


def test_a_delta_that_was_validated_before_the_one_before_it_was_applied(sync: Sync) -> None:
    first, second = ready_at_once(sync)
    early = sync.district.apply(second["import_id"])
    assert (early["applied"], early["state"]) == (False, "ready")
    assert early["reason"] == f"it is a delta, and the older import {first['import_id']} is ready"
    assert [sync.district.apply(each)["applied"] for each in ids(first, second)] == [True, True]
    assert (given_names(sync)[0], given_names(sync)[1]) == ("First", "Second")


def test_of_two_deltas_at_once_both_are_live(sync: Sync) -> None:
    district = sync.district
    both = ids(*ready_at_once(sync))
    url, storage = district.engine.url.render_as_string(hide_password=False), str(district.storage)
    at_once(*((applied, url, district.tenant_id, import_id, storage) for import_id in both))
    work_off(district)
    assert (given_names(sync)[0], given_names(sync)[1]) == ("First", "Second")
    assert [district.found(import_id).state for import_id in both] == ["applied"] * 2


def test_what_is_undone_before_a_delta_is_applied_stays_undone(sync: Sync) -> None:
    district = sync.district
    first = sync.apply({"users.csv": [sync.row("users", "student-0", givenName="First")]})
    second = change(sync, 1, givenName="Second")
    assert second["state"] == "ready"
    district.undo(first["import_id"])
    assert district.apply(second["import_id"])["applied"] is True
    assert sync.changed() == {"people": {"student-1"}}


def test_what_refers_to_something_that_is_undone_is_found_when_it_is_validated_again(sync: Sync) -> None:
    district = sync.district
    school = {**sync.row("orgs", "school-1"), "sourcedId": "school-9", "name": "New", "identifier": ""}
    first = sync.apply({"orgs.csv": [school]})
    second = change(sync, 1, orgSourcedIds="school-9")
    third = sync.row("users", "student-2", givenName="Third")
    assert second["details"]["errors"] == {}
    district.undo(first["import_id"])
    details = district.apply(second["import_id"])["details"]
    assert (details["errors"], details["validation"]["taken"]) == ({"reference": 1}, {"users.csv": 0})
    assert ("reference", "error", "users.csv", 2, "orgSourcedIds") in district.findings(second["import_id"])
    assert sync.changed() == {}
    sync.apply({"users.csv": [third]})
    assert sync.changed() == {"people": {"student-2"}}


def test_rows_that_left_for_good_do_not_come_back_with_a_delta(sync: Sync) -> None:
    district = sync.district
    sync.apply({"enrollments.csv": [sync.row("enrollments", "student-1-fall", status="tobedeleted")]})
    delta = change(sync, 0, givenName="Delta")
    assert tidy(district.engine, district.tenant_id, district.storage / "other", grace_days=30, now=LATER).rows
    assert district.apply(delta["import_id"])["applied"] is True
    assert sync.changed() == {"people": {"student-0"}, "enrollments": {"student-1-fall"}}


def test_what_a_whole_set_does_not_say_is_what_is_live_when_it_is_applied(sync: Sync) -> None:
    """It says nothing of birth dates, and one changes while it waits."""
    district = sync.district
    before = birth_date(sync, 1)
    sync.apply({"demographics.csv": [sync.row("demographics", "student-1", birthDate="2013-01-02")]})
    silent = district.take(without_birth_dates(sync, 3, givenName="Bulk"))
    assert silent["state"] == "ready"
    district.undo()
    assert district.apply(silent["import_id"])["applied"] is True
    assert birth_date(sync, 1) == before
    assert sync.changed() == {"people": {"student-3"}}


def test_a_held_set_is_put_to_a_person_with_the_present_roster_in_it(sync: Sync) -> None:
    district = sync.district
    first = sync.apply({"users.csv": [sync.row("users", "student-0", givenName="First")]})
    district.limits = district.limits.model_copy(update={"least_rows": 1, "least_in_a_school": 1})
    gone = sync.send({"users.csv": [sync.row("users", "student-3", status="tobedeleted")]})
    assert gone["state"] == "in_review"
    district.undo(first["import_id"])
    again = district.go_on(gone["import_id"])
    assert again["state"] == "in_review"
    assert again["details"]["changes"]["people"]["changed"] == 0, "what was undone is no change of this set"
    district.decide(gone["import_id"], Answer.APPROVE)
    assert district.apply(gone["import_id"])["applied"] is True
    assert given_names(sync)[0] != "First" and 3 not in given_names(sync)


def test_an_import_that_is_validated_again_is_whole_or_not_there(sync: Sync) -> None:
    district = sync.district
    first = sync.apply({"users.csv": [sync.row("users", "student-0", givenName="First")]})
    second = change(sync, 1, givenName="Second")
    district.undo(first["import_id"])
    live, url = sync.tables(), district.engine.url.render_as_string(hide_password=False)
    statement = 1
    while killed_at(statement, applied, url, district.tenant_id, second["import_id"], str(district.storage)):
        assert sync.tables() == live
        statement += cases(9, 1)
    assert statement > 60
    assert sync.changed() == {"people": {"student-1"}}


def test_the_roster_that_a_set_was_laid_over_is_on_record(sync: Sync) -> None:
    district = sync.district
    ((bulk,),) = district.rows("SELECT import_id FROM ledger.imports")
    assert district.found(bulk).details.validation.laid_over is None, "it says everything itself"
    delta = change(sync, 0, givenName="Delta")
    with district.owner.connect() as connection:
        version = connection.scalar(text("SELECT version FROM ledger.roster_versions"))
    assert delta["details"]["validation"]["laid_over"] == version

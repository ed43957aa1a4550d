"""What a comparison does to an import, and that its counts add up whatever the rosters are."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text, update
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import lock_tenant, tenant_session
from rollover.database.tables import ledger, roster
from rollover.errors import Refused
from rollover.roster import imports
from rollover.roster.columnar import columnar
from rollover.roster.comparing import compare as comparing
from rollover.roster.comparing import rekeyed
from rollover.roster.comparing.breaches import Code, Season
from rollover.roster.comparing.compare import compare, refresh
from rollover.roster.comparing.comparison import Comparison, school_counts, type_counts
from rollover.roster.comparing.diff import write_differences
from rollover.roster.comparing.numbers import Numbers
from rollover.roster.comparing.safety import judge
from rollover.roster.comparing.tally import TYPES, Flow, School, Tally, open_set, tally
from rollover.roster.imports import Import
from rollover.roster.imports.files import diff_file
from rollover.roster.review.decision import decide
from tests.support.roster.school_years import TENANT, YEAR, Rows, Town, add_tenant, go_live, stage
from tests.support.roster.school_years import School as TownSchool

LIMITS = RosterLimits()
SMALL = (TownSchool("ash", "KG", "03", 12, feeds="bay"), TownSchool("bay", "04", "06", 12))
OTHER = "hero__shelbyville-il"


class Desk:
    """A small town's tenant and its imports."""

    def __init__(self, owner: Engine, engine: Engine, storage: UPath) -> None:
        self.owner, self.engine, self.storage = owner, engine, storage
        self.town = Town.in_full(SMALL)
        go_live(owner, self.town.rows())

    def drop(self, town: Town, number: int, *, state: str = "validated") -> str:
        return stage(self.owner, self.storage, town.rows(), town.year.key, number=number, state=state)

    def compare(self, import_id: str) -> dict[str, Any]:
        return compare(self.engine, TENANT, import_id, self.storage, LIMITS).as_json()

    def refresh(self, import_id: str) -> Import:
        with tenant_session(self.engine, TENANT) as connection:
            lock_tenant(connection)
            return refresh(connection, import_id, self.storage, LIMITS)

    def found(self, import_id: str) -> Import:
        return imports.current(self.engine, TENANT, import_id)

    def decide(self, import_id: str, answer: str) -> dict[str, Any]:
        seen = self.found(import_id).comparison
        assert seen is not None
        return decide(self.engine, TENANT, import_id, answer, "dana", digest=seen["digest"]).as_json()

    def run(self, *statements: str) -> None:
        """Change the live roster behind everybody's back; it has another version then."""
        with self.owner.begin() as connection:
            for statement in (*statements, "UPDATE ledger.roster_versions SET version = version + 1"):
                connection.execute(text(statement))

    def half(self) -> Town:
        """A set that is over its limits: half of a school is missing."""
        town = self.town.copy()
        town.leave(town.students("ash")[::2])
        return town


@pytest.fixture
def desk(owner: Engine, engine: Engine, storage: UPath) -> Desk:
    add_tenant(owner)
    return Desk(owner, engine, storage)


# States


def test_a_set_within_its_limits_is_ready(desk: Desk) -> None:
    town = desk.town.copy()
    town.leave(town.students("ash", "01")[:2])
    import_id = desk.drop(town, 1)
    summary = desk.compare(import_id)
    assert (summary["state"], summary["reason"]) == ("ready", None)
    assert summary["details"]["changes"]["people"] == {
        "added": 0, "returned": 0, "changed": 0, "unchanged": 2 * 84 + 3 - 4, "removed": 4
    }  # fmt: skip
    found = desk.found(import_id)
    assert found.comparison is not None and found.decision is None
    seen = Comparison.from_json(found.comparison)
    assert seen.roster_version == 1 and seen.types["students"].removed == 2
    assert Comparison.from_json(seen.as_json()) == seen and seen.as_json()["digest"] == seen.digest


def test_a_set_over_a_limit_is_in_review_and_says_why(desk: Desk) -> None:
    summary = desk.compare(desk.drop(desk.half(), 1))
    assert summary["state"] == "in_review"
    assert summary["reason"] == "over its limits: removed (4), school_shrunk (1)"
    assert "comparison" not in summary


@pytest.mark.parametrize("state", ["found", "staged", "rejected", "superseded", "applied", "ready"])
def test_only_a_valid_set_is_compared(desk: Desk, state: str) -> None:
    import_id = desk.drop(desk.half(), 1, state=state)
    assert desk.compare(import_id)["state"] == state
    assert desk.found(import_id).comparison is None
    assert not diff_file(desk.storage, import_id, "people").exists()


def test_another_tenants_roster_is_not_seen(desk: Desk) -> None:
    add_tenant(desk.owner, tenant_id=OTHER)
    go_live(desk.owner, Town.in_full().rows(), OTHER)
    desk.compare(import_id := desk.drop(desk.town, 1))
    found = desk.found(import_id)
    assert found.comparison is not None
    assert Comparison.from_json(found.comparison).types["students"].live == 84


def test_an_import_that_moved_on_meanwhile_is_left_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import_id = desk.drop(desk.town, 1)
    look = comparing._look

    def look_slowly(*arguments: Any) -> Any:
        seen = look(*arguments)
        with desk.owner.begin() as connection:
            connection.execute(text("UPDATE ledger.imports SET state = 'superseded', reason = 'newer'"))
        return seen

    monkeypatch.setattr(comparing, "_look", look_slowly)
    assert desk.compare(import_id)["state"] == "superseded"
    assert desk.found(import_id).comparison is None


def test_a_set_of_no_school_year_is_refused(desk: Desk) -> None:
    import_id = desk.drop(desk.town, 1)
    with desk.owner.begin() as connection:
        connection.execute(text("UPDATE ledger.imports SET school_year = NULL"))
    with pytest.raises(Refused, match="is of no school year"):
        desk.compare(import_id)


def test_rows_that_come_back_are_counted_as_such(desk: Desk) -> None:
    desk.run("UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id IN ('s1', 's2')")
    desk.compare(import_id := desk.drop(desk.town, 1))
    seen = Comparison.from_json(desk.found(import_id).comparison or {})
    students = seen.types["students"]
    assert (students.live, students.staged, students.returned, students.unchanged) == (82, 84, 2, 82)


# A newer good drop


def test_a_newer_good_drop_supersedes_a_held_one(desk: Desk) -> None:
    held, other_year = desk.drop(desk.half(), 1), desk.drop(replace(desk.half(), year=YEAR.next), 2)
    assert desk.compare(held)["state"] == "in_review"
    assert desk.compare(other_year)["state"] == "in_review"
    good = desk.drop(desk.town, 3)
    assert desk.compare(good)["state"] == "ready"
    superseded = desk.found(held)
    assert (superseded.state, superseded.reason) == (
        "superseded",
        f"import {good} is newer, and within its limits or approved",
    )
    assert desk.found(other_year).state == "in_review", "a set of this year is no substitute for one of the next"


@pytest.mark.parametrize("first", ["held", "next year"])
def test_a_good_drop_of_the_next_year_is_no_substitute_until_it_is_applied(desk: Desk, first: str) -> None:
    held, good = desk.drop(desk.half(), 1), desk.drop(desk.town.next_year(), 2)
    order = (held, good) if first == "held" else (good, held)
    for import_id in order:
        desk.compare(import_id)
    assert (desk.found(held).state, desk.found(good).state) == ("in_review", "ready")
    with desk.owner.begin() as connection:
        connection.execute(text("UPDATE ledger.imports SET state = 'applied' WHERE import_id = :i"), {"i": good})
        connection.execute(text("UPDATE ledger.roster_versions SET version = version + 1"))
    assert desk.compare(held)["state"] == "superseded"


def test_an_older_good_drop_supersedes_nothing(desk: Desk) -> None:
    good, held = desk.drop(desk.town, 1), desk.drop(desk.half(), 2)
    assert desk.compare(held)["state"] == "in_review"
    assert desk.compare(good)["state"] == "ready"
    assert desk.found(held).state == "in_review"


def test_a_held_drop_that_is_overtaken_while_it_is_compared(desk: Desk) -> None:
    """Imports are worked on at the same time: the newer one may be ready first."""
    late, good = desk.drop(desk.half(), 1), desk.drop(desk.town, 2)
    assert desk.compare(good)["state"] == "ready"
    summary = desk.compare(late)
    assert (summary["state"], summary["reason"]) == ("superseded", f"import {good} is newer, and within its limits")


# When the live roster changes after the comparison


def test_a_comparison_that_still_holds_is_not_made_again(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(desk.town, 1))
    diff_file(desk.storage, import_id, "people").unlink()
    assert desk.refresh(import_id).state == "ready"
    assert not diff_file(desk.storage, import_id, "people").exists()


def test_a_ready_set_is_held_when_the_roster_it_meets_is_another(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(desk.town, 1))
    desk.run("UPDATE roster.people SET row_hash = row_hash + 1 WHERE role = 'student'")
    found = desk.refresh(import_id)
    assert (found.state, found.decision, found.reason) == ("in_review", None, "over its limits: changed (1)")


def test_a_held_set_becomes_ready_when_the_roster_has_changed(desk: Desk) -> None:
    town = desk.half()
    import_id = desk.drop(town, 1)
    assert desk.compare(import_id)["state"] == "in_review"
    left = "', '".join(set(desk.town.people) - set(town.people))
    desk.run(f"UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id IN ('{left}')")
    desk.run("UPDATE roster.enrollments SET status = 'tobedeleted' WHERE person_id NOT IN "
             "(SELECT sourced_id FROM roster.people WHERE status = 'active')")  # fmt: skip
    desk.run("UPDATE roster.guardians SET status = 'tobedeleted' WHERE student_id NOT IN "
             "(SELECT sourced_id FROM roster.people WHERE status = 'active')")  # fmt: skip
    assert desk.compare(import_id)["state"] == "ready"


def test_an_approval_holds_for_the_numbers_that_were_approved(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(desk.half(), 1))
    assert desk.decide(import_id, "Approve")["state"] == "ready"
    desk.run()
    found = desk.refresh(import_id)
    assert (found.state, found.decision, found.decided_by) == ("ready", "approve", "dana")
    assert found.comparison is not None and found.comparison["roster_version"] == 2


def test_an_approval_does_not_carry_over_to_other_numbers(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(desk.half(), 1))
    desk.decide(import_id, "Approve")
    desk.run("UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = 's1'")
    found = desk.refresh(import_id)
    assert (found.state, found.decision, found.decided_by) == ("in_review", None, None)


def test_a_decision_about_breaches_that_are_gone_is_void(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(desk.half(), 1))
    desk.decide(import_id, "Additions only")
    desk.run("UPDATE roster.people SET status = 'tobedeleted'", "UPDATE roster.enrollments SET status = 'tobedeleted'")
    desk.run("UPDATE roster.guardians SET status = 'tobedeleted'")
    found = desk.refresh(import_id)
    assert (found.state, found.decision) == ("ready", None)


def test_files_that_are_live_already_are_not_compared(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1, state="ready")
    with desk.owner.begin() as connection:
        connection.execute(update(ledger.imports).values(details={"schema_version": 1, "unchanged": True}))
    found = desk.refresh(import_id)
    assert found.state == "ready" and found.comparison is None


# The map of ids


def rekeyed_town(desk: Desk) -> Town:
    town = desk.town.copy()
    town.rekey(town.students("bay")[:15])
    return town


def pairs(desk: Desk) -> list[tuple[str, str, str]]:
    with desk.owner.connect() as connection:
        rows = connection.execute(text("SELECT old_id, new_id, matched_by FROM ledger.id_maps ORDER BY 1"))
        return [tuple(row) for row in rows]  # type: ignore[misc]


def test_a_map_is_proposed_with_a_held_set_only(desk: Desk) -> None:
    town = desk.town.copy()
    town.rekey(town.students("bay")[:3])
    assert desk.compare(desk.drop(town, 1))["state"] == "ready"
    assert pairs(desk) == []
    import_id = desk.drop(rekeyed_town(desk), 2)
    assert desk.compare(import_id)["state"] == "in_review"
    assert pairs(desk) == sorted((s, f"new-{s}", "identifier") for s in desk.town.students("bay")[:15])
    seen = Comparison.from_json(desk.found(import_id).comparison or {})
    assert seen.id_map_is_offered and seen.id_map.people == 15


def test_a_proposed_map_is_never_changed_and_an_outdated_one_not_offered(desk: Desk) -> None:
    desk.compare(import_id := desk.drop(rekeyed_town(desk), 1))
    before = pairs(desk)
    desk.run()
    desk.compare(import_id)
    seen = Comparison.from_json(desk.found(import_id).comparison or {})
    assert seen.id_map_is_offered and seen.roster_version == 2, "the same map is still offered"
    gone = desk.town.students("bay")[0]
    desk.run(f"UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = '{gone}'")
    desk.compare(import_id)
    seen = Comparison.from_json(desk.found(import_id).comparison or {})
    assert (seen.id_map.people, seen.id_map_is_offered) == (14, False)
    assert pairs(desk) == before


def test_the_hash_of_a_map_is_the_same_in_both_databases(desk: Desk) -> None:
    town = desk.town.copy()
    people = town.students("bay")[:15]
    for n, student in enumerate(people):
        town.rekey([student], prefix=("Z", "a", "_", "é", "-")[n % 5])
    desk.compare(import_id := desk.drop(town, 1))
    seen = Comparison.from_json(desk.found(import_id).comparison or {})
    with desk.owner.connect() as connection:
        proposed = connection.scalar(text(rekeyed.PROPOSED_HASH), {"import_id": import_id})
    assert proposed == seen.id_map.sha256


# Whatever the rosters are

IDS = st.integers(0, 11)
PEOPLE = st.dictionaries(
    IDS,
    st.tuples(
        st.sampled_from(["student", "teacher", "parent"]),
        st.sampled_from([["a"], ["b"], ["district", "b"], ["district"], ["gone", "a"]]),
        st.sampled_from([None, "KG", "05", "06"]),
        st.sampled_from(["x@example.org", "y@example.org"]),
    ),
    max_size=12,
)
CLASSES = st.dictionaries(IDS, st.tuples(st.sampled_from("ab"), st.sampled_from(["t1", "t2"])), max_size=8)
ROSTERS = st.tuples(PEOPLE, CLASSES)
FEW = st.sampled_from([0, 20_000])
Drawn = tuple[dict[int, tuple[str, list[str], str | None, str]], dict[int, tuple[str, str]]]
EXAMPLES = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def as_rows(drawn: Drawn) -> Rows:
    people, classes = drawn
    rows = Town(schools=(TownSchool("a", "KG", "05", 0), TownSchool("b", "KG", "06", 0))).rows()
    rows["people"] = [
        {"sourced_id": f"p{n}", "role": role, "given_name": "A", "family_name": f"F{n}", "username": f"u{n}"}
        | {"email": email, "school_ids": schools, "enabled": True, "grade": grade if role == "student" else None}
        for n, (role, schools, grade, email) in people.items()
    ]
    rows["classes"] = [
        {"sourced_id": f"c{n}", "title": "T", "class_type": "scheduled", "course_id": "k", "school_id": school}
        | {"term_ids": [term], "grades": [], "periods": []}
        for n, (school, term) in classes.items()
    ]
    return rows


def kind_of(role: str) -> str:
    return {"student": "students", "parent": "guardians"}.get(role, "educators")


def school_of(schools: list[str]) -> str | None:
    return next((school for school in schools if school in ("a", "b")), None)


def counted(
    desk: Desk, live: Drawn, staged: Drawn, monkeypatch: pytest.MonkeyPatch, *, few: int = 20_000, shuffled: int = 0
) -> Tally:
    """Make one roster live and count another against it; with few = 0, as rows of a large one are found."""
    monkeypatch.setattr("rollover.roster.comparing.tally.FEW", few)
    monkeypatch.setattr("rollover.roster.comparing.diff.SMALL", few)
    rows, other = as_rows(live), as_rows(staged)
    for each in (*rows.values(), *other.values()):
        random.Random(shuffled).shuffle(each)
    with desk.owner.begin() as connection:
        for table in roster.ROSTER_TABLES:
            connection.execute(table.delete())
        connection.execute(text("DELETE FROM ledger.imports"))
    go_live(desk.owner, rows)
    import_id = stage(desk.owner, desk.storage, other, YEAR.key)
    with (
        tenant_session(desk.engine, TENANT, isolation="REPEATABLE READ") as connection,
        columnar() as duck,
        ExitStack() as files,
    ):
        counts = write_differences(connection, import_id, desk.storage)
        open_set(duck, files, connection, desk.storage, import_id, counts)
        rekeyed.find(duck, counts)
        return tally(duck, counts)


@pytest.mark.slow
@EXAMPLES
@given(live=ROSTERS, staged=ROSTERS, few=FEW)
def test_the_counts_are_those_of_a_plain_recount(desk: Desk, live: Drawn, staged: Drawn, few: int) -> None:
    """However much differs: rows looked up one by one and all loaded at once give the same."""
    with pytest.MonkeyPatch.context() as patched:
        found = type_counts(tally_ := counted(desk, live, staged, patched, few=few))
    before = {
        n: (kind_of(row[0]), school_of(row[1]), row[2] if row[0] == "student" else None, row)
        for n, row in live[0].items()
    }
    after = {
        n: (kind_of(row[0]), school_of(row[1]), row[2] if row[0] == "student" else None, row)
        for n, row in staged[0].items()
    }
    expected: dict[str, Counter[str]] = {kind: Counter() for kind in TYPES}
    for n in before.keys() | after.keys():
        old, new = before.get(n), after.get(n)
        if old and new and old[0] == new[0]:
            same = (old[3][0], *old[1:3], old[3][1], old[3][3]) == (new[3][0], *new[1:3], new[3][1], new[3][3])
            expected[old[0]]["unchanged" if same else "changed"] += 1
            expected[old[0]]["moved"] += old[1] != new[1]
            continue
        if old:
            expected[old[0]]["removed"] += 1
        if new:
            expected[new[0]]["added"] += 1
    for kind in ("students", "educators", "guardians"):
        reported = {name: getattr(found[kind], name) for name in ("added", "changed", "unchanged", "removed", "moved")}
        assert reported == {name: expected[kind][name] for name in reported}
    for count in found.values():
        assert count.staged == count.added + count.returned + count.changed + count.unchanged
        assert count.live == count.changed + count.unchanged + count.removed
    for count in school_counts(tally_):
        assert count.staged == count.added + count.returned + count.changed + count.unchanged + count.moved_in
        assert count.live == count.changed + count.unchanged + count.removed + count.moved_out


@pytest.mark.slow
@settings(EXAMPLES, max_examples=6)
@given(live=ROSTERS, staged=ROSTERS, seed=st.integers(1, 99))
def test_the_order_of_rows_changes_nothing(desk: Desk, live: Drawn, staged: Drawn, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        first = counted(desk, live, staged, patched)
        second = counted(desk, live, staged, patched, shuffled=seed)
    assert Counter(first.flows) == Counter(second.flows)
    assert replace(first, flows=()) == replace(second, flows=())


@settings(EXAMPLES, max_examples=6)
@given(live=ROSTERS, few=FEW)
def test_a_set_compared_with_itself_finds_nothing(desk: Desk, live: Drawn, few: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        found = counted(desk, live, live, patched, few=few)
    assert {flow.change for flow in found.flows} == {"unchanged"}
    assert judge(Numbers(Season.DURING_THE_YEAR, 0, found), LIMITS) == ([], [])


@pytest.mark.parametrize("season", list(Season))
def test_a_set_of_which_much_is_missing_is_looked_at_in_every_season(season: Season) -> None:
    """A wrong role, a broken school row, enrollments that are cut off: also where nothing is live."""
    students = [Flow("students", "unchanged", "a", "05", "a", "05", 200)]
    right = replace(numbers(students, season, 1), rejected_rows={"users.csv": (220, 11)}, without_enrollment=20)
    assert {b.code for b in judge(right, LIMITS)[0]} & {Code.ROWS_KEPT_OUT, Code.WITHOUT_ENROLLMENT} == set()
    wrong = replace(right, rejected_rows={"users.csv": (220, 12), "orgs.csv": (9, 9)}, without_enrollment=21)
    found = {(b.code, b.what, b.expected, b.found) for b in judge(wrong, LIMITS)[0]}
    assert (Code.ROWS_KEPT_OUT, "users.csv", 220, 12) in found, "and not the few rows of orgs.csv"
    assert not any(what == "orgs.csv" for _, what, *_ in found)
    assert (Code.WITHOUT_ENROLLMENT, "students", 200, 21) in found
    cut_off = [b.what for b in judge(replace(right, cut_off=("users.csv",)), LIMITS)[0] if b.code is Code.CUT_OFF]
    assert cut_off == ["users.csv"]


def test_a_roster_that_was_emptied_is_held_against_the_set_before() -> None:
    students = [Flow("students", "added", None, None, "a", "05", 200)]
    first = numbers(students, Season.FIRST, 0)
    assert judge(first, LIMITS)[0] == []
    assert judge(replace(first, before={"students": 210, "other_orgs": 90}), LIMITS)[0] == []
    (fewer,) = judge(replace(first, before={"students": 260}), LIMITS)[0]
    assert (fewer.code, fewer.what, fewer.expected, fewer.found) == (Code.HALF_SET, "students", 260, 200)


FLOWS = st.lists(
    st.builds(
        Flow,
        kind=st.just("students"),
        change=st.sampled_from(["added", "changed", "removed"]),
        school=st.sampled_from(["a", "b", None]),
        grade=st.sampled_from([None, "PK", "KG", "05", "12", "UG"]),
        live_school=st.sampled_from(["a", "b", None]),
        live_grade=st.sampled_from([None, "PK", "KG", "05", "12", "UG"]),
        rows=st.integers(1, 400),
    ),
    max_size=12,
)


def numbers(flows: list[Flow], season: Season, years: int) -> Numbers:
    schools = {"a": School("A", True, True), "b": School("B", True, True)}
    return Numbers(season, years, Tally(tuple(flows), schools, 0, {}))


@settings(max_examples=300, deadline=None)
@given(FLOWS, st.sampled_from([(Season.DURING_THE_YEAR, 0), (Season.NEW_YEAR, 1), (Season.NEW_YEAR, 2)]))
def test_whatever_happens_is_judged_in_a_fixed_order(flows: list[Flow], season: tuple[Season, int]) -> None:
    breaches, notes = judge(numbers(flows, *season), LIMITS)
    assert judge(numbers(flows[::-1], *season), LIMITS) == (breaches, notes)
    for breach in breaches:
        assert breach.found >= 0 and breach.expected >= 0
        assert breach.limit <= 1 and isinstance(breach.code, Code)


@settings(max_examples=300, deadline=None)
@given(FLOWS, st.sampled_from([(Season.DURING_THE_YEAR, 0), (Season.NEW_YEAR, 1)]))
def test_wider_limits_hold_nothing_that_narrower_ones_let_pass(flows: list[Flow], season: tuple[Season, int]) -> None:
    wide = {"least_in_a_school": 10_000, "least_in_a_grade": 10_000, "least_rows": 10_000, "least_lost": 10_000}
    generous = judge(numbers(flows, *season), RosterLimits.model_validate(wide))[0]
    assert {breach.code for breach in generous} <= {Code.EMPTIED, Code.SAME_CONTENT}
    assert len(generous) <= len(judge(numbers(flows, *season), LIMITS)[0])

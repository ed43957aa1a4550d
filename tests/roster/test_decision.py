"""A held drop is put to a person, whose answer counts once, and for the numbers that were seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import evidence, questions
from rollover.roster import imports
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.compare import compare
from rollover.roster.comparing.comparison import Comparison, SchoolCount, TypeCount
from rollover.roster.comparing.rekeyed import IdMap
from rollover.roster.comparing.tally import TYPES
from rollover.roster.imports import Import, ImportDetails
from rollover.roster.review.answers import Answer
from rollover.roster.review.decision import (
    Question,
    decide,
    in_review,
    open_question,
    question,
    was_decided,
    why_not_asked,
)
from rollover.roster.review.in_words import SHOWN_BREACHES, SHOWN_SCHOOLS, in_words, markdown, subject
from tests.support.examples import check_example
from tests.support.roster.school_years import TENANT, YEAR, School, Town, add_tenant, go_live, stage

SMALL = (School("ash", "KG", "03", 12, feeds="bay"), School("bay", "04", "06", 12))


class Desk:
    """A tenant in whose live roster a school is whole, of which the next drop has a half."""

    def __init__(self, owner: Engine, engine: Engine, storage: UPath) -> None:
        add_tenant(owner)
        self.owner, self.engine, self.storage = owner, engine, storage
        self.town = Town.in_full(SMALL)
        go_live(owner, self.town.rows())

    def half(self) -> Town:
        town = self.town.copy()
        town.leave(town.students("ash")[::2])
        return town

    def drop(self, town: Town, number: int) -> str:
        import_id = stage(self.owner, self.storage, town.rows(), town.year.key, number=number)
        compare(self.engine, TENANT, import_id, self.storage, RosterLimits())
        return import_id

    def ask(self, import_id: str) -> Question:
        with tenant_session(self.engine, TENANT) as connection:
            return question(connection, import_id)

    def decide(self, import_id: str, answer: str, **more: Any) -> dict[str, Any]:
        given = {"digest": self.ask(import_id).digest, "reason": "looked at it", **more}
        return decide(self.engine, TENANT, import_id, answer, given.pop("by", "dana"), **given).as_json()

    def found(self, import_id: str) -> Import:
        return imports.current(self.engine, TENANT, import_id)

    def evidence(self) -> list[dict[str, Any]]:
        with tenant_session(self.engine, TENANT) as connection:
            assert evidence.check(connection).broken == ()
            rows = connection.execute(text("SELECT kind, facts FROM ledger.evidence ORDER BY evidence_id"))
            return [{"kind": row.kind, **row.facts} for row in rows]

    def why_not_asked(self, import_id: str) -> str | None:
        with tenant_session(self.engine, TENANT) as connection:
            return why_not_asked(connection, import_id)


@pytest.fixture
def desk(owner: Engine, engine: Engine, storage: UPath) -> Desk:
    return Desk(owner, engine, storage)


@pytest.mark.parametrize(
    ("answer", "state", "decision"),
    [
        ("Approve", "ready", "approve"),
        ("Additions only", "ready", "additions_only"),
        ("Discard", "rejected", "discard"),
    ],
)
def test_an_answer_is_done_and_on_record(desk: Desk, answer: str, state: str, decision: str) -> None:
    import_id = desk.drop(desk.half(), 1)
    seen = desk.ask(import_id)
    reported = desk.decide(import_id, answer)
    assert reported == {"import_id": import_id, "state": state, "decided": True, "said": answer}
    found = desk.found(import_id)
    assert (found.state, found.decision, found.decided_by) == (state, decision, "dana")
    (fact,) = desk.evidence()
    assert (fact["kind"], fact["answer"], fact["by"], fact["why"]) == (
        "roster_decision",
        decision,
        "dana",
        "looked at it",
    )
    assert fact["digest"] == seen.digest and fact["import_id"] == import_id
    assert {each["code"] for each in fact["over_limits"]} == {"removed", "school_shrunk"}


def test_later_changes_nothing_and_it_is_asked_again(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    before = desk.found(import_id)
    assert desk.decide(import_id, "Later", by="")["decided"] is False
    assert desk.found(import_id) == before
    assert desk.evidence() == [] and desk.why_not_asked(import_id) is None


def test_an_answer_counts_once(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    digest = desk.ask(import_id).digest
    desk.decide(import_id, "Discard")
    again = decide(desk.engine, TENANT, import_id, "Approve", "erin", digest=digest)
    assert (again.decided, again.state) == (False, "rejected")
    assert again.said == "it is decided already (discard) and rejected; nothing was done"
    assert len(desk.evidence()) == 1 and desk.found(import_id).decided_by == "dana"


@pytest.mark.parametrize("answer", ["Approve", "Discard"])
def test_the_same_answer_of_the_same_person_again_is_known(desk: Desk, answer: str) -> None:
    """The task that gives it may be killed after it was recorded, and is run again."""
    import_id = desk.drop(desk.half(), 1)
    desk.decide(import_id, answer)
    found = desk.found(import_id)
    assert was_decided(found, answer, "dana")
    assert not was_decided(found, answer, "erin") and not was_decided(found, "Additions only", "dana")


def test_an_answer_about_a_superseded_drop_does_nothing(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    digest = desk.ask(import_id).digest
    desk.drop(desk.town, 2)
    reported = decide(desk.engine, TENANT, import_id, "Approve", "dana", digest=digest)
    assert reported.decided is False and "superseded" in reported.said
    assert desk.evidence() == []


def test_an_answer_to_other_numbers_does_nothing(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    digest = desk.ask(import_id).digest
    with desk.owner.begin() as connection:
        connection.execute(text("UPDATE roster.people SET status = 'tobedeleted' WHERE sourced_id = 's1'"))
        connection.execute(text("UPDATE ledger.roster_versions SET version = 2"))
    compare(desk.engine, TENANT, import_id, desk.storage, RosterLimits())
    assert desk.ask(import_id).digest != digest
    reported = decide(desk.engine, TENANT, import_id, "Approve", "dana", digest=digest)
    assert (reported.decided, reported.state) == (False, "in_review")
    assert reported.said == "its numbers have changed: look at them, and answer again"


@pytest.mark.parametrize("length", [0, 11])
def test_the_first_characters_of_a_digest_must_be_enough(desk: Desk, length: int) -> None:
    import_id = desk.drop(desk.half(), 1)
    digest = desk.ask(import_id).digest
    assert desk.decide(import_id, "Approve", digest=digest[:length])["decided"] is False
    assert desk.decide(import_id, "Approve", digest=digest[:12])["decided"] is True


def test_nobody_and_nonsense_are_no_answer(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    for answer, by in (("Approve", ""), ("Perhaps", "dana"), ("Approve with id map", "dana")):
        with pytest.raises(Refused):
            desk.decide(import_id, answer, by=by)
    assert desk.found(import_id).state == "in_review" and desk.evidence() == []


def test_the_map_is_offered_where_one_is_proposed(desk: Desk) -> None:
    town = desk.town.copy()
    town.rekey(town.students("bay")[:15])
    import_id = desk.drop(town, 1)
    asked = desk.ask(import_id)
    assert asked.answers == tuple(Answer)
    assert "15 people with a new id keep their logins" in asked.markdown
    assert desk.decide(import_id, "Approve with id map")["state"] == "ready"
    assert desk.evidence()[0]["people_with_other_ids"] == 15
    assert desk.found(import_id).decision == "approve_with_id_map"


def test_only_a_held_import_is_asked_about(desk: Desk) -> None:
    ready = desk.drop(desk.town, 1)
    assert desk.why_not_asked(ready) == f"import {ready} is ready"
    with pytest.raises(Refused, match="it is ready, not in review"):
        desk.ask(ready)


def test_one_question_is_open_at_a_time(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    now = datetime(2026, 8, 1, 3, tzinfo=UTC)

    def ask(run: str, at: datetime = now, digest: str = "numbers") -> str | None:
        with tenant_session(desk.engine, TENANT, exclusive=True) as connection:
            return open_question(connection, import_id, by_run=run, digest=digest, now=at)

    assert ask("one") is None
    assert ask("another") == f"import {import_id} is asked about by the run one until 2026-08-01T23:00:00+00:00"
    assert ask("one") is None, "its task was run again"
    assert ask("another", now + timedelta(hours=21)) is None, "nobody answered"
    later = now + timedelta(hours=21)
    shown = desk.ask(import_id).digest
    assert ask("a third", later, shown) is None
    decide(desk.engine, TENANT, import_id, "Later", "", digest="an older question's numbers")
    assert (
        ask("a fourth", later, shown)
        == f"import {import_id} is asked about by the run a third until " + (later + timedelta(hours=20)).isoformat()
    ), "the end of an older question does not end the newer one"
    desk.decide(import_id, "Later")
    assert ask("a fourth", later, shown) is None, "it was answered: Later"


def test_later_does_not_promise_another_question_about_what_is_decided(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    shown = desk.ask(import_id).digest
    desk.decide(import_id, "Discard")
    said = decide(desk.engine, TENANT, import_id, "Later", "dana", digest=shown).said
    assert said == "it is decided already (discard) and rejected; nothing was done"


def test_of_several_the_newest_is_asked_about(desk: Desk) -> None:
    older, newer = desk.drop(desk.half(), 1), desk.drop(desk.half(), 2)
    next_year = desk.drop(replace(desk.half(), year=YEAR.next), 3)
    assert desk.why_not_asked(older) == f"import {newer} of the same school year is newer, and is asked about first"
    assert desk.why_not_asked(newer) is None and desk.why_not_asked(next_year) is None
    with tenant_session(desk.engine, TENANT) as connection:
        assert [found.import_id for found in in_review(connection)] == [older, newer, next_year]
    desk.decide(newer, "Discard")
    assert desk.why_not_asked(older) is None


def test_to_approve_a_drop_supersedes_older_ones_that_are_held(desk: Desk) -> None:
    older, newer = desk.drop(desk.half(), 1), desk.drop(desk.half(), 2)
    desk.decide(newer, "Approve")
    assert desk.found(older).state == "superseded"


# As it is read


def test_the_question_has_the_numbers_in_it(desk: Desk) -> None:
    asked = desk.ask(desk.drop(desk.half(), 1))
    subject = asked.subject("Springfield Public Schools", "SchoolMint Hero")
    assert subject == ("Springfield Public Schools · SchoolMint Hero: new roster needs review. 5 limits exceeded.")
    assert "- Ash School (ash) has 24 students, but 48 were expected. Most of the missing students are in no other" in (
        asked.markdown
    )
    assert "- 24 of 84 students are missing from the new roster (28.6%; the limit is 10%). `removed`" in asked.markdown
    assert "| students | 84 | 60 | 0 | 0 | 0 | 24 | 0 |" in asked.markdown
    assert "| Ash School (ash) | 48 | 48 | 24 | 0 | 0 | 0 | 24 |" in asked.markdown
    assert "- *Later*: decide nothing now" in asked.markdown and "Approve with id map" not in asked.markdown
    assert f"Import `{asked.import_id}`, comparison `{asked.digest[:12]}`" in asked.markdown


def test_nothing_personal_is_in_a_question(desk: Desk) -> None:
    town = desk.half()
    town.rekey(town.students("bay")[:15])
    asked = desk.ask(desk.drop(town, 1))
    rows = [*desk.town.rows()["people"], *town.rows()["people"]]
    words = set(asked.markdown.replace("`", " ").replace("(", " ").replace(")", " ").split())
    for name in ("sourced_id", "username", "email", "identifier", "family_name", "birth_date"):
        assert words.isdisjoint(str(row[name]) for row in rows if row[name])


def made_up(breaches: tuple[Breach, ...], schools: int = 1, name: str = "A School") -> Comparison:
    count = TypeCount(10, 10, 0, 0, 0, 0, 10, 0, 0)
    return Comparison(
        season=Season.NEW_YEAR,
        school_year="2026-27",
        live_school_year="2025-26",
        roster_version=1,
        types=dict.fromkeys(TYPES, count),
        schools=tuple(SchoolCount(f"n{n}", "students", staged=n, live=n) for n in range(schools)),
        names={f"n{n}": name for n in range(schools)},
        cohorts=(),
        breaches=breaches,
        warnings=(),
        id_map=IdMap(),
    )


IMPORT = Import(**{
    **dict.fromkeys(Import.__dataclass_fields__),
    "import_id": "hero__a__1", "state": "in_review", "details": ImportDetails(),
    "found_at": datetime(2026, 8, 1, tzinfo=UTC),
})  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_sentence_without_gaps(code: Code) -> None:
    for school, grade in ((None, None), ("n0", "05")):
        breach = Breach(code, "students", 200, 50, 0.1, school, grade)
        sentence = in_words(breach, made_up((breach,)))
        assert len(sentence) > 20 and sentence.endswith((".", '."')) and "{" not in sentence and "None" not in sentence


def test_the_sentences_of_all_codes_are_stored() -> None:
    what = {Code.SEEN_BEFORE: "replaced", Code.CUT_OFF: "users.csv"}
    what |= dict.fromkeys((Code.OTHER_STATUS, Code.ROWS_KEPT_OUT), "users.csv")
    breaches = tuple(Breach(code, what.get(code, "students"), 200, 50, 0.1, "n0", "05") for code in Code)
    said = [f"{breach.code}: {in_words(breach, made_up(breaches, name='Elm School'))}" for breach in breaches]
    in_year = replace(made_up(breaches, name="Elm School"), season=Season.DURING_THE_YEAR)
    said.append(f"{Code.STALE_YEAR}: {in_words(Breach(Code.STALE_YEAR, 'students', 200, 50, 0.1), in_year)}")
    assert len(set(said)) == len(Code) + 1
    check_example("over_a_limit--every_code.md", "\n".join(said))


def test_a_question_is_stored_as_it_is_read() -> None:
    breaches = (
        Breach(Code.SCHOOL_LOST, "students", 312, 0, 0.3, "n0"),
        Breach(Code.GRADE_SHRUNK, "students", 60, 31, 0.4, "n1", "05"),
    )
    asked = replace(
        made_up(breaches, schools=2, name="Grant Middle School"),
        warnings=(Breach(Code.SCHOOL_ADDED, "students", 0, 45, 0, "n1"),),
        id_map=IdMap(people=15, sha256="5e7"),
    )
    check_example("roster_review--new_year.md", markdown(IMPORT, asked, list(Answer)))


@pytest.mark.parametrize(
    ("case", "breaches"),
    [
        ("school", [Breach(Code.SCHOOL_LOST, "students", 312, 0, 0.3, "n0")]),
        ("schools", [Breach(Code.SCHOOL_LOST, "students", 312, 0, 0.3, f"n{n}") for n in range(3)]),
        ("emptied", [Breach(Code.EMPTIED, "guardian_links", 30, 0, 0)]),
        ("same_files", [Breach(Code.SEEN_BEFORE, "undone", 0, 312, 0)]),
        ("other", [Breach(Code.REMOVED, "students", 84, 24, 0.1)]),
    ],
)
def test_the_subject_names_the_most_important_reason(case: str, breaches: list[Breach]) -> None:
    seen = made_up(tuple(breaches), schools=3, name="Grant Middle\nSchool")
    check_example(f"roster_review_subject--{case}.txt", subject(seen, "Springfield Public Schools", "Imagine Math"))


def test_a_long_list_says_what_it_leaves_out() -> None:
    breaches = tuple(Breach(Code.GRADE_LOST, "students", 20, 0, 0.4, "n0", f"{n:02d}") for n in range(50))
    said = markdown(IMPORT, made_up(breaches, schools=90), [])
    assert said.count("`grade_lost`") == SHOWN_BREACHES and "and 10 more" in said
    assert said.count("| A School (n") == SHOWN_SCHOOLS and "and 30 more schools" in said


def test_a_schools_name_cannot_break_the_table() -> None:
    said = markdown(IMPORT, made_up((), name="Oak | <b>Hill</b>\n*Vale*"), [])
    assert r"| Oak \| \<b\>Hill\</b\> \*Vale\* (n0) |" in said


def test_everything_that_is_counted_is_in_the_table(desk: Desk) -> None:
    asked = desk.ask(desk.drop(desk.half(), 1))
    rows = [line.split("|")[1].strip() for line in asked.markdown.splitlines() if line.startswith("| ")]
    assert rows[1:11] == [
        *("schools", "other organizations", "sessions", "courses", "classes", "students", "educators", "guardians"),
        *("guardian links", "enrollments"),
    ]


def ask_in_airflow(desk: Desk, import_id: str) -> None:
    """As the task `ask` records its question."""
    seen = desk.ask(import_id)
    asked = questions.Asked(
        kind="roster",
        about=import_id,
        digest=seen.digest,
        subject="needs review",
        rows_erased=seen.removed,
        options=list(seen.answers),
        dag_id="roster_import",
        run_id="run",
        task_id="import_roster.ask",
        map_index=0,
        asked_at=datetime(2026, 8, 3, tzinfo=UTC),
    )
    with tenant_session(desk.engine, TENANT) as connection:
        questions.ask(connection, TENANT, asked)


def answers_of(desk: Desk) -> list[tuple[str | None, str | None, str | None]]:
    with tenant_session(desk.engine, TENANT) as connection:
        return [(each.answer, each.answered_by, each.reason) for each in questions.of_tenant(connection)]


def test_a_decision_on_the_command_line_closes_the_question_with_its_reason(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    ask_in_airflow(desk, import_id)
    start = desk.ask(import_id).digest[:12]
    decide(desk.engine, TENANT, import_id, "Discard", "dana", digest=start, reason="half is missing")
    assert answers_of(desk) == [("Discard", "dana", "half is missing")]


def test_a_question_about_a_superseded_drop_is_withdrawn(desk: Desk) -> None:
    import_id = desk.drop(desk.half(), 1)
    ask_in_airflow(desk, import_id)
    desk.drop(desk.town, 2)
    assert desk.found(import_id).state == "superseded"
    assert answers_of(desk) == [("Withdrawn", None, None)]

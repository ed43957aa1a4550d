"""The note of a run: the result first, as the season says it, below what a person wrote."""

from __future__ import annotations

from typing import Any

import pytest

from rollover.ledger.results import RosterVerified
from rollover.season import run_note
from rollover.season.facts import ImportFacts
from rollover.season.run_note import LEAST_ROOM, LONGEST, MARK, has_note, with_note
from tests.season.test_state_texts import DROP, EXPORTED, FAILURE, PHASES, RESET, state_with
from tests.support.examples import check_example

VERIFIED = {"school_year": "2026-27", "students": 650, "schools": {"a": {}, "b": {}}, "educators_to_remove": 3}


def imported(**others: Any) -> ImportFacts:
    return ImportFacts.model_validate(DROP | others)


def test_the_note_of_a_rollover_begins_as_the_season_does() -> None:
    notes = []
    for cases in PHASES.values():
        for facts in cases:
            state = state_with(facts)
            note = run_note.of_rollover(state, None, [])
            assert note.split("\n")[0] == state.summary
            assert all(sentence in note for sentence in state.sentences)
            notes.append(note)
    verified = RosterVerified.model_validate(VERIFIED)
    certified = run_note.of_rollover(state_with(PHASES[list(PHASES)[9]][0]), verified, [])
    assert "Roster of 2026-27 verified: 650 students in 2 schools, 3 educator accounts to remove." in certified
    stopped = run_note.of_rollover(state_with({**EXPORTED, "failure": FAILURE}), None, ["reset", "archive", "reset"])
    assert stopped.endswith("This run stopped at archive, reset. Steps that are done are not repeated.")
    check_example("run_note--every_phase.txt", "\n\n".join([*notes, certified, stopped]))


def test_the_note_of_imports_begins_with_the_district_and_the_newest() -> None:
    over = "over its limits: school_lost (1)"
    newest = imported(import_id="hero__riverside-ca__new", state="in_review", reason=over, rows=72_348)
    state = state_with({**RESET, "newest_drop": DROP})
    note = run_note.of_imports(state, [newest, imported(files_to="2026-07-10T15:00:00Z")], ["apply"])
    assert note.startswith(f"{state.title.rpartition(' ')[0]} 2026-27: in review 2026-07-09")
    assert f"72,348 rows, 2 rejected, 3 errors, 0 warnings ({over}); hero__riverside-ca__new\n" in note
    assert "\nOlder 2026-27: rejected 2026-07-09" in note and "12 rows" in note
    assert "The newest drop was rejected on 2026-07-09" in note
    assert "school begins" in state.sentences[0] and "school begins" not in note, "that is not about an import"
    check_example("import_note--review.txt", note)


def test_a_run_without_imports_names_its_district_too() -> None:
    state = state_with({})
    assert run_note.of_imports(state, [], []).endswith("· Hero: there was no roster to import")
    assert run_note.of_imports(state, [], [], has_ended=False).endswith("· Hero: looking for rosters to import")


def test_a_persons_note_stays_above_ours() -> None:
    first = with_note("Exporting", "Called them.\n")
    assert first == f"Called them.\n\n{MARK} Exporting"
    assert with_note("Certified", first) == f"Called them.\n\n{MARK} Certified"
    assert with_note("Certified", with_note("Exporting", None)) == f"{MARK} Certified"
    assert with_note("", None) is None


@pytest.mark.parametrize("length", [0, 300, 870, 889, 890, 1_000])
def test_a_note_is_never_longer_than_airflow_keeps(length: int) -> None:
    before = "x" * length
    note = with_note("a line\n" * 300, before)
    if length and LONGEST - length - len(f"\n\n{MARK} ") < LEAST_ROOM:
        assert note is None, "there is room for nothing but the person's"
    else:
        assert note is not None and note.startswith(before) and note.endswith("…")
        assert len(note) == LONGEST


@pytest.mark.parametrize(
    ("dag_id", "ours"),
    [
        ("roster_import", True),
        ("rollover__hero__x", True),
        ("roster_sync", False),
        ("rollovers", False),
        ("etl", False),
    ],
)
def test_which_dags_get_a_note(dag_id: str, ours: bool) -> None:
    assert has_note(dag_id) is ours

"""Writes the note of a DAG run: its result in a few lines, from what its tasks returned. Numbers, dates and ids only.

The words are in ``texts/run_note.txt.j2``. A note that a person wrote stays; ours is added below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollover.tenant import SEPARATOR
from rollover.texts import render

MARK = "Result:"
"""The line above our part of a note."""
LONGEST = 1000
"""Characters that Airflow keeps of a note."""
LEAST_ROOM = 100
"""With less room than this below a person's note, nothing is added."""
SHOWN_OF_A_DIGEST = 12
IMPORT_DAG = "roster_import"
ROLLOVER_DAGS = f"rollover{SEPARATOR}"
REPORTS = ("import_roster.report", "import_roster.report_result")
"""The tasks that return an import's state; a later one is newer."""
TASKS = (*REPORTS, "guard", "archive", "erase", "verify_roster", "certify")
"""The tasks whose results a note is made of."""

Results = Mapping[tuple[str, int], Any]
"""What tasks returned, by task id and map index (-1: not mapped)."""


def has_note(dag_id: str) -> bool:
    """Whether runs of a DAG get a note."""
    return dag_id == IMPORT_DAG or dag_id.startswith(ROLLOVER_DAGS)


def note_of(dag_id: str, results: Results, failed: Sequence[str], before: str | None) -> str | None:
    """The whole note of a run that has ended; None if there is nothing to add, so that it stays as it is.

    `failed` are the tasks that failed, `before` is the note that the run has.
    """
    text = _result(results, failed, of_rollover=dag_id != IMPORT_DAG)
    own = (before or "").split(MARK)[0].rstrip()
    room = LONGEST - len(own) - len(f"\n\n{MARK}\n")
    if not text or room < LEAST_ROOM:
        return None
    text = text if len(text) <= room else f"{text[: room - 1]}…"
    return f"{own}\n\n{MARK}\n{text}" if own else f"{MARK}\n{text}"


def _result(results: Results, failed: Sequence[str], *, of_rollover: bool) -> str:
    """The lines about a run; empty if there is nothing to say."""
    done = {task_id: said for (task_id, _), said in results.items() if isinstance(said, Mapping)} if of_rollover else {}
    certificate, erase = done.get("certify"), done.get("erase")
    return render(
        "run_note.txt.j2",
        failed=sorted(set(failed)),
        certificate=certificate["sha256"][:SHOWN_OF_A_DIGEST] if certificate else None,
        archived=_sum(erase, "archived"),
        erased=_sum(erase, "erased"),
        roster=done.get("verify_roster"),
        imports=_reports(results),
    )


def _sum(erase: Mapping[str, Any] | None, what: str) -> int | None:
    """The rows of all data classes."""
    return None if erase is None else sum(erase.get(what, {}).values())


def _reports(results: Results) -> list[Mapping[str, Any]]:
    """The newest report about each import of the run; the import that was found last comes first."""
    newest: dict[int, Mapping[str, Any]] = {}
    for task_id in REPORTS:
        for (of_task, map_index), said in results.items():
            if of_task == task_id and isinstance(said, Mapping):
                newest[map_index] = said
    return sorted(newest.values(), key=lambda said: (said["found_at"], said["import_id"]), reverse=True)

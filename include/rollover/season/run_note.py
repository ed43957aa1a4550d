"""The note of a DAG run: its result, in a few lines. Made of what its tasks returned; numbers, dates and ids only.

A note that a person wrote stays: ours stands below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollover.tenant import SEPARATOR

MARK = "Result:"
"""The line above what is ours in a note."""
LONGEST = 1000
"""Characters that Airflow keeps of a note."""
LEAST_ROOM = 100
"""With less room than this below a person's note, that is all there is."""
IMPORT_DAG = "roster_import"
ROLLOVER_DAGS = f"rollover{SEPARATOR}"
REPORTS = ("import_roster.report", "import_roster.report_result")
"""The tasks that return what became of an import; what a later one says is newer."""
TASKS = (*REPORTS, "guard", "archive", "erase", "verify_roster", "certify")
"""The tasks whose results a note is made of."""

Results = Mapping[tuple[str, int], Any]
"""What tasks returned, by task id and map index (-1: not mapped)."""


def has_note(dag_id: str) -> bool:
    """Whether runs of a DAG get a note."""
    return dag_id == IMPORT_DAG or dag_id.startswith(ROLLOVER_DAGS)


def note_of(dag_id: str, results: Results, failed: Sequence[str], before: str | None) -> str | None:
    """The whole note of a run that has ended; None where there is nothing to say, and it stays as it is.

    `failed` are the tasks that failed, `before` is the note that the run has.
    """
    lines = _failed(failed)
    if dag_id != IMPORT_DAG:
        lines += _rollover(results)
    lines += [_import(said) for said in _reports(results)]
    own = (before or "").split(MARK)[0].rstrip()
    room = LONGEST - len(own) - len(f"\n\n{MARK}\n")
    if not lines or room < LEAST_ROOM:
        return None
    text = "\n".join(lines)
    text = text if len(text) <= room else f"{text[: room - 1]}…"
    return f"{own}\n\n{MARK}\n{text}" if own else f"{MARK}\n{text}"


def _failed(failed: Sequence[str]) -> list[str]:
    if not failed:
        return []
    return [f"stopped at {', '.join(sorted(set(failed)))}: the log says how to continue; what was done stays"]


def _rollover(results: Results) -> list[str]:
    found = {task_id: said for (task_id, _), said in results.items() if isinstance(said, Mapping)}
    lines = []
    if certificate := found.get("certify"):
        lines.append(f"certified (certificate {certificate['sha256'][:12]})")
    if "erase" in found:
        archived, erased = (sum(found["erase"].get(name, {}).values()) for name in ("archived", "erased"))
        lines.append(f"{archived:,} rows archived, {erased:,} erased")
    if roster := found.get("verify_roster"):
        people = f"{roster['students']:,} students in {len(roster['schools']):,} schools"
        accounts = f"{roster['educators_to_remove']:,} educator accounts to remove"
        if "educators_to_add" in roster:  # not in what was verified before these were listed
            accounts += f", {roster['educators_to_add']:,} to add"
        lines.append(f"roster of {roster['school_year']} verified: {people}; {accounts}")
    return lines


def _reports(results: Results) -> list[Mapping[str, Any]]:
    """What became of each import of the run, the one that was found last first."""
    newest: dict[int, Mapping[str, Any]] = {}
    for task_id in REPORTS:
        for (of_task, map_index), said in results.items():
            if of_task == task_id and isinstance(said, Mapping):
                newest[map_index] = said
    return sorted(newest.values(), key=lambda said: (said["found_at"], said["import_id"]), reverse=True)


def _import(said: Mapping[str, Any]) -> str:
    parts = [f"{said['import_id']}: {said['state']}"]
    if said["decision"]:
        parts.append(f"decided: {said['decision'].replace('_', ' ')}")
    parts.append(str(said["school_year"] or "year unknown"))
    if said["files_to"]:
        first = f"{said['files_from']} to " if said["files_from"] != said["files_to"] else ""
        parts.append(f"files of {first}{said['files_to']}")
    parts.append(f"{said['rows']:,} rows")
    if said["kept_out"]:
        parts.append(f"{said['kept_out']:,} kept out")
    problems = f" ({', '.join(said['problems'])})" if said["problems"] else ""
    parts.append(f"{said['errors']:,} errors, {said['warnings']:,} warnings{problems}")
    if said["over_limits"]:
        parts.append(f"over its limits: {', '.join(said['over_limits'])}")
    return ", ".join(parts)

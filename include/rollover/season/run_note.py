"""Writes the note of a DAG run: the result first, in the words of the season, so that a note says what pages say.

The words are in ``texts/run_note.txt.j2`` and ``texts/import_note.txt.j2``. A note that a person wrote stays; ours is
added below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from rollover.database.tables import ledger
from rollover.ledger.results import RosterVerified, Step
from rollover.roster.imports import ImportState
from rollover.season.deadlines import Alarm
from rollover.season.facts import ImportFacts
from rollover.season.state import TenantState
from rollover.tenant import IMPORT_DAG, ROLLOVER_DAGS, rollover_id
from rollover.texts import render

MARK = "Result:"
"""How our part of a note begins."""
LONGEST = 1000
"""Characters that Airflow keeps of a note."""
LEAST_ROOM = 100
"""With less room than this below a person's note, nothing is added."""
OF_IMPORTS = frozenset(
    {
        Alarm.DROP_REJECTED,
        Alarm.FILES_NOT_READ,
        Alarm.IMPORT_FAILED,
        Alarm.REVIEW_OVERDUE,
        Alarm.ROSTER_IN_REVIEW,
    }
)
"""What may be late or wrong with a tenant that the note of an import says, too."""


def has_note(dag_id: str) -> bool:
    """Whether runs of a DAG get a note."""
    return dag_id == IMPORT_DAG or dag_id.startswith(ROLLOVER_DAGS)


def with_note(text: str, before: str | None) -> str | None:
    """The whole note of a run that had the note `before`; None if there is no room, so that it stays as it is."""
    own = (before or "").split(MARK)[0].rstrip()
    begin = f"{own}\n\n{MARK} " if own else f"{MARK} "
    room = LONGEST - len(begin)
    if not text or room < LEAST_ROOM:
        return None
    return begin + (text if len(text) <= room else f"{text[: room - 1]}…")


def of_rollover(state: TenantState, verified: RosterVerified | None, failed: Sequence[str]) -> str:
    """What is known of a rollover. `failed` are the tasks of the run that failed, once it has ended."""
    return render("run_note.txt.j2", state=state, verified=verified, failed=sorted(set(failed)))


def read_verified(connection: Connection, state: TenantState) -> RosterVerified | None:
    """What the rollover of a state found when it verified the new roster; None before that."""
    rows = ledger.steps.c
    this = rollover_id(state.tenant.id, state.school_year)
    query = select(rows.result).where(rows.rollover_id == this, rows.step == Step.VERIFY_ROSTER)
    found = connection.scalar(query)
    return None if found is None else RosterVerified.model_validate(found)


def of_imports(
    state: TenantState, imports: Sequence[ImportFacts], failed: Sequence[str], *, has_ended: bool = True
) -> str:
    """What is known of the imports of a run, the newest first; `state` is that of the tenant's current year."""
    said = [render("alarm.txt.j2", alarm=alarm, state=state) for alarm in state.alarms if alarm in OF_IMPORTS]
    return render(
        "import_note.txt.j2",
        who=f"{state.district_name} · {state.product_name}",
        imports=imports,
        sentences=said,
        failed=sorted(set(failed)),
        has_ended=has_ended,
    )


def read_imports(connection: Connection, import_ids: Iterable[str]) -> list[ImportFacts]:
    """The imports with these ids as the ledger has them now, the newest first."""
    rows, files = ledger.imports.c, ledger.drops.c
    columns = [rows[name] for name in ("import_id", "school_year", "format", "found_at", "changed_at", "reason")]
    query = (
        select(
            *columns, rows.state, rows.details, files.files, func.ledger.rejected_rows(rows.import_id).label("rejected")
        )
        .join_from(ledger.imports, ledger.drops, files.drop_id == rows.import_id, isouter=True)
        .where(rows.import_id.in_(list(import_ids)))
        .order_by(rows.found_at.desc(), rows.import_id.desc())
    )
    return [_facts(dict(row)) for row in connection.execute(query).mappings()]


def _facts(row: dict[str, object]) -> ImportFacts:
    """The same numbers as the view ``ledger.last_imports`` has of a tenant's newest import."""
    details, files = row.pop("details"), row.pop("files")
    assert isinstance(details, dict) and isinstance(files, list | None)
    modified = [file["modified"] for file in files or []]
    read = details.get("rows")
    return ImportFacts.model_validate(
        {
            **row,
            "state": ImportState(str(row["state"])),
            "files_from": min(modified, default=None),
            "files_to": max(modified, default=None),
            "rows": sum(read.values()) if read else None,
            "errors": sum(details.get("errors", {}).values()),
            "warnings": sum(details.get("warnings", {}).values()),
        }
    )

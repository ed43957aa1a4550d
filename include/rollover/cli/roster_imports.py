"""``rollover roster list`` and ``rollover roster show``: what came, what was wrong with it, and what was decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollover.cli.command import Cell, Document, Lines, Sheet, Tabular, command
from rollover.cli.context import Context
from rollover.cli.parameters import AnyTenant
from rollover.tenant import SEPARATOR

if TYPE_CHECKING:
    from rollover.roster.comparing.comparison import Comparison
    from rollover.roster.reporting.listing import ListedImport
    from rollover.roster.reporting.summary import Problem

COLOURS = {"applied": "green", "in_review": "yellow", "rejected": "red", "undone": "yellow"}
ANOTHER_FILE = "another file"
"""In place of a name that is none of a format's: the district chose it, and it may name a person."""


@dataclass(frozen=True)
class ImportDecision:
    """What a person decided about an import in review, who, when and why."""

    decision: str
    by: str | None
    at: datetime | None
    why: str | None

    def __str__(self) -> str:
        said = f"{self.decision.replace('_', ' ')} by {self.by}"
        said += f" on {self.at:%Y-%m-%d}" if self.at else ""
        return f"{said}: {self.why}" if self.why else said


@dataclass(frozen=True)
class ImportRow:
    """An import: its state and since when, the dates of its files on the district's server, and its numbers.

    `rows` is null before the files are read, `rejected_rows` before they are checked.
    """

    tenant: str
    import_id: str
    state: str
    school_year: str | None
    format: str | None
    found_at: datetime
    changed_at: datetime
    files_from: datetime | None
    files_to: datetime | None
    rows: int | None
    errors: int
    warnings: int
    rejected_rows: int | None
    reason: str | None
    decision: ImportDecision | None

    def __str__(self) -> str:
        return f"{self.import_id}: {'; '.join(self.parts)}"

    @property
    def parts(self) -> Iterator[str]:
        yield f"{self._state} {self.changed_at:%Y-%m-%d %H:%M} UTC"
        yield self.school_year or "year unknown"
        if self.files_to:
            yield f"files of {self._files}"
        yield from self._numbers
        if self.reason:
            yield self.reason
        if self.decision:
            yield str(self.decision)

    @property
    def cells(self) -> tuple[Cell | str, ...]:
        return (
            self.import_id,
            Cell(self._state, COLOURS.get(self.state, "")),
            self.school_year or "",
            self._files,
            "" if self.rows is None else f"{self.rows:,}",
            f"{self.errors:,}",
            "" if self.rejected_rows is None else f"{self.rejected_rows:,}",
            str(self.decision or self.reason or ""),
        )

    @property
    def _state(self) -> str:
        return self.state.replace("_", " ")

    @property
    def _files(self) -> str:
        days = [f"{day:%Y-%m-%d}" for day in (self.files_from, self.files_to) if day]
        return " to ".join(dict.fromkeys(days))

    @property
    def _numbers(self) -> Iterator[str]:
        from rollover.texts.filters import count

        if self.rows is not None:
            yield count(self.rows, "row")
            yield f"{count(self.errors, 'error')}, {count(self.warnings, 'warning')}"
        if self.rejected_rows is not None:
            yield f"{count(self.rejected_rows, 'row')} rejected"


@dataclass(frozen=True)
class RosterImports(Tabular):
    """All roster imports, those of each tenant newest first."""

    imports: list[ImportRow]

    def sheet(self) -> Sheet:
        columns = ("Import", "State", "Year", "Files of", "Rows", "Errors", "Rejected rows", "Why")
        return Sheet(columns, [row.cells for row in self.imports])


@dataclass(frozen=True)
class FoundIn:
    """Findings of one kind in a column of a file: their number, and the first rows (1 is the header).

    If there are many, not all are kept; `kept` is the number of those that are.
    """

    file: str
    column: str | None
    kept: int
    rows: list[int]


@dataclass(frozen=True)
class FindingCode:
    """All findings of a code, and where they are."""

    code: str
    severity: str
    number: int
    places: list[FoundIn]

    def __str__(self) -> str:
        places = "; ".join(_place(each) for each in self.places)
        return f"{self.severity} {self.code}: {self.number:,} ({places})"


@dataclass(frozen=True)
class TypeChange:
    """The rows of a type: in the files, in the live roster, and what happens to them.

    `rekeyed` are those of the removed ones that come back under another id.
    """

    kind: str
    staged: int
    live: int
    added: int
    returned: int
    changed: int
    moved: int
    unchanged: int
    removed: int
    rekeyed: int

    def __str__(self) -> str:
        named = ("added", "returned", "changed", "removed")
        changes = ", ".join(f"{getattr(self, name):,} {name}" for name in named)
        return f"{self.kind.replace('_', ' ')}: {self.live:,} live, {self.staged:,} in the files ({changes})"


@dataclass(frozen=True)
class ImportShown(Document):
    """An import with its findings and its comparison with the live roster. It names no person.

    `compared` is empty before the comparison; `over_limits` and `warnings` are sentences.
    """

    about: ImportRow
    findings: list[FindingCode]
    compared: list[TypeChange]
    over_limits: list[str]
    warnings: list[str]


def listed(context: Context, tenant: AnyTenant = None) -> Lines[RosterImports]:
    """List the roster imports: state, dates of the files, rows, errors, rejected rows, and the decision."""
    from rollover.roster.reporting.listing import listed_imports

    rows = []
    for each in context.tenants(tenant):
        with context.session(each) as connection:
            for found in listed_imports(connection):
                rows.append(_row(found))
                yield str(rows[-1])
    return RosterImports(rows)


def show(
    context: Context,
    import_id: Annotated[str, typer.Argument(metavar="IMPORT", help="As `rollover roster list` names it.")],
) -> Lines[ImportShown]:
    """Show what came with an import: findings by code and file, the comparison as numbers, and the decision."""
    from rollover.roster.comparing.comparison import Comparison
    from rollover.roster.reporting.listing import listed_import
    from rollover.roster.reporting.report import problems_of
    from rollover.roster.reporting.summary import ranked_problems

    tenant = context.tenant(import_id.rpartition(SEPARATOR)[0])
    with context.session(tenant) as connection:
        found = listed_import(connection, import_id)
        problems = ranked_problems(problems_of(connection, found.found))
    seen = Comparison.of(found.found)
    shown = ImportShown(
        about=_row(found),
        findings=[_finding(problem) for problem in problems],
        compared=[TypeChange(kind, **asdict(counts)) for kind, counts in seen.types.items()] if seen else [],
        over_limits=_sentences(seen, "breaches"),
        warnings=_sentences(seen, "warnings"),
    )
    yield shown.about.import_id
    yield from (f"  {part}" for part in shown.about.parts)
    for title, said in (
        ("Findings", shown.findings),
        ("Compared with the live roster", shown.compared),
        ("Over a limit", shown.over_limits),
        ("Warnings", shown.warnings),
    ):
        yield from _section(title, said)
    if shown.findings:
        yield "What each code means is in docs/roster-files.md; every row is in the district's outbox, findings.csv."
    return shown


list_command, show_command = command(listed), command(show)


def _section(title: str, said: list[Any]) -> Iterator[str]:
    if said:
        yield f"{title}:"
        yield from (f"  {each}" for each in said)


def _row(listed: ListedImport) -> ImportRow:
    found = listed.found
    decision = (
        ImportDecision(found.decision, found.decided_by, listed.decided_at, listed.decided_why)
        if found.decision
        else None
    )
    return ImportRow(
        tenant=found.tenant_id,
        import_id=found.import_id,
        state=found.state,
        school_year=found.school_year,
        format=found.format,
        found_at=found.found_at,
        changed_at=found.changed_at,
        files_from=listed.files_from,
        files_to=listed.files_to,
        rows=listed.rows,
        errors=listed.errors,
        warnings=listed.warnings,
        rejected_rows=listed.rejected_rows,
        reason=found.reason,
        decision=decision,
    )


def _finding(problem: Problem) -> FindingCode:
    from rollover.roster.formats import FILE_NAMES

    places = [
        FoundIn(
            place.file if place.file.lower() in FILE_NAMES else ANOTHER_FILE, place.column, place.kept, list(place.rows)
        )
        for place in problem.places
    ]
    return FindingCode(problem.code, problem.severity, problem.total, places)


def _place(place: FoundIn) -> str:
    where = f"{place.file}, {place.column}" if place.column else place.file
    rows = ", ".join(map(str, place.rows))
    return f"{where}: {place.kept:,}" + (f", first in row {rows}" if rows else "")


def _sentences(seen: Comparison | None, which: str) -> list[str]:
    """Limits that are exceeded, as plain sentences."""
    from rollover.markdown import unescaped
    from rollover.roster.review.in_words import in_words
    from rollover.texts.filters import one_line

    return [one_line(unescaped(in_words(breach, seen))) for breach in getattr(seen, which)] if seen else []

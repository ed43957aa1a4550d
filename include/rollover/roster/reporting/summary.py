"""Writes the summary of an import for its district, from the ledger alone. It has no personal data.

The words are in ``texts/district_summary.txt.j2``; this module fills in the values. The same state of the ledger gives
the same text, so a different text shows a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from rollover.config import District, Product
from rollover.config.models import Contact
from rollover.markdown import unescaped
from rollover.roster.comparing.breaches import Code
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.comparing.tally import TYPES
from rollover.roster.findings import CONSEQUENCES
from rollover.roster.formats import FORMATS
from rollover.roster.formats.spec import Severity
from rollover.roster.imports import Decision, Import, ImportState
from rollover.roster.review.in_words import TYPE_NAMES, in_words
from rollover.sftp.drops import RemoteFile
from rollover.texts import render
from rollover.texts.filters import clean, commas, moment, size

MOST_FREQUENT = 10
SHOWN_FILES = 20
SHOWN_IGNORED = 10
SHOWN_REASONS = 20
SHOWN_PLACES = 3
VENDOR_ROLES = ("customer_success", "data_engineer")
DISTRICT_ROLES = ("district_it",)


class Outcome(StrEnum):
    """The fate of the files. The template has words for each."""

    IMPORTED = "imported"
    IMPORTED_IN_PART = "imported_in_part"
    ONLY_ADDITIONS = "only_additions"
    NOTHING_NEW = "nothing_new"
    IN_REVIEW = "in_review"
    SENT_BEFORE = "sent_before"
    NOT_NEEDED = "not_needed"
    UNDONE = "undone"
    REFUSED = "refused"
    DISCARDED = "discarded"
    APPROVED = "approved"
    CHECKED = "checked"


class Place(NamedTuple):
    """Findings of one kind in one column of a file. ``rows`` are the first of them; row 1 is the header."""

    file: str
    column: str | None
    message: str
    kept: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """All findings of one code: their total, and the places of the kept ones, most frequent first."""

    code: str
    severity: Severity
    total: int
    places: tuple[Place, ...]

    @property
    def is_about_the_set(self) -> bool:
        """Whether it is about a file as a whole, not about some of its rows."""
        return not any(place.rows for place in self.places)


@dataclass(frozen=True)
class ImportReport:
    """The facts about an import that its summary shows."""

    found: Import
    folder: str
    files: Sequence[RemoteFile]
    problems: Sequence[Problem]
    current_year: str
    is_paused: bool
    district: District
    product: Product

    @property
    def is_refused(self) -> bool:
        return self.found.state is ImportState.REJECTED and self.found.decision is not Decision.DISCARD

    @property
    def is_in_part(self) -> bool:
        """Whether rows were rejected, or anything of the set has an error."""
        rejected = sum(rows for _, rows in self.found.rejected_rows.values())
        return rejected > 0 or any(problem.severity == "error" for problem in self.problems)

    @property
    def is_only_seen_before(self) -> bool:
        """Whether the only breach is that the same files were dropped before."""
        return self.comparison is not None and {b.code for b in self.comparison.breaches} == {Code.SEEN_BEFORE}

    @property
    def comparison(self) -> Comparison | None:
        return None if self.found.comparison is None else Comparison.from_json(self.found.comparison)


def summary(report: ImportReport) -> str:
    """The text, in lines of at most 78 characters, unless a name is longer."""
    found = report.found
    known = FORMATS.get(found.format or "")
    ranked, reasons = ranked_problems(report.problems), _reasons(report)
    files = sorted(report.files, key=lambda file: file.name)
    ignored = [clean(str(name)) for name in found.details.fetched.files_ignored]
    unnamed = found.details.validation.unnamed
    text = render(
        "district_summary.txt.j2",
        product=report.product.name,
        district=report.district.name,
        outcome=_outcome(report).value,
        is_of_past_year=str(found.school_year) < report.current_year,
        has_rejected_rows=report.is_in_part,
        live_when=_live_when(report),
        current_year=report.current_year,
        reasons=reasons[:SHOWN_REASONS],
        more_reasons=len(reasons[SHOWN_REASONS:]),
        problems=ranked[:MOST_FREQUENT],
        more_problems=len(ranked[MOST_FREQUENT:]),
        shown_places=SHOWN_PLACES,
        place_of=_place,
        changes=list(_changes(report)),
        rows=list(_rows(report)),
        is_live=found.state is ImportState.APPLIED,
        kept_records=sum(found.details.validation.kept_live.values()),
        unidentified_rows=sum(unnamed.values()),
        unidentified_in=list(unnamed),
        found_at=found.found_at,
        zone=report.district.time_zone,
        folder=report.folder,
        format=known.label if known else None,
        school_year=found.school_year,
        import_id=found.import_id,
        files=[_file_cells(report, file) for file in files[:SHOWN_FILES]],
        more_files=len(files[SHOWN_FILES:]),
        ignored=ignored[:SHOWN_IGNORED],
        more_ignored=len(ignored[SHOWN_IGNORED:]),
        vendor_contacts=_contacts(report, VENDOR_ROLES),
        district_contacts=_contacts(report, DISTRICT_ROLES),
    )
    return f"{text}\n"


def _outcome(report: ImportReport) -> Outcome:
    found = report.found
    if report.is_refused:
        return Outcome.REFUSED
    if found.state is ImportState.IN_REVIEW:
        return Outcome.SENT_BEFORE if report.is_only_seen_before else Outcome.IN_REVIEW
    ends = {
        ImportState.SUPERSEDED: Outcome.NOT_NEEDED,
        ImportState.UNDONE: Outcome.UNDONE,
        ImportState.REJECTED: Outcome.DISCARDED,
    }
    if found.state in ends:
        return ends[found.state]
    if found.details.unchanged:
        return Outcome.NOTHING_NEW
    if found.state is not ImportState.APPLIED:
        return Outcome.APPROVED if found.decision else Outcome.CHECKED
    if found.decision is Decision.ADDITIONS_ONLY:
        return Outcome.ONLY_ADDITIONS
    return Outcome.IMPORTED_IN_PART if report.is_in_part else Outcome.IMPORTED


def _live_when(report: ImportReport) -> str:
    """When a set that can be imported goes live."""
    if str(report.found.school_year) > report.current_year:
        return "new_year"
    if report.is_paused:
        return "after_pause"
    config = report.district.products[report.product.product]
    return "nightly" if config.roster_import == "nightly" else "at_once"


def _file_cells(report: ImportReport, file: RemoteFile) -> tuple[str, str, str]:
    changed = datetime.fromtimestamp(file.modified, UTC)
    return clean(file.name), size(file.size), moment(changed, report.district.time_zone)


def _rows(report: ImportReport) -> Iterator[tuple[str, ...]]:
    """The rows of each file; once they are checked, also how many are accepted and how many are rejected."""
    read = report.found.details.rows
    known = FORMATS.get(report.found.format or "")
    if not read or known is None:
        return
    files = [file.name for file in known.files if file.name in read]
    if report.found.details.validation.taken is None:
        yield from ((name, commas(read[name])) for name in files)
        return
    rejected = report.found.rejected_rows
    rows = [(name, read[name], rejected[name][1] if name in rejected else read[name]) for name in files]
    rows.append(("all files", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for name, all_, bad in rows:
        yield name, commas(all_), commas(all_ - bad), commas(bad)


def _changes(report: ImportReport) -> Iterator[tuple[str, ...]]:
    """What an applied set changed, by type: added, changed, removed."""
    seen = report.comparison
    if report.found.state is not ImportState.APPLIED or seen is None:
        return
    only_additions = report.found.decision is Decision.ADDITIONS_ONLY
    for kind in TYPES:
        count = seen.types[kind]
        rest = (0, 0) if only_additions else (count.changed, count.removed)
        if any(numbers := (count.added + count.returned, *rest)):
            yield TYPE_NAMES.get(kind, kind), *map(commas, numbers)


def _reasons(report: ImportReport) -> list[str]:
    """Why a set is in review, or was."""
    seen = report.comparison
    if seen is None or not (report.found.state is ImportState.IN_REVIEW or report.found.decision):
        return []
    return [unescaped(in_words(breach, seen)) for breach in seen.breaches]


def ranked_problems(problems: Sequence[Problem]) -> list[Problem]:
    """The most important problems first: errors before warnings, causes before their consequences."""

    def rank(problem: Problem) -> tuple[bool, bool, bool, int, str]:
        is_error = problem.severity == "error"
        is_of_the_set = is_error and problem.is_about_the_set
        return not is_error, problem.code in CONSEQUENCES, not is_of_the_set, -problem.total, problem.code

    return sorted(problems, key=rank)


def _place(place: Place) -> str:
    """The place and the message of findings: users.csv, column birthDate, rows 4, 7, …: It is no date."""
    where = f"{place.file}, column {clean(place.column)}" if place.column else place.file
    if place.rows:
        rows = ", ".join(map(commas, place.rows))
        more = ", …" if place.kept > len(place.rows) else ""
        where += f", {'row' if place.kept == 1 else 'rows'} {rows}{more}"
    return f"{where}: {place.message}"


def _contacts(report: ImportReport, roles: Sequence[str]) -> list[Contact]:
    contacts = [contact for contact in report.district.contacts if contact.role in roles]
    return sorted(contacts, key=lambda contact: roles.index(contact.role))

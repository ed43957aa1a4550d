"""The report about a set that a school secretary reads: plain text, from the ledger alone. Nobody's personal data.

The same state of the ledger gives the same text, so a text that differs says that something has happened.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rollover.config import District, Product
from rollover.config.models import Contact
from rollover.markdown import unescaped
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.comparing.safety import Code
from rollover.roster.comparing.tally import TYPES
from rollover.roster.findings import CONSEQUENCES
from rollover.roster.formats import FORMATS
from rollover.roster.formats.spec import Severity
from rollover.roster.imports import Import
from rollover.roster.review.in_words import TYPE_NAMES, in_words

WIDTH = 78
MOST_FREQUENT = 10
SHOWN_FILES = 20
SHOWN_IGNORED = 10
SHOWN_REASONS = 20
SHOWN_PLACES = 3
VENDOR_ROLES = ("customer_success", "data_engineer")
DISTRICT_ROLES = ("district_it",)


class Place(NamedTuple):
    """Findings of one kind in one column of a file. ``rows`` are the first of them; row 1 is the header."""

    file: str
    column: str | None
    message: str
    kept: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """All findings of one code: how many there are, and where those that were kept are, most frequent first."""

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
    """What there is to tell about an import."""

    found: Import
    folder: str
    files: Sequence[dict[str, Any]]
    """As listed on SFTP: ``name``, ``size`` in bytes, ``modified`` in seconds since 1970, UTC."""
    problems: Sequence[Problem]
    current_year: str
    is_paused: bool
    district: District
    product: Product

    @property
    def is_refused(self) -> bool:
        return self.found.state == "rejected" and self.found.decision != "discard"

    @property
    def is_in_part(self) -> bool:
        """Whether rows were kept out, by the rows themselves, or anything of the set has an error."""
        kept_out = sum(rows for _, rows in self.found.kept_out.values())
        return kept_out > 0 or any(problem.severity == "error" for problem in self.problems)

    @property
    def is_only_seen_before(self) -> bool:
        """Whether nothing else is over a limit than that the same files were dropped before."""
        return self.comparison is not None and {b.code for b in self.comparison.breaches} == {Code.SEEN_BEFORE}

    @property
    def comparison(self) -> Comparison | None:
        return Comparison.of(self.found)


def summary(report: ImportReport) -> str:
    """The text, in lines of at most 78 characters where names allow it."""
    headline, text = _outcome(report)
    sections = [
        [f"Your roster files for {report.product.name}", report.district.name],
        [headline, "", *_wrapped(text)],
        ["WHAT ARRIVED", "", *_what_arrived(report)],
        _section("ROWS", _rows(report)),
        _section("WHAT CHANGED", _changes(report)),
        _section(
            "WHY A PERSON HAS TO LOOK" if report.found.state == "held" else "WHY A PERSON LOOKED", _reasons(report)
        ),
        _section("HOW TO FIX IT", _problems(report)),
        ["WHAT HAPPENS NEXT", "", *_wrapped(_next(report))],
        ["CONTACTS", "", *_contacts(report)],
    ]
    return "\n\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _section(title: str, lines: Iterator[str]) -> list[str]:
    """A section, or nothing where it has no lines."""
    found = list(lines)
    return [title, "", *found] if found else []


# What came of it


def _outcome(report: ImportReport) -> tuple[str, str]:
    found = report.found
    if found.state == "applied":
        return _taken(report)
    if found.state == "held" and report.is_only_seen_before:
        return "HELD", (
            "The files are the same as those of an earlier drop, which are not live any more. A person has to look "
            "whether they were sent by mistake. Nothing is taken yet; the roster that is live is as it was."
        )
    if found.state == "held":
        return "HELD", (
            "The files can be read, but they are not as usual: much is missing or in error, or they would change more "
            "than is usual at this time of the year. A person has to look first. Nothing is taken yet; the roster that "
            "is live is as it was."
        )
    if found.state == "superseded":
        return "NOT NEEDED", f"Nothing of these files was taken: {found.reason}."
    if found.state == "undone":
        return "UNDONE", ("These files were taken, and that was undone later: the roster is as it was before them.")
    if report.is_refused:
        return "REFUSED", (
            "Nothing of these files was taken, because of the problems below. The roster that is live is as it was."
        )
    if found.state == "rejected":
        return "NOT TAKEN", (
            "A person looked at what these files would change, and decided against them. The roster that is live is as "
            "it was."
        )
    if found.details.unchanged:
        return "NOTHING NEW", "The files are the same, byte for byte, as those that are live already."
    if found.decision:
        return "APPROVED", "A person looked at what these files would change, and approved them. They are not live yet."
    return "CHECKED", "The files can be taken. They are not live yet."


def _taken(report: ImportReport) -> tuple[str, str]:
    if report.found.details.unchanged:
        return "NOTHING NEW", "The files are the same, byte for byte, as those that were live already."
    if report.found.decision == "additions_only":
        return "TAKEN IN PART", (
            "Only what is new in these files was added. Nothing was removed, and nothing that was there before was "
            "changed: a person decided so, because they would have changed more than is usual."
        )
    if report.is_in_part:
        return "TAKEN, BUT NOT ALL OF IT", (
            "The files are live. Rows with errors, and rows that depend on them, were kept out; they are counted below."
        )
    return "TAKEN", "The files are live, with every row."


def _next(report: ImportReport) -> str:
    found = report.found
    again = "Files with the same names replace the old ones; nothing has to be deleted."
    if report.is_refused:
        return f"Nothing, until you send the files again. Fix what is listed above, and drop the whole set. {again}"
    if found.state == "rejected":
        return f"Nothing, until you send other files. {again}"
    if found.state == "held":
        return (
            f"Somebody at {report.product.name} decides. If the files are right, say so to the people below: it helps "
            f"them to decide. If they are not, drop a corrected set, and it takes the place of this one. {again}"
        )
    if found.state in ("superseded", "undone") or found.details.unchanged:
        return "Nothing with these files. The next files that you drop are looked at as usual."
    if found.state == "applied":
        if report.is_in_part:
            return f"Fix the errors in your system. The rows get in with the next files that you drop. {again}"
        return "Nothing. The next files that you drop are looked at as usual."
    return _when_live(report)


def _when_live(report: ImportReport) -> str:
    if str(report.found.school_year) > report.current_year:
        return (
            f"The files wait until the school year {report.current_year} is closed in {report.product.name}. Then they "
            "become live by themselves. If you send newer ones until then, the newest are taken."
        )
    if report.is_paused:
        return (
            "The roster of the district is paused, because a school year is being closed. The files become live when "
            "that is done."
        )
    config = report.district.products[report.product.product]
    when = "with the next nightly import" if config.roster_import == "nightly" else "in a few minutes"
    return f"The files become live {when}. You need not do anything."


# What arrived, and what of it was taken


def _what_arrived(report: ImportReport) -> Iterator[str]:
    found = report.found
    known = FORMATS.get(found.format or "")
    yield _fact("Found", _moment(report, found.found_at))
    yield _fact("In folder", report.folder)
    yield _fact("Format", known.label if known else "not recognized")
    yield _fact("School year", found.school_year or "not known")
    yield _fact("Reference", found.import_id)
    files = sorted(report.files, key=lambda file: str(file["name"]))
    if files:
        yield ""
        yield from _table(("File", "Size", "Last changed"), [_file_cells(report, file) for file in files[:SHOWN_FILES]])
    if len(files) > SHOWN_FILES:
        yield f"… and {len(files) - SHOWN_FILES} files more"
    if ignored := [_one_line(str(name)) for name in found.details.fetched.files_ignored]:
        more = f", … ({len(ignored)} files)" if len(ignored) > SHOWN_IGNORED else ""
        names = ", ".join(ignored[:SHOWN_IGNORED])
        yield ""
        yield from _wrapped(f"Not read, because rostering needs nothing from files of these names: {names}{more}")


def _file_cells(report: ImportReport, file: dict[str, Any]) -> tuple[str, str, str]:
    changed = datetime.fromtimestamp(file["modified"], UTC)
    return _one_line(str(file["name"])), _size(file["size"]), _moment(report, changed)


def _rows(report: ImportReport) -> Iterator[str]:
    """How many rows of each file there are, and how many of them are good."""
    read, good = report.found.details.rows, report.found.details.validation.taken
    known = FORMATS.get(report.found.format or "")
    if not read or known is None:
        return
    files = [file.name for file in known.files if file.name in read]
    if good is None:
        yield from _table(("File", "Rows"), [(name, f"{read[name]:,}") for name in files])
        return
    kept_out = report.found.kept_out
    rows = [(name, read[name], kept_out[name][1] if name in kept_out else read[name]) for name in files]
    rows.append(("all files", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    yield from _table(
        ("File", "Rows", "Taken" if report.found.state == "applied" else "Good", "Kept out"),
        [(name, f"{all_:,}", f"{all_ - out:,}", f"{out:,}") for name, all_, out in rows],
    )
    yield from _what_stays(report)


def _what_stays(report: ImportReport) -> Iterator[str]:
    """What of the live roster rows that were kept out are about."""
    if stays := sum(report.found.details.validation.kept_live.values()):
        yield ""
        yield from _wrapped(
            f"Rows that are kept out change nothing: what is live and such rows are about stays as it is ({stays:,} "
            "records)."
        )
    if unnamed := report.found.details.validation.unnamed:
        yield ""
        yield from _wrapped(
            f"Of {sum(unnamed.values()):,} rows that are kept out nobody can tell who they are about. Until they are "
            f"fixed, what is missing from {', '.join(unnamed)} is not removed."
        )


def _changes(report: ImportReport) -> Iterator[str]:
    """What an applied set changed, by type."""
    seen = report.comparison
    if report.found.state != "applied" or seen is None:
        return
    only_additions = report.found.decision == "additions_only"
    rows = []
    for kind in TYPES:
        count = seen.types[kind]
        rest = (0, 0) if only_additions else (count.changed, count.removed)
        if any(numbers := (count.added + count.returned, *rest)):
            rows.append((TYPE_NAMES.get(kind, kind), *(f"{number:,}" for number in numbers)))
    if rows:
        yield from _table(("", "Added", "Changed", "Removed"), rows)


def _reasons(report: ImportReport) -> Iterator[str]:
    """Why a set was held."""
    seen = report.comparison
    if seen is None or not (report.found.state == "held" or report.found.decision):
        return
    for breach in seen.breaches[:SHOWN_REASONS]:
        yield from _wrapped(unescaped(in_words(breach, seen)), first="- ", rest="  ")
    if len(seen.breaches) > SHOWN_REASONS:
        yield f"- … and {len(seen.breaches) - SHOWN_REASONS} more"


# What to fix


def _problems(report: ImportReport) -> Iterator[str]:
    """The most frequent problems: errors first, those of a whole file before others, and what they cause after them."""
    ranked = ranked_problems(report.problems)
    if not ranked:
        return
    for number, problem in enumerate(ranked[:MOST_FREQUENT], 1):
        word = "ERROR" if problem.severity == "error" else "WARNING"
        yield f"{number}. {word}{'' if problem.is_about_the_set else _times(problem.total)} ({problem.code})"
        for place in problem.places[:SHOWN_PLACES]:
            yield from _wrapped(f"{_where(place)}: {place.message}", first="   ", rest="   ")
        if len(problem.places) > SHOWN_PLACES:
            yield "   … and in other columns: see findings.csv"
        yield ""
    if len(ranked) > MOST_FREQUENT:
        yield f"… and {len(ranked) - MOST_FREQUENT} other kinds of problems: see findings.csv."
        yield ""
    yield from _wrapped(
        "Errors keep their rows out. Warnings do not. Row 1 of a file is its header. All places, up to 1,000 of each "
        "kind, are in findings.csv beside this text."
    )


def ranked_problems(problems: Sequence[Problem]) -> list[Problem]:
    """What a person should look at first, first."""

    def rank(problem: Problem) -> tuple[bool, bool, bool, int, str]:
        is_error = problem.severity == "error"
        is_of_the_set = is_error and problem.is_about_the_set
        return not is_error, problem.code in CONSEQUENCES, not is_of_the_set, -problem.total, problem.code

    return sorted(problems, key=rank)


def _where(place: Place) -> str:
    where = f"{place.file}, column {_one_line(place.column)}" if place.column else place.file
    if not place.rows:
        return where
    rows = ", ".join(f"{row:,}" for row in place.rows)
    if place.kept > len(place.rows):
        return f"{where}, rows {rows}, …"
    return f"{where}, {'row' if len(place.rows) == 1 else 'rows'} {rows}"


def _times(total: int) -> str:
    return ", once" if total == 1 else f", {total:,} times"


def _contacts(report: ImportReport) -> Iterator[str]:
    vendor = [contact for contact in report.district.contacts if contact.role in VENDOR_ROLES]
    vendor.sort(key=lambda contact: VENDOR_ROLES.index(contact.role))
    own = [contact for contact in report.district.contacts if contact.role in DISTRICT_ROLES]
    yield f"About this report, at {report.product.name}:"
    yield from (_contact(contact) for contact in vendor)
    if not vendor:
        yield "  your contact there"
    yield "About how the files are made, in your district:"
    yield from (_contact(contact) for contact in own)
    if not own:
        yield "  whoever looks after your student information system"
    yield ""
    yield from _wrapped("Name the reference above. Please do not send files with students' data by e-mail.")


def _contact(contact: Contact) -> str:
    return f"  {contact.name}, {contact.email}"


# Layout


def _fact(name: str, value: str) -> str:
    return f"{name + ':':<13}{value}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns side by side: the first to the left, the others to the right."""
    widths = [max(len(row[n]) for row in [header, *rows]) for n in range(len(header))]
    for row in (header, *rows):
        others = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *others]).rstrip()


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _moment(report: ImportReport, when: datetime) -> str:
    """A time as the district's clocks show it."""
    zone = ZoneInfo(report.district.time_zone)
    local = when.astimezone(zone)
    return f"{local:%a}, {local:%b} {local.day}, {local.year}, {local.hour % 12 or 12}:{local:%M %p %Z}"


def _size(size: int) -> str:
    if size < 1_000:
        return f"{size:,} bytes"
    return f"{size / 1_000:,.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"


def _one_line(text: str) -> str:
    """A name that somebody else chose, without what would break a line or a terminal."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return textwrap.shorten(" ".join(shown.split()), WIDTH, placeholder="…") or "?"

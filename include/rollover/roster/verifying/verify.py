"""Checks the new year's roster once more before the sync resumes: refuses errors, and shows people the rest.

Four CSV files are for people. ``roster_check.csv`` has the numbers of every school. ``roster_sample.csv`` has a few
records to compare with the student information system, ``educators_to_remove.csv`` the accounts of educators who are no
longer in the roster, and ``educators_to_add.csv`` the educators of the roster who have no account. The last three name
people, so they go to storage and to the district's outbox and nowhere else.

Source: Hero asks districts, at the start of a year, to "add new employees and deactivate employee users who are no
longer at your campus".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection
from upath import UPath

from rollover.calendar import JULY, MonthDay, SchoolYear, begins_on
from rollover.config import RosterLimits
from rollover.errors import ProofFailed
from rollover.roster import imports
from rollover.roster.applying.bulk import planner
from rollover.roster.comparing.breaches import Code
from rollover.roster.comparing.comparison import Comparison
from rollover.roster.imports import Decision, Import
from rollover.roster.verifying import checks
from rollover.roster.verifying.as_filed import AsFiled, as_filed
from rollover.roster.verifying.checks import MEASURES, NO_SCHOOL, Checks, School, grades_of, look
from rollover.sheet import write_sheet
from rollover.storage import read_back

log = logging.getLogger(__name__)

Deliver = Callable[[UPath, str], None]
"""Put a file at a path on the district's SFTP: ``deliver(file, remote path)``."""

A_FEW = 2
"""Up to so many students are no sign of an error, however small the class: one repeats a grade, one is mistyped."""
NO_GRADE_SHARE = 0.5
CHECK_FILE, SAMPLE_FILE, EDUCATORS_FILE = "roster_check.csv", "roster_sample.csv", "educators_to_remove.csv"
NEW_EDUCATORS_FILE = "educators_to_add.csv"
FILES = (CHECK_FILE, SAMPLE_FILE, EDUCATORS_FILE, NEW_EDUCATORS_FILE)
SAMPLE_COLUMNS = (
    *("school id", "school", "student id", "local id", "first name", "last name", "grade", "last year's grade"),
    *("birth date", "guardians' e-mail addresses", "classes"),
)
EDUCATOR_COLUMNS = ("school id", "school", "username", "person id", "first name", "last name", "recommendation")
NEW_EDUCATOR_COLUMNS = (*EDUCATOR_COLUMNS[:-1], "role", EDUCATOR_COLUMNS[-1])
ADD = "add an account, if this person is to use the product: the roster has this educator, and there is no login"
REMOVE = "remove the account: this person is no longer an educator in the roster"


@dataclass(frozen=True)
class Files:
    """The folders of the files for people: one in storage, and one on the district's SFTP."""

    folder: UPath
    remote: str
    deliver: Deliver

    @property
    def paths(self) -> list[str]:
        """The files in storage."""
        return [str(self.folder / name) for name in FILES]

    @property
    def remote_paths(self) -> list[str]:
        """The files in the outbox."""
        return [f"{self.remote}/{name}" for name in FILES]

    def put(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> DeliveredFile:
        """Write and deliver a file."""
        path = self.folder / name
        count = write_sheet(path, header, rows)
        digest, size = read_back(path)
        remote = f"{self.remote}/{name}"
        self.deliver(path, remote)
        return DeliveredFile(name, str(path), remote, count, size, digest)


@dataclass(frozen=True)
class DeliveredFile:
    """A file for people: its name, its path, and its rows and hash as read back."""

    file: str
    path: str
    delivered_to: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class VerifiedRoster:
    """The numbers of a correct roster, and the files that were written about it. It names no person."""

    school_year: str
    product: str
    seen: Checks
    filed: AsFiled
    files: list[DeliveredFile]

    def as_json(self) -> dict[str, Any]:
        """The result for the ledger and Airflow: counts in total and per school, schools by id."""
        seen, filed = self.seen, self.filed
        result: dict[str, Any] = {
            "school_year": self.school_year,
            **seen.totals,
            "shares": _shares(seen.totals),
            "graduating_grade": seen.graduating,
            "graduates": seen.graduates,
            "first_period": str(seen.first_period),
            "sessions": {
                kind: {"sessions": count, "from": str(starts), "to": str(ends)}
                for kind, (count, starts, ends) in seen.sessions.items()
            },
            "compared_with_files": filed.compared,
            "schools": {
                school_id or "no school": {**school.numbers, "shares": _shares(school.numbers), "grades": school.grades}
                for school_id, school in seen.schools.items()
            },
        }
        if filed.left_out:
            result["left_out_by_decision"] = filed.left_out
        if self.product == "hero":
            result["schools_with_old_bell_schedules"] = seen.with_old_bell_schedule()
        return {**result, "files": [asdict(file) for file in self.files]}


def verify_roster(
    connection: Connection,
    import_id: str,
    school_year: str,
    storage: UPath,
    *,
    product: str,
    limits: RosterLimits,
    files: Files,
    begins: MonthDay = JULY,
) -> VerifiedRoster:
    """Check the live roster against the import that brought it, and tell people.

    After the files are delivered, raises ProofFailed with every error: no students, no session of the year, a first
    grading period outside of it, more than a few classes of other terms, students without a grade, last year's
    graduates still there, students in last year's grades, or rows that differ from the files. Graduates who are still
    there are only reported if a person approved a comparison that named them: a district may have a further grade now.
    `begins` is the first day that a school year of the district can have.

    Everything else is for the district to check. Accounts of educators who left are kept, and listed to be removed;
    educators without an account are listed to be added.
    """
    applied = imports.load(connection, import_id)
    # Files that were live already were not staged again: the first import has their details and its approval.
    staged = imports.load(connection, applied.details.applied.same_as or import_id)
    filed = as_filed(connection, staged, storage)
    with planner(connection, "nestloop"):
        seen = look(connection, school_year, product)
        gone = _with(REMOVE, checks.educators_to_remove(connection, product))
        new = _with(ADD, checks.educators_to_add(connection, product))
        written = [
            files.put(CHECK_FILE, *_check_sheet(seen, filed, product)),
            files.put(SAMPLE_FILE, SAMPLE_COLUMNS, checks.sample(connection, import_id)),
            files.put(EDUCATORS_FILE, EDUCATOR_COLUMNS, gone),
            files.put(NEW_EDUCATORS_FILE, NEW_EDUCATOR_COLUMNS, new),
        ]
    if wrong := [*filed.wrong, *_terms(school_year, seen, limits, begins), *_grades(seen, limits, staged)]:
        raise ProofFailed(
            f"The roster of {school_year} from {import_id} is not right: {'; '.join(wrong)}.",
            f"see {files.remote}/{CHECK_FILE}, and ask district IT for a corrected set, or correct it with them; the "
            "sync stays paused. Classes of other terms, graduates or old grades that are right for this district: "
            "raise their limit (roster_limits: new_year: classes_of_other_terms, graduates, in_old_grade) in its file.",
        )
    _log(school_year, seen)
    return VerifiedRoster(school_year, product, seen, filed, written)


# What is wrong


def _terms(school_year: str, seen: Checks, limits: RosterLimits, begins: MonthDay) -> Iterator[str]:
    first = seen.first_period
    if first is None:
        yield f"no academic session is of {school_year}"
        return
    year = SchoolYear.parse(school_year)
    if not begins_on(year, begins) <= first < begins_on(year.next, begins):
        yield (
            f"the first grading period begins on {first}, which is not in {school_year} (from "
            f"{begins_on(year, begins)}; another first day is school_year_begins in the district file)"
        )
    others, classes = seen.totals["classes_of_other_terms"], seen.totals["classes"]
    if others > limits.new_year.classes_of_other_terms * classes:
        where = _in(seen, "classes_of_other_terms")
        yield f"{others} of {classes} classes{where} are of terms that are not of {school_year}"


def _grades(seen: Checks, limits: RosterLimits, staged: Import) -> Iterator[str]:
    totals = seen.totals
    students, returning = totals["students"], totals["returning"]
    if not students:
        yield "there is no student"
        return
    if _over(totals["without_grade"], students, NO_GRADE_SHARE):
        yield f"{totals['without_grade']} of {students} students{_in(seen, 'without_grade')} have no grade"
    still = totals["graduates_still_there"]
    if _over(still, seen.graduates, limits.new_year.graduates) and not _approved(staged, Code.GRADUATES):
        yield (
            f"{still} of the {seen.graduates} who were in grade {seen.graduating}, last year's highest, are still there"
            f"{_in(seen, 'graduates_still_there')}"
        )
    same = totals["in_the_same_grade"]
    if _over(same, returning, limits.new_year.in_old_grade):
        yield f"{same} of {returning} returning students{_in(seen, 'in_the_same_grade')} are not promoted"


def _over(found: int, of: int, share: float) -> bool:
    return found > A_FEW and found > share * of


def _approved(staged: Import, code: Code) -> bool:
    """Whether a person approved the set after a comparison that named this."""
    seen = Comparison.of(staged)
    if seen is None or staged.decision not in (Decision.APPROVE, Decision.APPROVE_WITH_ID_MAP):
        return False
    return any(breach.code is code for breach in seen.breaches)


def _in(seen: Checks, name: str) -> str:
    """The schools with the most of a number; nothing if there is but one school."""
    most = sorted(
        ((school.numbers[name], school_id) for school_id, school in seen.schools.items() if school.numbers[name]),
        key=lambda each: (-each[0], each[1]),
    )
    if len(seen.schools) < 2 or not most:
        return ""
    named = ", ".join(f"{number} in {school_id or 'no school'}" for number, school_id in most[:3])
    return f" ({named}{', …' if len(most) > 3 else ''})"


# What is reported


def _shares(numbers: dict[str, int]) -> dict[str, float | None]:
    """Coverage: the share of students whose birth date, or whose guardian's e-mail address, is known."""
    students = numbers["students"]
    missing = {"birth_date": "without_birth_date", "guardian_email": "without_guardian_email"}
    return {name: round(1 - numbers[of] / students, 3) if students else None for name, of in missing.items()}


def _check_sheet(seen: Checks, filed: AsFiled, product: str) -> tuple[list[str], list[list[Any]]]:
    """The numbers of every school, and of all together, as a header and rows."""
    grades = grades_of(seen)
    header = ["school id", "school", *(name.replace("_", " ") for name in MEASURES)]
    header += ["birth dates known, %", "guardian e-mail known, %", "schedules as in the files"]
    header += ["newest bell schedule from", "bell schedule"] if product == "hero" else []
    header += [f"students in grade {grade}" for grade in grades]
    old = set(seen.with_old_bell_schedule())
    rows = []
    for school_id, school in seen.schools.items():
        row = [school_id, school.name or ("(no school)" if school_id == NO_SCHOOL else "(not in the roster)")]
        row += _cells(school.numbers)
        row.append("no" if school_id in filed.schools else "yes")
        row += _bell_cells(school, school_id in old) if product == "hero" else []
        rows.append([*row, *(school.grades.get(grade, 0) for grade in grades)])
    all_grades = (sum(school.grades.get(grade, 0) for school in seen.schools.values()) for grade in grades)
    as_in_files = "no" if filed.wrong else "yes"
    bells = ["", f"{len(old)} to update"] if product == "hero" else []
    rows.append(["", "all schools", *_cells(seen.totals), as_in_files, *bells, *all_grades])
    return header, rows


def _cells(numbers: dict[str, int]) -> list[Any]:
    shares = [None if share is None else round(share * 100, 1) for share in _shares(numbers).values()]
    return [*(numbers[name] for name in MEASURES), *shares]


def _bell_cells(school: School, is_old: bool) -> list[str]:
    if school.bell_schedule is None:
        return ["", "none"]
    return [str(school.bell_schedule), "older than the first grading period: update it" if is_old else "current"]


def _with(last: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        yield (*row, last)


def _log(school_year: str, seen: Checks) -> None:
    totals = seen.totals
    log.info("the roster of %s is verified, in %s schools: %s", school_year, len(seen.schools), totals)
    if totals["educators_to_remove"]:
        log.warning(
            "%s educator accounts belong to people who are no longer educators in the roster: the district should "
            "remove them, see %s",
            totals["educators_to_remove"],
            EDUCATORS_FILE,
        )

"""What a district hears about its files: the summary for a secretary, the findings as CSV, and when they are sent."""

from __future__ import annotations

import csv
import io
import json
import threading
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, text, update
from upath import UPath

from rollover.config import District
from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.ledger import due, pause
from rollover.ledger.due import Kind
from rollover.lint import load_catalog
from rollover.roster import imports
from rollover.roster.comparing.breaches import Breach, Code, Season
from rollover.roster.comparing.comparison import Comparison, TypeCount
from rollover.roster.comparing.tally import TYPES
from rollover.roster.findings import KEPT_PER_CODE
from rollover.roster.imports import ImportDetails
from rollover.roster.imports.files import typed_file
from rollover.roster.imports.model import patched
from rollover.roster.reporting.keep import remove_old_reports
from rollover.roster.reporting.report import deliver_findings
from rollover.sftp.outbox import put_file
from tests.roster.conftest import District as Source
from tests.support.examples import check_example
from tests.support.roster.small_set import as_files, row_of, whole_set
from tests.support.small_district import PRODUCTS, unguarded

IMPORT = "hero__springfield-il__0123456789ab"
OUTBOX = "/springfield-il/hero/outbox/imports/2026-08-03T0910Z-6789ab"
FOUND_AT = datetime(2026, 8, 3, 9, 10, 30, tzinfo=UTC)
FILE_AT = datetime(2026, 8, 3, 4, 5, tzinfo=UTC)
HERO = load_catalog(Path("/nonexistent"), PRODUCTS).products["hero"]
SPRINGFIELD = District.model_validate(
    {
        "district": "springfield-il",
        "name": "Springfield Public Schools",
        "time_zone": "America/Chicago",
        "org_sourced_id": "springfield-district",
        "sftp_connection": "district_sftp",
        "contacts": [
            {"role": "data_engineer", "name": "Data Team", "email": "data@vendor.example"},
            {"role": "customer_success", "name": "Cory Success", "email": "cory@vendor.example"},
            {"role": "district_it", "name": "Help Desk", "email": "it@springfield.example"},
            {"role": "privacy_officer", "name": "Priva See", "email": "privacy@vendor.example"},
        ],
        "products": {
            "hero": {"first_school_year": "2025-26", "folder": "/springfield-il/hero", "roster_import": "nightly"}
        },
    }
)
ROWS = {"orgs.csv": 3, "users.csv": 12_345, "enrollments.csv": 60_000}
TAKEN = {"orgs.csv": 3, "users.csv": 12_340, "enrollments.csv": 59_000}
ERRORS = {"bad_date": 5, "depends_on_rejected": 1_000}
DETAILS = {"rows": ROWS, "errors": ERRORS, "warnings": {"encoding": 1}, "validation": {"taken": TAKEN}}
DEPENDS = "userSourcedId refers to a row of users.csv that was rejected. Fix that row."
FORMULA = "=1+1"
FINDINGS = [
    *[
        ("bad_date", "error", "users.csv", row, "birthDate", "It is no date. Write 2017-03-09.")
        for row in (7, 4, 9, 20)
    ],
    ("bad_date", "error", "users.csv", 3, "endDate", "It is no date. Write 2017-03-09."),
    *[("depends_on_rejected", "error", "enrollments.csv", row, "userSourcedId", DEPENDS) for row in range(2, 12)],
    ("encoding", "warning", "users.csv", None, None, "The file is Windows-1252. Save it as UTF-8."),
]


@dataclass
class Outbox:
    """What was delivered, by path, and how often."""

    files: dict[str, bytes] = field(default_factory=dict)
    deliveries: list[str] = field(default_factory=list)

    def deliver(self, file: UPath, remote_path: str) -> None:
        self.files[remote_path] = file.read_bytes()
        self.deliveries.append(remote_path)

    @property
    def summary(self) -> str:
        return self.files[f"{OUTBOX}/summary.txt"].decode().replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """The summary's lines, columns one space apart."""
        return [" ".join(line.split()) for line in self.summary.split("\n")]

    @property
    def findings(self) -> list[dict[str, str]]:
        content = self.files[f"{OUTBOX}/findings.csv"].decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(content, newline="")))


@dataclass
class Ledger:
    """One import, as other steps would have left it."""

    engine: Engine
    owner: Engine
    storage: UPath
    outbox: Outbox = field(default_factory=Outbox)

    def has(self, state: str, findings: list[tuple[Any, ...]] = FINDINGS, **values: Any) -> None:
        row = {"school_year": "2026-27", "format": "oneroster_1_1", "sha256": "5e7", "details": DETAILS, **values}
        row["details"] = {"schema_version": 1, **row["details"]}
        if "decision" in values:
            row |= {"decided_by": "dana", "decided_at": FOUND_AT}
        files = [{"name": "roster.zip", "size": 12_345_678, "modified": int(FILE_AT.timestamp())}]
        given = {"tenant_id": "hero__springfield-il"}
        with self.owner.begin() as connection:
            drop = {"drop_id": IMPORT, "folder": "/springfield-il/hero", "fingerprint": "f", "files": files}
            connection.execute(insert(ledger.drops).values(**given, **drop, found_at=FOUND_AT))
            connection.execute(
                insert(ledger.imports).values(**given, import_id=IMPORT, state=state, found_at=FOUND_AT, **row)
            )
            names = ("code", "severity", "file", "row", "column", "message")
            if findings:
                connection.execute(
                    insert(ledger.findings),
                    [{**given, "import_id": IMPORT, **dict(zip(names, each, strict=True))} for each in findings],
                )

    def becomes(self, **values: Any) -> None:
        if "decision" in values:
            values |= {"decided_by": "dana", "decided_at": FOUND_AT}
        with self.owner.begin() as connection:
            unguarded(connection, "imports")
            connection.execute(update(ledger.imports).where(ledger.imports.c.import_id == IMPORT).values(**values))

    def report(self, district: District = SPRINGFIELD) -> dict[str, Any]:
        given = (self.engine, "hero__springfield-il", IMPORT, self.storage, district, HERO)
        return deliver_findings(*given, self.outbox.deliver).as_json()


@pytest.fixture
def book(engine: Engine, owner: Engine, storage: UPath, tenant_id: str) -> Ledger:
    return Ledger(engine, owner, storage)


def compared(**breaches: Any) -> dict[str, Any]:
    """A comparison with one school over its limit, as the ledger has it."""
    none = TypeCount(0, 0, 0, 0, 0, 0, 0, 0, 0)
    types = dict.fromkeys(TYPES, none)
    types["students"] = TypeCount(
        staged=900, live=1_200, added=100, returned=5, changed=700, moved=3, unchanged=95, removed=400, rekeyed=0
    )
    return Comparison(
        season=Season.NEW_YEAR,
        school_year="2026-27",
        live_school_year="2025-26",
        roster_version=1,
        types=types,
        schools=(),
        names={"school-1": "Elm_Street School"},
        cohorts=(),
        breaches=(Breach(Code.SCHOOL_LOST, "students", 312, 0, 0.3, "school-1"),),
        warnings=(),
    ).as_json()


def test_a_refused_set_says_what_arrived_what_is_wrong_and_what_to_do(book: Ledger) -> None:
    refusing = ("no_valid_rows", "error", "orgs.csv", None, None, "Not a single row can be taken. Fix its errors.")
    details = {**DETAILS, "errors": {**ERRORS, "no_valid_rows": 1}}
    book.has("rejected", [*FINDINGS, refusing], details=details, reason="refused for no_valid_rows")
    result = book.report()
    said = book.outbox.summary
    assert book.outbox.deliveries == [f"{OUTBOX}/findings.csv", f"{OUTBOX}/summary.txt"]
    for line in (
        "Your roster files for SchoolMint Hero",
        "NOT IMPORTED: ERRORS",
        "Found: Mon, Aug 3, 2026, 4:10 AM CDT",
        "Format: OneRoster 1.1",
        "School year: 2026-27",
        f"Reference: {IMPORT}",
        "roster.zip 12.3 MB Sun, Aug 2, 2026, 11:05 PM CDT",
        "File Rows Good Rejected",
        "users.csv 12,345 12,340 5",
        "all files 72,348 71,343 1,005",
        "1. ERROR, 5 times (bad_date)",
        "2. ERROR (no_valid_rows)",
        "3. ERROR, 1,000 times (depends_on_rejected)",
        "4. WARNING (encoding)",
        "Cory Success, cory@vendor.example",
        "Help Desk, it@springfield.example",
    ):
        assert line in book.outbox.lines
    assert "users.csv, column birthDate, rows 4, 7, 9, …: It is no date. Write 2017-03-09." in " ".join(said.split())
    assert "Please fix the problems listed below and upload all files again." in " ".join(said.split())
    check_example("district_summary--refused.txt", said)
    assert "Priva See" not in said and said.index("Cory") < said.index("Data Team")
    assert max(map(len, said.split("\n"))) <= 78
    assert (result["state"], result["errors"], result["kept_out"]) == ("rejected", 1_006, 1_005)


def test_records_that_stay_because_of_rejected_rows_are_counted(book: Ledger) -> None:
    stays = {"kept_live": {"people": 1_000, "guardians": 200}, "unnamed": {"users.csv": 3}}
    book.has("applied", details={**DETAILS, "validation": {"taken": TAKEN, **stays}})
    book.report()
    said = " ".join(book.outbox.summary.split())
    assert "Rejected rows change nothing: the 1,200 records that they are about stay as they are in the roster." in said
    assert "We cannot tell which records 3 rejected rows belong to." in said
    assert "records that are missing from users.csv are not removed." in said
    assert max(map(len, book.outbox.summary.split("\n"))) <= 78


def test_every_kept_finding_is_listed_and_harmless_in_a_spreadsheet(book: Ledger) -> None:
    book.has("applied", [(*each[:5], FORMULA if each[5] == DEPENDS else each[5]) for each in FINDINGS])
    book.report()
    lines = book.outbox.findings
    assert len(lines) == len(FINDINGS) + 1
    assert [line["code"] for line in lines[:5]] == ["bad_date"] * 5, "what depends on them comes after them"
    assert lines[5] == {
        "severity": "error",
        "code": "depends_on_rejected",
        "file": "enrollments.csv",
        "row": "2",
        "id": "",
        "column": "userSourcedId",
        "what is wrong and how to fix it": f"'{FORMULA}",
    }
    assert [(line["row"], line["column"]) for line in lines if line["code"] == "bad_date"] == [
        ("3", "endDate"),
        ("4", "birthDate"),
        ("7", "birthDate"),
        ("9", "birthDate"),
        ("20", "birthDate"),
    ]
    note = "There are 1,000 of these; only the first 10 are listed."
    assert lines[-1]["what is wrong and how to fix it"] == note


def test_findings_name_the_record_and_stay_when_its_rows_are_gone(book: Ledger) -> None:
    """Districts look records up by their ids. Who decides later does not take them out of the list."""
    typed = typed_file(book.storage, IMPORT, "users")
    typed.parent.mkdir(parents=True)
    rows = pa.table({"row": pa.array([3, 4, 5], pa.int32()), "sourcedId": ["=s-3", None, "s-5"]})
    pq.write_table(rows, typed.path)
    book.has("in_review", comparison=compared())
    book.report()
    ids = {(line["file"], line["row"]): line["id"] for line in book.outbox.findings}
    assert (ids["users.csv", "3"], ids["users.csv", "4"], ids["enrollments.csv", "2"]) == ("'=s-3", "", "")
    typed.unlink()
    typed.parent.rmdir()
    before = book.outbox.findings
    book.becomes(state="rejected", decision="discard")
    book.report()
    assert "NOT IMPORTED: DISCARDED IN REVIEW" in book.outbox.summary and book.outbox.findings == before


def test_reports_leave_the_outbox_when_their_time_is_over(book: Ledger) -> None:
    book.has("applied")
    book.report()
    with book.engine.connect() as connection:
        now = connection.scalar(text("SELECT now()"))
    gone: list[str] = []

    def old(days: int) -> int:
        later = now + timedelta(days=days)
        return remove_old_reports(book.engine, "hero__springfield-il", kept_days=90, now=later, remove=gone.append)

    assert (old(89), gone) == (0, [])
    assert (old(91), gone) == (1, [f"{OUTBOX}/findings.csv", f"{OUTBOX}/summary.txt"])
    assert (old(92), len(gone)) == (0, 2)
    assert book.report()["delivered"] is False and due.read(book.engine, Kind.OUTDATED_REPORT, Kind.REPORTS) == []


def test_a_report_that_is_outdated_is_due_until_it_is_written_again(book: Ledger) -> None:
    book.has("applied", files_removed_at=FOUND_AT)
    book.report()
    assert due.read(book.engine, Kind.OUTDATED_REPORT) == []
    book.becomes(state="undone", files_removed_at=FOUND_AT)
    assert [each.about for each in due.read(book.engine, Kind.OUTDATED_REPORT)] == [IMPORT]

    def falls_silent(file: UPath, remote_path: str) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        deliver_findings(book.engine, "hero__springfield-il", IMPORT, book.storage, SPRINGFIELD, HERO, falls_silent)
    assert len(due.read(book.engine, Kind.IMPORT_FILES)) == 1, "files were written again: they are to be removed again"
    book.report()
    assert due.read(book.engine, Kind.OUTDATED_REPORT) == []


@pytest.mark.parametrize(
    ("state", "values", "headline", "next_"),
    [
        ("applied", {}, "IMPORTED, BUT NOT ALL ROWS", "Please fix the errors in your system."),
        ("applied", {"decision": "additions_only"}, "IMPORTED IN PART", "Please fix the errors"),
        ("in_review", {}, "IN REVIEW", "The SchoolMint Hero team decides."),
        ("ready", {}, "CHECKED", "The files wait until the school year 2025-26 is closed in SchoolMint Hero."),
        ("ready", {"school_year": "2025-26"}, "CHECKED", "The files go live with the next nightly import."),
        ("ready", {"decision": "approve"}, "APPROVED", "The files wait until"),
        ("rejected", {"decision": "discard"}, "NOT IMPORTED: DISCARDED IN REVIEW", "Please upload corrected files."),
        ("superseded", {"reason": "import x is newer"}, "NOT NEEDED", "Nothing. We will check the next files"),
        ("superseded", {"school_year": "2024-25"}, "NOT NEEDED", "Nothing. We will check the next files"),
        ("undone", {}, "UNDONE", "Nothing. We will check the next files"),
    ],
)
def test_each_end_has_its_own_words(
    book: Ledger, state: str, values: dict[str, Any], headline: str, next_: str
) -> None:
    book.has(state, comparison=compared(), **values)
    assert book.report()["delivered"] is True
    said = book.outbox.summary
    assert said.split("\n\n\n")[1].startswith(f"{headline}\n")
    after = said.split("WHAT HAPPENS NEXT\n\n")[1]
    assert " ".join(after.split()).startswith(next_)
    shows_reasons = state == "in_review" or "decision" in values
    reason = "Elm_Street School (school-1) is missing: it has no students in the new roster"
    assert (reason in " ".join(said.split())) is shows_reasons
    check_example(f"district_summary--{'_'.join([state, *values.values()]).replace(' ', '_')}.txt", said)


def test_files_that_were_dropped_before_are_not_said_to_change_too_much(book: Ledger) -> None:
    seen = {**compared(), "breaches": [asdict(Breach(Code.SEEN_BEFORE, "undone", 0, 312, 0))]}
    book.has("in_review", comparison=seen)
    book.report()
    said = " ".join(book.outbox.summary.split())
    assert "IN REVIEW You uploaded the same files before, and the roster has changed since then." in said
    assert "- These are the same files as in an earlier upload, which has been undone since then." in said
    assert "not as expected" not in said
    check_example("district_summary--sent_before.txt", book.outbox.summary)


def test_what_changed_is_shown_for_a_set_that_was_taken(book: Ledger) -> None:
    book.has("applied", comparison=compared())
    book.report()
    assert "students 105 700 400" in book.outbox.lines
    book.becomes(decision="additions_only")
    book.report()
    assert "students 105 0 0" in book.outbox.lines


def test_a_set_without_a_finding_has_a_summary_only(book: Ledger) -> None:
    book.has("applied", [], details={"rows": ROWS, "validation": {"taken": ROWS}})
    result = book.report()
    assert list(book.outbox.files) == [f"{OUTBOX}/summary.txt"]
    assert "All rows were imported." in book.outbox.summary
    check_example("district_summary--imported.txt", book.outbox.summary)
    assert "HOW TO FIX IT" not in book.outbox.summary
    assert (result["errors"], result["kept_out"], result["folder"]) == (0, 0, OUTBOX)


def test_the_files_of_the_live_roster_again(book: Ledger) -> None:
    book.has("applied", [], details={"unchanged": True, "applied": {"same_as": "another"}})
    book.report()
    assert "NOTHING NEW" in book.outbox.summary and "ROWS" not in book.outbox.summary


def test_a_set_that_could_not_be_read_at_all(book: Ledger) -> None:
    finding = ("zip_broken", "error", "roster.zip", None, None, "The zip cannot be opened. Upload it again.")
    book.has("rejected", [finding], format=None, school_year=None, sha256=None, details={"errors": {"zip_broken": 1}})
    result = book.report()
    assert "Format:      not recognized" in book.outbox.summary
    assert "1. ERROR (zip_broken)" in book.outbox.summary
    assert (result["rows"], result["kept_out"], result["problems"]) == (0, None, ["zip_broken"])


@pytest.mark.parametrize(
    ("state", "values"),
    [("found", {}), ("fetched", {}), ("staged", {}), ("validated", {}), ("superseded", {"sha256": None})],
)
def test_nothing_is_said_while_there_is_nothing_to_say(book: Ledger, state: str, values: dict[str, Any]) -> None:
    book.has(state, **values)
    assert book.report() | {"delivered": False, "folder": None} == book.report()
    assert book.outbox.deliveries == []


def test_the_same_is_not_delivered_twice_and_news_are(book: Ledger) -> None:
    book.has("in_review", comparison=compared())
    assert book.report()["delivered"] is True
    assert book.report()["delivered"] is False
    assert len(book.outbox.deliveries) == 2
    book.becomes(state="applied", decision="approve")
    assert book.report()["delivered"] is True
    assert book.outbox.deliveries[2:] == [f"{OUTBOX}/summary.txt"], "the list of findings stays as it is"
    assert "WHY WE REVIEWED IT" in book.outbox.summary
    assert book.report()["folder"] == OUTBOX


def test_a_report_that_could_not_be_delivered_is_delivered_next_time(book: Ledger) -> None:
    book.has("applied")
    deliver, failures = book.outbox.deliver, iter([ConnectionError("the server is gone")])

    def fails_once(file: UPath, remote_path: str) -> None:
        if remote_path.endswith("summary.txt") and (error := next(failures, None)):
            raise error
        deliver(file, remote_path)

    book.outbox.deliver = fails_once  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        book.report()
    assert book.report()["delivered"] is True
    assert set(book.outbox.files) == {f"{OUTBOX}/findings.csv", f"{OUTBOX}/summary.txt"}


def test_what_others_count_meanwhile_stays(book: Ledger) -> None:
    book.has("applied")
    deliver = book.outbox.deliver

    def while_another_writes(file: UPath, remote_path: str) -> None:
        book.becomes(details=patched(ImportDetails(changes={"people": {"added": 1}})))
        deliver(file, remote_path)

    book.outbox.deliver = while_another_writes  # type: ignore[method-assign]
    book.report()
    with tenant_session(book.engine, "hero__springfield-il") as connection:
        details = imports.load(connection, IMPORT).details
    assert details.changes == {"people": {"added": 1}} and details.rows == ROWS
    assert details.reported is not None and details.reported.folder == OUTBOX


def test_of_two_at_once_the_later_state_is_what_lies_there(book: Ledger) -> None:
    """The first report hangs while it delivers; the import is applied, and reported by another task."""
    book.has("ready", school_year="2025-26")
    deliver, delivering, go_on = book.outbox.deliver, threading.Event(), threading.Event()

    def slowly(file: UPath, remote_path: str) -> None:
        delivering.set()
        assert go_on.wait(20)
        deliver(file, remote_path)

    book.outbox.deliver = slowly  # type: ignore[method-assign]
    first = threading.Thread(target=book.report)
    first.start()
    assert delivering.wait(20)
    book.becomes(state="applied")
    book.outbox.deliver = deliver  # type: ignore[method-assign]
    second = threading.Thread(target=book.report)
    second.start()
    second.join(0.5)
    assert second.is_alive(), "it waits for the first"
    go_on.set()
    first.join(20)
    second.join(20)
    assert "IMPORTED, BUT NOT ALL ROWS" in book.outbox.summary


def test_while_the_sync_is_paused_nobody_is_promised_tonight(book: Ledger) -> None:
    book.has("ready", school_year="2025-26")
    with tenant_session(book.engine, "hero__springfield-il") as connection:
        pause.begin(connection, "hero__springfield-il", by="hero__springfield-il__2025-26", reason="rollover")
    book.report()
    assert "The roster sync is paused while a school year is being closed." in " ".join(book.outbox.summary.split())


def test_only_the_most_frequent_problems_are_reported(book: Ledger) -> None:
    findings = [(f"code_{n:02}", "error", "users.csv", 2, None, f"Fix {n}.") for n in range(14)]
    details = {"rows": ROWS, "errors": {f"code_{n:02}": 100 + n for n in range(14)}, "warnings": {}}
    book.has("rejected", findings, details=details)
    assert book.report()["problems"] == ["code_13", "code_12", "code_11"]
    said = book.outbox.summary
    assert "10. ERROR, 104 times (code_04)" in said and "code_03" not in said
    assert "… and 4 other kinds of problems: see findings.csv." in said


def test_causes_are_reported_before_what_they_cause(book: Ledger) -> None:
    findings = [
        ("depends_on_rejected", "error", "classes.csv", 2, "schoolSourcedId", "Fix that row."),
        ("no_valid_rows", "error", "classes.csv", None, None, "Fix its errors."),
        ("bad_value", "error", "orgs.csv", 3, "type", "Fix the type."),
    ]
    details = {"rows": ROWS, "errors": {"depends_on_rejected": 900, "no_valid_rows": 1, "bad_value": 1}, "warnings": {}}
    book.has("rejected", findings, details=details)
    assert book.report()["problems"] == ["bad_value", "no_valid_rows", "depends_on_rejected"]
    written = dict.fromkeys(found["code"] for found in book.outbox.findings)
    assert list(written) == ["bad_value", "no_valid_rows", "depends_on_rejected"]


def test_a_district_without_contacts_is_reported_contacts(book: Ledger) -> None:
    book.has("applied", [])
    book.report(SPRINGFIELD.model_copy(update={"contacts": ()}))
    assert "  your SchoolMint Hero contact" in book.outbox.summary
    assert "  the person who manages your student information system" in book.outbox.summary


def test_an_import_without_its_drop_is_reported_too(book: Ledger) -> None:
    book.has("applied", [])
    with book.owner.begin() as connection:
        unguarded(connection, "drops")
        connection.execute(text("DELETE FROM ledger.drops"))
    result = book.report()
    assert (result["files"], result["files_to"]) == (0, None)
    assert "In folder: not known" in book.outbox.lines


def test_files_that_were_not_read_are_named(book: Ledger) -> None:
    """A file whose name is misspelled looks to the district as if it had been sent."""
    ignored = ["student.csv", *(f"x{n}.csv" for n in range(11))]
    book.has("applied", [], details={"rows": ROWS, "fetched": {"files_ignored": ignored}})
    book.report()
    said = " ".join(book.outbox.summary.split())
    assert "Not read, because we do not need files with these names: student.csv, x0.csv," in said
    assert "x8.csv, … (12 files)" in said


def test_names_that_somebody_else_chose_break_no_line(book: Ledger) -> None:
    finding = ("bad\x1bcode", "error", "users.csv", 2, "metadata.\r\n=x\x1b[31m", "Fix it.")
    book.has("rejected", [finding], details={})
    with book.owner.begin() as connection:
        unguarded(connection, "drops")
        files = json.dumps([{"name": "a\r\nb\x1b[2J.zip", "size": 5, "modified": 1}])
        connection.execute(text("UPDATE ledger.drops SET files = CAST(:files AS jsonb)"), {"files": files})
    book.report()
    assert "a b [2J.zip 5 bytes Wed, Dec 31, 1969, 6:00 PM CST" in book.outbox.lines
    assert "users.csv, column metadata. =x [31m, row 2: Fix it." in " ".join(book.outbox.summary.split())


def test_a_real_set_is_reported_in_a_real_outbox(district: Source) -> None:
    """From a drop with defects to what the district's IT sees on SFTP: no name, no value of a row but its id."""
    rows = whole_set()
    row_of(rows, "demographics", "student-1")["birthDate"] = "31.02.2017"
    row_of(rows, "enrollments", "e4-2025-26")["classSourcedId"] = "no-such-class"
    rows["users"] = [
        {**rows["users"][0], "sourcedId": f"extra-{n}", "email": "x y"} for n in range(KEPT_PER_CODE)
    ] + rows["users"]
    import_id = district.take(as_files(rows))["import_id"]

    def deliver(file: UPath, remote_path: str) -> None:
        with file.open("rb") as stream:
            put_file(district.sftp.client, stream, remote_path)

    config = SPRINGFIELD.products["hero"].model_copy(update={"folder": f"/{district.folder}"})
    of_test = SPRINGFIELD.model_copy(update={"products": {"hero": config}})
    result = deliver_findings(
        district.engine, district.tenant_id, import_id, district.storage, of_test, HERO, deliver
    ).as_json()
    folder = district.sftp.root / result["folder"].lstrip("/")
    assert {path.name for path in folder.iterdir()} == {"summary.txt", "findings.csv"}
    listed, said = (folder / "findings.csv").read_text(), (folder / "summary.txt").read_text()
    assert "demographics.csv" in said and "enrollments.csv" in said
    assert result["kept_out"] >= 1, "the enrollment of a class that is not there"
    assert ",student-1," in listed and ",e4-2025-26," in listed
    for personal in ("O'Hara", "Zoë", "example.org", "no-such-class", "31.02.2017", "x y", "student-1", "extra-1"):
        assert personal not in said and personal not in json.dumps(result)
        assert personal not in listed or personal in ("student-1", "extra-1")

"""Printed reports are accessible, show every name as it is, and keep a page for each row that has one."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from pypdf import PdfReader

from rollover.errors import ProofFailed
from rollover.exports import REPORTS, Report, Scope, printed, reports_of, write
from rollover.exports.printed import print_rows
from rollover.exports.report import Row
from tests.exports.conftest import AS_OF, YEAR, ZONE, World
from tests.support.tagged_pdf import misses, tags_of

SCOPE = Scope(YEAR.key, True, ZONE.key, "Maple Schools", AS_OF)
PRINTED = {report.name: report for report in REPORTS if report.format == "pdf"}
LONG = "Wolfeschlegelsteinhausenbergerdorff Featherstonehaugh-Cholmondeley"
WEEKS = [[str(date(2025, 8, 25) + timedelta(weeks=n)), n % 9] for n in range(0, 36, 2)]
TESTS = [["Start", "2025-09-10", 400], ["Winter", "2025-12-09", 429], ["Spring", "2026-03-09", 415]]
STUDENT: Row = {
    **{"school_id": "10", "classroom_id": "c", "school": "Ash Elementary", "classroom": "5A", "teacher": "Ms. Lee"},
    **{"last_name": "Tran", "first_name": "Mia", "grade": "05", "lessons_assigned": 40, "lessons_passed": 14},
    **{"average_score": Decimal("80.6"), "minutes": 1234, "problems": 4321, "weeks_active": 18, "weeks": WEEKS},
    **{"tests": TESTS, "pathway": "Grade 5 Math", "assigned_on": date(2025, 8, 25), "completed_on": date(2026, 5, 4)},
    **{"think_points": 12_345, "pathways": "Grade 5 Math"},
}
POINTS: Row = {
    **{"school_id": "10", "school": "Ash Elementary", "student_id": "S1", "last_name": "Tran", "first_name": "Mia"},
    **{"grade": "KG", "earned": 1234, "redeemed": 200, "adjusted": -5, "balance": 1029},
}
SUMMARY: Row = {
    **{"school_id": "10", "school": "Ash Elementary", "events": 1300, "positive": 900, "negative": 300, "tardies": 100},
    **{"students": 540, "teachers": 38, "days": 172, "first_on": date(2025, 8, 18), "last_on": date(2026, 6, 3)},
    **{"consequences_assigned": 3, "consequences_served": 2, "points_earned": 98_765, "points_redeemed": 0},
    "points_adjusted": 0,
    "months": [{"month": "2025-08-01", "positive": 900, "negative": 300, "tardies": 100}],
    "behaviors": [
        {"behavior": "Helping", "events": 900, "kind": "positive"},
        {"behavior": None, "events": 1, "kind": None},
    ],
    "locations": [{"location": "Hallway", "events": 7}],
}
ROWS = {
    "schoolwide_points_printed": POINTS,
    "school_summary": SUMMARY,
    "student_progress_prek_2": STUDENT,
    "student_progress_3_plus": STUDENT,
}


def made(report: str, *rows: Row) -> bytes:
    return print_rows(PRINTED[report], SCOPE, list(rows))


def words_of(content: bytes) -> list[str]:
    """The text of each page."""
    return [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(content)]


@pytest.mark.parametrize("report", PRINTED)
def test_a_printed_report_conforms_to_pdf_ua(report: str) -> None:
    content = made(report, ROWS[report], ROWS[report])
    assert misses(content) == []
    reader = PdfReader(io.BytesIO(content))
    assert reader.metadata is not None and reader.metadata.author == "Maple Schools"
    assert reader.metadata.title == f"{PRINTED[report].title}, {YEAR.key}"
    assert misses(made(report)) in ([], ["headings in order"]), "blank: it has no heading"


def test_a_chart_says_its_values_to_who_cannot_see_it() -> None:
    charts = {
        report: [tag.alt or "" for tag in tags_of(made(report, row)) if tag.kind == "Figure"]
        for report, row in ROWS.items()
    }
    assert charts["schoolwide_points_printed"] == ["Bar chart of the points by grade. K: earned 1,234, redeemed 200."]
    (months,) = charts["school_summary"]
    assert months.endswith("August 2025: positive 900, negative 300, tardies 100.")
    for report in ("student_progress_prek_2", "student_progress_3_plus"):
        minutes, scores = charts[report]
        assert "August 25: 0; September 1: 0; September 8: 2; " in minutes, "weeks without any are there too"
        assert "Start, September 10, 2025: 400; Winter, December 9, 2025: 429; " in scores


@pytest.mark.parametrize(
    ("report", "columns"),
    [
        ("schoolwide_points_printed", 6),
        ("student_progress_prek_2", 4),
        ("student_progress_3_plus", 4),
    ],
)
def test_a_table_has_a_header_for_each_column(report: str, columns: int) -> None:
    heads = [tag for tag in tags_of(made(report, ROWS[report])) if tag.kind == "TH"]
    assert [(tag.scope, "THead" in tag.within) for tag in heads] == [("Column", True)] * columns


def test_what_colors_say_is_also_said_in_words() -> None:
    (page,) = words_of(made("school_summary", SUMMARY))
    assert "Helping" in page and "positive" in page.split("Most tracked")[1]
    (page,) = words_of(made("student_progress_3_plus", STUDENT))
    assert "+29" in page and "-14" in page and "Completed May 4, 2026" in page


@pytest.mark.parametrize("report", PRINTED)
def test_a_name_is_printed_in_its_own_letters_and_never_as_markup(report: str) -> None:
    names = [
        "Nguyễn Đan Łukasz",
        "Ñandú Дмитрий",
        "Γιώργος",
        "李 小龍",
        "דוד כהן",
        "#1 $x$ *b* <l> @r [q] \"'\\",
        "👩‍🎓 Mia",
    ]
    field = {"school_summary": "school"}.get(report, "last_name")
    rows = [{**ROWS[report], "first_name": "A", field: name} for name in names]
    said = "\n".join(words_of(made(report, *rows)))
    for word in " ".join(names).split():  # a reader puts words from right to left into an order of its own
        assert word in said


def test_a_long_name_is_made_to_fit() -> None:
    (short,) = pypdfium2.PdfDocument(made("student_progress_3_plus", STUDENT))
    (long,) = pypdfium2.PdfDocument(made("student_progress_3_plus", {**STUDENT, "first_name": LONG, "last_name": LONG}))

    def size_and_end(page: Any, word: str) -> tuple[float, float]:
        text = page.get_textpage()
        at = text.search(word).get_next()[0]
        boxes = [text.get_charbox(at + n) for n in range(len(word))]
        return max(top - bottom for _, bottom, _, top in boxes), max(right for _, _, right, _ in boxes)

    assert size_and_end(short, "Mia Tran")[0] > size_and_end(long, LONG)[0]
    assert size_and_end(long, LONG)[1] <= long.get_width() - 45


def test_more_tests_than_a_page_has_room_for_go_on_on_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = [[f"Test {n}", "2025-09-10", 400 + n] for n in range(60)]
    content = made("student_progress_3_plus", {**STUDENT, "tests": tests})
    pages = words_of(content)
    assert len(pages) > 1 and misses(content) == []
    assert all(f"Test {n}" in "\n".join(pages) for n in range(60))
    assert all("Maple Schools" in page and "Student records" in page for page in pages), "head and foot on each"


def test_a_file_ends_after_so_many_pages_and_another_one_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So memory is bounded by the pages of a file, however many students have no classroom."""
    whole = world.write("imagine_math", "student_progress_3_plus", tmp_path / "whole")
    monkeypatch.setattr(write, "PAGES", 2)
    *parts, index = world.write("imagine_math", "student_progress_3_plus", tmp_path / "parts")
    assert all(part.rows == part.pages and part.rows <= 2 for part in parts)
    assert sum(part.rows for part in parts) == sum(receipt.rows for receipt in whole)
    names = {part.file for part in parts}
    assert {receipt.file for receipt in whole} <= {*names, index.file} and len(names) == len(parts) > len(whole) - 1
    lines = (tmp_path / "parts" / index.file).read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 1 + len(parts) and any("+2.pdf" in line for line in lines)


def test_a_file_with_fewer_pages_than_rows_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "pages_in", lambda target: 0)
    with pytest.raises(ProofFailed, match=r"\.pdf has 0 pages; its rows need \d+"):
        world.write("imagine_math", "student_progress_3_plus", tmp_path)


def test_a_file_that_is_not_what_was_written_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "read_back", lambda target: ("0" * 64, 1))
    with pytest.raises(ProofFailed, match=r"school_summary.pdf is not the file that was written"):
        world.write("hero", "school_summary", tmp_path)


def test_every_printed_report_has_a_template() -> None:
    for report in PRINTED.values():
        assert (Path(printed.__file__).parent / f"{report.template}.typ").is_file()
        assert replace(report) == report and isinstance(report, Report)
    assert set(PRINTED) == set(ROWS) and reports_of("hero")["school_summary"].page_per_row

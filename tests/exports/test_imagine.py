"""The reports of the Imagine products, counted again from the tables and read by other libraries."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from textwrap import wrap
from typing import Any

import openpyxl
import pypdfium2
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from rollover.exports import reports_of
from rollover.exports.index import write
from rollover.exports.report import Kind
from tests.exports.conftest import YEAR, World

PRODUCTS = ["imagine_math", "imagine_math_facts"]
OPERATIONS = ("Addition", "Subtraction", "Multiplication", "Division")


def sheet_of(world: World, folder: Path, product: str) -> Worksheet:
    (receipt,) = world.write(product, "student_data_export", folder)
    sheet = openpyxl.load_workbook(folder / receipt.file).active
    assert isinstance(sheet, Worksheet)
    assert sheet.max_row == 1 + receipt.rows
    return sheet


def recount(world: World, product: str) -> dict[str, dict[str, Any]]:
    """What the export should say of each account, from the tables alone."""
    people = world.people(product)
    by_account: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    tables = ["usage", "progress", "assessments", "classroom_students"]
    tables += ["pathways", "think_points"] if product == "imagine_math" else []
    for table in tables:
        for row in world.rows(f"{product}.{table}"):
            by_account[row["account_id"]][table].append(row)
    rooms = {row["classroom_id"]: row["name"] for row in world.rows(f"{product}.classrooms")}
    found = {}
    for account in world.rows(f"{product}.student_accounts"):
        of = by_account[account["account_id"]]
        person, weeks = people[account["person_id"]], [row["week_of"] for row in of["usage"]]
        tests = sorted(of["assessments"], key=lambda row: (row["taken_on"], row["assessment_id"]))
        scores = [row["average_score"] for row in of["progress"] if row["average_score"] is not None]
        said: dict[str, Any] = {
            "School": world.schools()[account["school_id"]],
            "Account": account["account_id"],
            "Last name": person["family_name"],
            "First name": person["given_name"],
            "Grade": account["grade"],
            "Classrooms": ", ".join(sorted(rooms[row["classroom_id"]] for row in of["classroom_students"])) or None,
            "First week": min(weeks, default=None),
            "Last week": max(weeks, default=None),
            "Weeks active": len(weeks) or None,
            "Minutes": sum(row["minutes"] for row in of["usage"]) if weeks else None,
            "Problems": sum(row["problems"] for row in of["usage"]) if weeks else None,
            "Lessons assigned": sum(row["lessons_assigned"] for row in of["progress"]),
            "Lessons passed": sum(row["lessons_passed"] for row in of["progress"]),
            "Average score": sum(scores) / len(scores) if scores else None,
            "First score": tests[0]["score"] if tests else None,
            "Last score": tests[-1]["score"] if tests else None,
            "Growth": tests[-1]["score"] - tests[0]["score"] if tests else None,
        }
        test = "test" if product == "imagine_math" else "check"
        said |= {f"First {test}": tests[0]["taken_on"] if tests else None, f"{test.title()}s taken": len(tests) or None}
        said |= {f"Last {test}": tests[-1]["taken_on"] if tests else None}
        if product == "imagine_math":
            said |= {
                "Grade band": account["band"],
                "Pathways": ", ".join(sorted(row["pathway"] for row in of["progress"])),
                "Pathways assigned": len(of["pathways"]),
                "Pathways completed": sum(row["completed_on"] is not None for row in of["pathways"]),
                "THINK Points": of["think_points"][0]["points"] if of["think_points"] else None,
            }
        else:
            here = {row["pathway"]: row for row in of["progress"]}
            for name in OPERATIONS:
                said[f"{name} lessons passed"] = here[name]["lessons_passed"] if name in here else None
                said[f"{name} score"] = here[name]["average_score"] if name in here else None
        found[account["account_id"]] = said
    return found


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_data_export_says_what_the_tables_hold(world: World, tmp_path: Path, product: str) -> None:
    rows = sheet_of(world, tmp_path, product).iter_rows(values_only=True)
    header = [str(name) for name in next(rows)]
    expected = recount(world, product)
    assert header == list(reports_of(product)["student_data_export"].columns)
    assert set(header) == set(next(iter(expected.values())))
    said = {row[header.index("Account")]: dict(zip(header, row, strict=True)) for row in rows}
    assert said.keys() == expected.keys() and len(said) > 90
    for account, cells in said.items():
        for name, value in expected[account].items():
            cell = cells[name].date() if isinstance(cells[name], datetime) else cells[name]
            if isinstance(value, Decimal):
                assert cell == pytest.approx(float(value), abs=0.0051), name
            else:
                assert cell == value, name


@pytest.mark.parametrize("product", PRODUCTS)
def test_cells_have_real_types_and_the_sheet_is_ready_to_use(world: World, tmp_path: Path, product: str) -> None:
    sheet = sheet_of(world, tmp_path, product)
    columns = reports_of(product)["student_data_export"].columns
    types = {Kind.TEXT: str, Kind.WHOLE: int, Kind.NUMBER: (int, float), Kind.DATE: datetime}
    for n, (name, kind) in enumerate(columns.items(), start=1):
        cells = [sheet.cell(row, n) for row in range(2, sheet.max_row + 1)]
        filled = [cell for cell in cells if cell.value is not None]
        assert filled, name
        assert all(isinstance(cell.value, types[kind]) for cell in filled), name
        if kind is Kind.DATE:
            assert {cell.number_format for cell in filled} == {"yyyy-mm-dd"}
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(sheet.max_row, sheet.max_column).coordinate}"
    schools = [str(sheet.cell(row, 1).value) for row in range(2, sheet.max_row + 1)]
    assert max(map(len, schools)) + 2 < sheet.column_dimensions["A"].width < 42
    assert (sheet.page_setup.orientation, sheet.print_title_rows) == ("landscape", "$1:$1")
    assert (sheet.sheet_properties.pageSetUpPr.fitToPage, sheet.page_setup.fitToHeight) == (True, 0)
    groups = [group for group in sheet.column_dimensions.values() if group.min]
    widths = {n: group.width for group in groups for n in range(group.min, group.max + 1)}
    for n, name in enumerate(columns, start=1):
        width = widths[n]
        assert max(map(len, name.split())) < width, f"a word of '{name}' is broken"
        assert sheet.row_dimensions[1].height >= 15 * len(wrap(name, int(width) - 1)), f"'{name}' is cut"


def test_a_name_like_a_formula_is_text(world: World, tmp_path: Path) -> None:
    sheet = sheet_of(world, tmp_path, "imagine_math_facts")
    risky = [cell for row in sheet.iter_rows(2) for cell in row if str(cell.value).startswith("=")]
    assert {(cell.value, cell.data_type, cell.quotePrefix) for cell in risky} == {("=1+1", "s", True)}


def pages_of(folder: Path, file: str) -> list[str]:
    """The text of each page, as a reader of PDF sees it."""
    document = pypdfium2.PdfDocument(folder / file)
    return [page.get_textpage().get_text_range() for page in document]


def progress(world: World, folder: Path, report: str) -> dict[str, list[str]]:
    *receipts, index = world.write("imagine_math", report, folder)
    assert index.file == f"{report}/index.csv"
    found = {receipt.file: pages_of(folder, receipt.file) for receipt in receipts}
    assert {receipt.file: receipt.pages for receipt in receipts} == {file: len(pages) for file, pages in found.items()}
    assert all(receipt.rows == receipt.pages for receipt in receipts)
    return found


def test_each_young_student_has_a_page_in_the_file_of_the_classroom(world: World, tmp_path: Path) -> None:
    files = progress(world, tmp_path, "student_progress_prek_2")
    people = world.people("imagine_math")
    accounts = {a["account_id"]: a for a in world.rows("imagine_math.student_accounts") if a["band"] == "PreK-2"}
    rooms = defaultdict(list)
    for member in world.rows("imagine_math.classroom_students"):
        if member["account_id"] in accounts:
            rooms[f"student_progress_prek_2/{member['school_id']}/{member['classroom_id']}.pdf"].append(
                people[accounts[member["account_id"]]["person_id"]]
            )
    seated = {m["account_id"] for m in world.rows("imagine_math.classroom_students")}
    assert {file for file in files if "without-classroom" not in file} == set(rooms)
    assert sum(map(len, files.values())) == sum(map(len, rooms.values())) + len(accounts.keys() - seated)
    for file, students in rooms.items():
        students.sort(key=lambda person: (person["family_name"], person["given_name"]))
        for person, page in zip(students, files[file], strict=True):
            assert f"{person['given_name']} {person['family_name']}" in page
            assert "lessons passed" in page and "THINK" not in page


def test_an_older_student_has_a_page_for_each_pathway(world: World, tmp_path: Path) -> None:
    files = progress(world, tmp_path, "student_progress_3_plus")
    upper = {a["account_id"]: a for a in world.rows("imagine_math.student_accounts") if a["band"] == "3+"}
    seats = defaultdict(list)
    for member in world.rows("imagine_math.classroom_students"):
        seats[member["account_id"]].append(member["classroom_id"])
    people = world.people("imagine_math")
    expected = defaultdict(list)
    for row in world.rows("imagine_math.progress"):
        if row["account_id"] in upper:
            person = people[upper[row["account_id"]]["person_id"]]
            for room in seats.get(row["account_id"]) or ["without-classroom"]:
                file = f"student_progress_3_plus/{row['school_id']}/{room}.pdf"
                expected[file].append((person["given_name"], person["family_name"], row["pathway"]))
    assert files.keys() == expected.keys()
    several = 0
    for file, pages in files.items():
        several += len(pages) > len({name[:2] for name in expected[file]})
        ordered = sorted(expected[file], key=lambda names: (names[1], names[0], names[2]))
        for (given, family, pathway), page in zip(ordered, pages, strict=True):
            assert f"{given} {family}" in page and pathway in page and "THINK Points" in page
    assert several, "some student is on several pathways"


def test_students_without_a_classroom_have_a_file_of_their_own(world: World, tmp_path: Path) -> None:
    """Of a past year nothing but the activity is left: no account, no classroom, no name."""
    receipts = world.write("imagine_math", "student_progress_3_plus", tmp_path, is_current=False)
    assert [receipt.file for receipt in receipts] == [
        *(f"student_progress_3_plus/{school}/without-classroom.pdf" for school in ("10", "20")),
        "student_progress_3_plus/index.csv",
    ]


def test_an_index_tells_which_file_is_which_classroom(world: World, tmp_path: Path) -> None:
    *receipts, index = world.write("imagine_math", "student_progress_prek_2", tmp_path)
    assert (index.rows, index.pages) == (0, None)
    with (tmp_path / index.file).open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.DictReader(stream))
    rooms = {room["classroom_id"]: room["name"] for room in world.rows("imagine_math.classrooms")}
    folder = (tmp_path / index.file).parent
    assert {line["file"] for line in lines} == {str(path.relative_to(folder)) for path in folder.rglob("*.pdf")}
    for line, receipt in zip(lines, receipts, strict=True):
        assert receipt.file.endswith(line["file"]) and line["pages"] == str(receipt.pages)
        assert line["classroom"] == rooms.get(Path(line["file"]).stem, "")
        assert line["school"] == "Ash Elementary" and line["teacher"]


def test_no_cell_of_an_index_is_a_formula() -> None:
    stream = io.BytesIO()
    entries = [
        ("10/a.pdf", 3, {"school": "=1+1", "classroom": "@5A", "teacher": None}),
        ("10/b.pdf", 1, {"school": "B", "classroom": "-", "teacher": "Ñ"}),
    ]
    assert write(stream, entries) == 2
    said = stream.getvalue().decode("utf-8-sig").splitlines()
    assert said == ["file,school,classroom,teacher,pages", "10/a.pdf,'=1+1,'@5A,,3", "10/b.pdf,B,'-,Ñ,1"]


@pytest.mark.parametrize("report", ["student_progress_prek_2", "student_progress_3_plus"])
def test_a_blank_printed_report_says_so(world: World, tmp_path: Path, report: str) -> None:
    (receipt,) = world.write("imagine_math", report, tmp_path, year=YEAR.next.key, is_current=False)
    assert (receipt.file, receipt.rows, receipt.pages) == (f"{report}.pdf", 0, 1)
    assert "Nothing to report" in pages_of(tmp_path, receipt.file)[0]

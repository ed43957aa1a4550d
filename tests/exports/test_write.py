"""Files are written whole or not at all, counted again, and the same rows give the same file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest
from sqlalchemy import text
from upath import UPath

from rollover import cli
from rollover.database.session import tenant_session
from rollover.errors import ProofFailed
from rollover.exports import REPORTS, Report, Scope, csv_file, reports_of
from rollover.exports.report import Kind, columns
from rollover.exports.write import file_safe, write_report
from rollover.storage import read_back
from tests.exports.conftest import AS_OF, YEAR, ZONE, World
from tests.support.small_district import everything

SCOPE = Scope(YEAR.key, True, ZONE.key, "Maple Schools", AS_OF)


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report.product}-{report.name}")
def test_a_definition_names_the_columns_that_its_query_gives(world: World, report: Report) -> None:
    kinds = {
        Kind.TEXT: {"text"},
        Kind.WHOLE: {"integer", "bigint", "numeric"},
        Kind.NUMBER: {"numeric"},
        Kind.DATE: {"date"},
        Kind.TIME: {"time without time zone"},
        Kind.LIST: {"jsonb"},
    }
    with tenant_session(world.engine, f"{report.product}__maple") as connection:
        driver = connection.connection.driver_connection
        found = driver.execute(report.query, SCOPE.parameters).description
        names = [column.name for column in found]
        types = [
            connection.scalar(text("SELECT format_type(:oid, NULL)"), {"oid": column.type_code}) for column in found
        ]
    expected = report.columns
    assert set(expected) <= set(names)
    if report.format != "pdf":
        assert list(expected) == names
    for name, kind in zip(names, types, strict=True):
        if name in expected:
            assert kind.split("(")[0] in kinds[expected[name]], name


@pytest.mark.parametrize(
    ("product", "report"), [("hero", "tardies"), ("hero", "school_summary"), ("imagine_math", "student_data_export")]
)
def test_a_receipt_is_of_the_file_that_lies_there_and_again_the_same(
    world: World, tmp_path: Path, product: str, report: str
) -> None:
    first = world.write(product, report, tmp_path)
    assert [read_back(UPath(r.path)) for r in first] == [(r.sha256, r.bytes) for r in first]
    assert [r.sha256 for r in world.write(product, report, tmp_path)] == [r.sha256 for r in first]
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


def test_a_file_that_holds_less_than_was_written_is_refused(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_file, "rows_in", lambda target, report: 3)
    with pytest.raises(ProofFailed, match=r"tardies.csv has 3 rows, the database \d+"):
        world.write("hero", "tardies", tmp_path)


@pytest.mark.parametrize(("product", "report"), [("hero", "tardies"), ("hero", "school_summary")])
def test_a_report_that_breaks_off_leaves_the_older_file(
    world: World, tmp_path: Path, product: str, report: str
) -> None:
    (receipt,) = world.write(product, report, tmp_path)
    before = Path(receipt.path).read_bytes()
    broken = replace(reports_of(product)[report], sql="hero/schoolwide_points", columns=columns("no_such_column"))
    with pytest.raises(Exception, match=r"no_such_column|UndefinedColumn|school_summary.typ:\d+"):  # noqa: SIM117
        with tenant_session(world.engine, f"{product}__maple", isolation="REPEATABLE READ") as connection:
            write_report(connection, broken, SCOPE, UPath(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {receipt.file}
    assert Path(receipt.path).read_bytes() == before


def test_ids_make_file_names_that_stay_below_the_folder_and_apart() -> None:
    assert file_safe("C-10.a_1") == "C-10.a_1"
    risky = ["../../x", "a/b", "a b", "a?b", "", ".hidden", "é", "x" * 300, "y" * 300]
    names = [file_safe(value) for value in risky]
    assert len(set(names)) == len(risky)
    assert all("/" not in name and not name.startswith(".") and 0 < len(name) < 100 for name in names)


def test_the_schoolwide_points_are_printed_for_each_school_with_all_students(world: World, tmp_path: Path) -> None:
    files = {receipt.file: receipt for receipt in world.write("hero", "schoolwide_points_printed", tmp_path)}
    names = {"10.pdf", "20.pdf", "index.csv"}
    assert set(files) == {f"schoolwide_points_printed/{name}" for name in names}
    entries = [row for row in world.rows("hero.points_ledger") if row["kind"] != "reset"]
    people = world.people("hero")
    for school in ("10", "20"):
        pages = list(pypdfium2.PdfDocument(tmp_path / f"schoolwide_points_printed/{school}.pdf"))
        said = "\n".join(page.get_textpage().get_text_range() for page in pages)
        ours = [entry for entry in entries if entry["school_id"] == school]
        students = {entry["student_id"] for entry in ours}
        assert files[f"schoolwide_points_printed/{school}.pdf"].rows == len(students)
        assert f"{sum(entry['points'] for entry in ours if entry['kind'] == 'earned'):,}" in said
        for student in students:
            person = people.get(student)
            assert (f"{person['family_name']}, {person['given_name']}" if person else student) in said


def test_the_command_writes_reports_and_changes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    districts = tmp_path / "districts"
    districts.mkdir()
    (districts / "maple.yaml").write_text(
        """
district: maple
name: Maple Schools
time_zone: America/Chicago
org_sourced_id: maple-org
sftp_connection: none
products:
  hero: {first_school_year: 2025-26, folder: /maple/hero, roster_import: nightly}
"""
    )
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(districts))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", world.engine.url.render_as_string(hide_password=False))
    before = everything(world.owner, "hero__maple", ["hero", "roster", "ledger"])
    call = ["export", "hero__maple", YEAR.key, "--out", str(tmp_path / "out")]
    assert cli.main([*call, "--report", "tardies", "--report", "school_summary"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"tardies.csv", "school_summary.pdf"}
    assert "school_summary.pdf" in capsys.readouterr().out
    assert cli.main([*call, "--report", "tardis"]) == 2
    assert "did you mean 'tardies'?" in capsys.readouterr().err
    assert everything(world.owner, "hero__maple", ["hero", "roster", "ledger"]) == before
    assert cli.main(call) == 0
    names = {report.name for report in reports_of("hero").values()}
    assert {path.stem for path in (tmp_path / "out").iterdir()} == names

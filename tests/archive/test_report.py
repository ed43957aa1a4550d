"""A report of an archived year is the file that was made when the year was live."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import openpyxl
import pytest
from sqlalchemy import Engine, delete, update
from upath import UPath

from rollover.archive.keys import Keys
from rollover.archive.report import ArchivedReport, tables_of_report, write_archived_report
from rollover.archive.tables import PEOPLE, SCHOOLS, archived_tables, settings_tables
from rollover.database.tables import directory, hero, roster
from rollover.errors import Refused
from rollover.exports import REPORTS, reports_of
from rollover.exports.printed import pages_in
from rollover.lint import load_catalog
from rollover.run import Run
from rollover.yearend import steps
from tests.archive.conftest import run_for, until_archived
from tests.support.sampling import others_slow
from tests.support.small_district import PRODUCTS, YEAR, everything, hero_world, run_of
from tests.yearend.test_rollover_steps import HERO


def live(run: Run, name: str) -> Path:
    return Path(run.storage.path) / "exports" / run.tenant.product / "riverside-ca" / "2025-26" / name


def life_goes_on(owner: Engine, run: Run) -> None:
    """A year later: codes, schools and people are others, and next year's rows are there."""
    with owner.begin() as connection:
        connection.execute(update(hero.behavior_codes).values(name="Renamed", kind="negative"))
        connection.execute(update(hero.action_settings).values(name="Other"))
        connection.execute(update(directory.schools).values(name="Merged School"))
        connection.execute(update(roster.people).values(family_name="Married", grade="06"))
        connection.execute(delete(roster.people).where(roster.people.c.sourced_id == "n2"))


@pytest.mark.parametrize("name", others_slow(sorted(reports_of("hero"))))
def test_a_report_is_the_same_byte_for_byte(run: Run, owner: Engine, tmp_path: Path, name: str) -> None:
    until_archived(run)
    steps.erase(run)
    steps.reset(run)
    life_goes_on(owner, run)
    before = everything(owner, HERO, ["hero", "roster", "ledger"])
    report = reports_of("hero")[name]
    receipts = write_archived_report(
        run.engine, run.tenant, YEAR, report, run.district, UPath(tmp_path / "again"), Keys(None)
    )
    assert receipts
    for receipt in receipts:
        exported = live(run, receipt.file)
        if receipt.pages is not None:  # it says when it is of
            assert (receipt.pages, receipt.rows) == (pages_in(UPath(exported)), receipt.rows)
        else:
            assert (tmp_path / "again" / receipt.file).read_bytes() == exported.read_bytes()
    rows = sum(receipt.rows for receipt in receipts)
    assert rows == {"behavior_history": 20, "schoolwide_points": 5}.get(name, rows)
    assert everything(owner, HERO, ["hero", "roster", "ledger"]) == before, "nothing live was touched"


def test_of_a_school_that_was_erased_nothing_is_reported(
    owner: Engine, engine: Engine, storage: UPath, tmp_path: Path
) -> None:
    hero_world(owner)
    run = run_of(engine, storage)
    until_archived(run)
    steps.erase(run)
    report = reports_of("hero")["behavior_history"]
    write_archived_report(engine, run.tenant, YEAR, report, run.district, UPath(tmp_path), Keys(None))

    def lines(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return list(csv.DictReader(stream))

    of_north = [line for line in lines(live(run, "behavior_history.csv")) if line["school"] == "North School"]
    assert lines(tmp_path / "behavior_history.csv") == of_north and len(of_north) == 12


@pytest.mark.parametrize("product", others_slow(["imagine_math", "imagine_math_facts"]))
def test_a_sheet_has_the_same_cells(
    product: str, owner: Engine, engine: Engine, storage: UPath, tmp_path: Path
) -> None:
    run = run_for(product, owner, engine, storage)
    until_archived(run)
    steps.erase(run)
    with owner.begin() as connection:
        connection.execute(update(roster.people).values(family_name="Married"))
    report = reports_of(product)["student_data_export"]
    write_archived_report(engine, run.tenant, YEAR, report, run.district, UPath(tmp_path), Keys(None))
    target = tmp_path / "student_data_export.xlsx"

    def cells(path: Path) -> list[tuple[object, ...]]:
        return list(openpyxl.load_workbook(path).worksheets[0].iter_rows(values_only=True))

    as_exported = live(run, "student_data_export.xlsx")
    assert cells(target) == cells(as_exported) and len(cells(target)) == 6
    assert target.read_bytes() == as_exported.read_bytes()


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: f"{report.product}-{report.name}")
def test_a_report_reads_nothing_live(report: ArchivedReport) -> None:
    own = {field.name: getattr(report, field.name) for field in fields(report)}
    query = ArchivedReport(**own).query
    read = tables_of_report(report)
    assert len(read) >= 3 and query.count("pg_temp.") >= len(read)
    assert not tables_of_report(ArchivedReport(**own))


@pytest.mark.parametrize("report", [report for report in REPORTS if report.product == "hero"], ids=lambda r: r.name)
def test_the_archive_holds_what_each_report_of_its_product_reads(report: ArchivedReport) -> None:
    product = load_catalog(Path("/nonexistent"), PRODUCTS).products[report.product]
    held = {table.fullname for table in (*archived_tables(product), *settings_tables(product), PEOPLE, SCHOOLS)}
    assert tables_of_report(report) <= held


def test_what_the_archive_does_not_hold_is_refused(run: Run, tmp_path: Path) -> None:
    until_archived(run)
    other = reports_of("imagine_math")["student_data_export"]
    with pytest.raises(Refused, match=r"reads imagine_math\.assessments, .*which the archive does not hold"):
        write_archived_report(run.engine, run.tenant, YEAR, other, run.district, UPath(tmp_path / "no"), Keys(None))
    assert not (tmp_path / "no").exists()

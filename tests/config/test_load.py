"""A wrong file is refused with file, line, field, reason and the nearest right name; the others load."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from rollover.cli import main
from rollover.config import Catalog, RosterLimits
from rollover.lint import CatalogCache, load_catalog
from rollover.season.readiness import METADATA_URL
from rollover.settings import HOME
from tests.support.district_file import DISTRICT

PRODUCTS = HOME / "include" / "products"
EXAMPLE = HOME / "include" / "districts" / "example.yaml.txt"
GOOD = """\
district: {name}
name: A District
time_zone: America/Chicago
org_sourced_id: org-{name}
sftp_connection: district_sftp
school_years:
  2025-26: {{ends: 2026-06-05, summer_session_ends: 2026-07-24, rostering_begins: 2026-08-10}}
products:
  imagine_math:
    first_school_year: 2025-26
    folder: /{name}/imagine-math
    roster_format: oneroster_1_1
    roster_import: nightly
    reset_dates: {{2025-26: 2026-07-30}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good-tx.yaml").write_text(GOOD.format(name="good-tx"))
    (tmp_path / "bad-tx.yaml").write_text(GOOD.format(name="bad-tx"))
    return tmp_path


def load_with(folder: Path, old: str, new: str) -> Catalog:
    path = folder / "bad-tx.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return load_catalog(folder, PRODUCTS)


def test_right_files_load(folder: Path) -> None:
    catalog = load_catalog(folder, PRODUCTS)
    assert catalog.problems == ()
    assert [tenant.id for tenant in catalog.tenants] == ["imagine_math__bad-tx", "imagine_math__good-tx"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "folder:",
            "fodler:",
            "bad-tx.yaml:11: products.imagine_math.fodler: is not a known key Did you mean 'folder'?",
        ),
        (
            "time_zone:",
            "students: 3000000000\ntime_zone:",
            "students: Input should be less than or equal to 10000000",
        ),
        ("nightly", "nightl", ":13: products.imagine_math.roster_import: 'nightl' is not one of"),
        ("oneroster_1_1", "oneroster_1_3", ":12: products.imagine_math.roster_format: 'oneroster_1_3' is not one of"),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    roster_limits: {new_year: {fewer_in_schools: 0.2}}",
            "roster_limits.new_year.fewer_in_schools: is not a known key Did you mean 'fewer_in_a_school'?",
        ),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    roster_limits: {during_the_year: {removed: {students: 10}}}",
            "roster_limits.during_the_year.removed.students: Input should be less than or equal to 1",
        ),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    column_map: {users.csv: grades}",
            "column_map.users.csv: Input should be a valid dictionary",
        ),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    column_map: {users: {grades: Grade Level}}",
            "column_map.users: 'users' is not one of academicSessions.csv",
        ),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    column_map: {users.csv: {grade: Grade Level}}",
            "column_map.users.csv.grade: 'grade' is not one of agentSourcedIds",
        ),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    column_map: {users.csv: {password: Login code}}",
            "column_map.users.csv.password: 'password' is not one of",
        ),
        ("roster_import: nightly", "roster_import: nightly\n    grace_days: 0", "grace_days: Input should be greater"),
        (
            "roster_import: nightly",
            "roster_import: nightly\n    archive_kept_years: 0",
            "bad-tx.yaml:14: products.imagine_math.archive_kept_years: '0' is neither a number of years",
        ),
        ("imagine_math:", "imagine_maths:", ":9: products.imagine_maths: 'imagine_maths' is not one of"),
        ("2025-26: 2026-07-30", "2025-26: 2026-06-18", "2026-06-18 is before 2026-06-19"),
        ("2025-26: 2026-07-30", "2025-26: 2026-07-32", "bad-tx.yaml:14: products.imagine_math.reset_dates.2025-26"),
        ("2025-26: 2026-07-30", "2025-26: next week", "'next week' is not a date like 2026-07-28"),
        ("2025-26: 2026-07-30", "2025-27: 2026-07-30", "'2025-27' is not a school year"),
        ("2025-26: 2026-07-30", "2025-26: 2026-08-10", "when rostering of 2026-27 begins"),
        ("2025-26: 2026-07-30", "2025-26: 2026-07-24", "not after 2026-07-24, the last day of the summer session"),
        ("America/Chicago", "America/Chicaco", ":3: time_zone: 'America/Chicaco' is not an IANA time zone"),
        ("district: bad-tx", "district: other-tx", ":1: district: is not the file's name, 'bad-tx'"),
        ("org_sourced_id: org-bad-tx\n", "", "lacks the key 'org_sourced_id'"),
        ("name: A District", "name: A District\nname: B", "bad-tx.yaml:3: name: is there twice, first in line 2"),
        ("products:", "products: [", "is not readable as YAML"),
        ("/bad-tx/imagine-math", "/good-tx/imagine-math", "'/good-tx/imagine-math' is claimed by good-tx.yaml"),
        (
            "first_school_year: 2025-26",
            "first_school_year: 2025-26\n    last_school_year: 2024-25",
            "is before 2025-26",
        ),
    ],
)
def test_what_is_wrong_is_said_and_the_others_load(folder: Path, old: str, new: str, said: str) -> None:
    catalog = load_with(folder, old, new)
    assert any(said in str(problem) for problem in catalog.problems), [str(p) for p in catalog.problems]
    assert list(catalog.districts) == ["good-tx"]


@pytest.mark.parametrize(
    "folder_of_bad",
    ["/bad-tx/../good-tx/imagine-math", "/good-tx//imagine-math", "/good-tx/imagine-math/outbox", "/good-tx", "/."],
)
def test_no_folder_leads_into_another_districts(folder: Path, folder_of_bad: str) -> None:
    catalog = load_with(folder, "/bad-tx/imagine-math", folder_of_bad)
    assert list(catalog.districts) == ["good-tx"], [str(p) for p in catalog.problems]


def test_two_files_of_one_district_are_both_refused(folder: Path) -> None:
    (folder / "bad-tx.yml").write_text((folder / "bad-tx.yaml").read_text())
    catalog = load_catalog(folder, PRODUCTS)
    assert sum("has a twin" in str(problem) for problem in catalog.problems) == 2
    assert list(catalog.districts) == ["good-tx"]


def test_two_that_claim_a_folder_of_neither_are_both_refused(folder: Path) -> None:
    for name in ("good-tx", "bad-tx"):
        path = folder / f"{name}.yaml"
        path.write_text(path.read_text().replace(f"/{name}/", "/shared/"))
    catalog = load_catalog(folder, PRODUCTS)
    assert len(catalog.problems) == 2 and not catalog.districts


ALL_REPORTS = "reports: [student_data_export, student_progress_prek_2, student_progress_3_plus]"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  avatars:\n", "  avatar:\n", "has no rule for 'avatars'"),
        ("  avatars:\n", "  avatar:\n", "data_classes.avatar: is a data class of no table Did you mean 'avatars'?"),
        ("action: keep", "action: archive_or_erase", "has no school year"),
        ("action: keep", "action: kep", "'kep'"),
        ("action: erase", "action: reset", "belongs to a school year: archive or erase it"),
        (ALL_REPORTS, "reports: []", "at least 1 item"),
        (ALL_REPORTS, "reports: [students]", "'students' is not a report of imagine_math"),
        ("default_to: 07-28", "default_to: 07-32", "default_to"),
        ("least_rows: 10", "least_rows: 0", "roster_limits.least_rows: Input should be greater than or equal to 1"),
        ("graduates: 0.10", "graduate: 0.10", "is not a known key Did you mean 'graduates'?"),
    ],
)
def test_a_wrong_product_file_refuses_its_tenants_and_no_others(
    folder: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    products = tmp_path / "products"
    shutil.copytree(PRODUCTS, products)
    path = products / "imagine_math.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    other = folder / "other-tx.yaml"
    other.write_text(GOOD.format(name="other-tx").replace("imagine_math:", "hero:"))
    catalog = load_catalog(folder, products)
    assert any(said in str(problem) for problem in catalog.problems), [str(p) for p in catalog.problems]
    assert [tenant.id for tenant in catalog.tenants] == ["hero__other-tx"]


def limits_in(name: str) -> RosterLimits:
    return load_catalog(Path("/nonexistent"), PRODUCTS).products[name].roster_limits


@pytest.mark.parametrize("name", ["hero", "imagine_math", "imagine_math_facts"])
def test_a_product_file_writes_out_every_limit(name: str) -> None:
    def written(limits: BaseModel) -> None:
        assert limits.model_fields_set == set(type(limits).model_fields)
        for field in type(limits).model_fields:
            if isinstance(value := getattr(limits, field), BaseModel):
                written(value)

    written(limits_in(name))
    assert limits_in(name) == RosterLimits(), "the defaults in the code are those that are documented"


def test_a_district_changes_single_limits_and_the_others_stay(folder: Path) -> None:
    path = folder / "good-tx.yaml"
    own = "{least_rows: 5, during_the_year: {removed: {classes: 1.0, enrollments: 0.9}}, new_year: {graduates: 0.2}}"
    path.write_text(path.read_text() + f"    roster_limits: {own}\n    grace_days: 45\n")
    catalog = load_catalog(folder, PRODUCTS)
    assert catalog.problems == ()
    product, tenant = catalog.products["imagine_math"], catalog.districts["good-tx"].products["imagine_math"]
    limits, shipped = product.limits_of(tenant), product.roster_limits
    assert (limits.least_rows, limits.new_year.graduates) == (5, 0.2)
    removed = limits.during_the_year.removed
    assert (removed.classes, removed.enrollments, removed.students) == (
        1.0,
        0.9,
        shipped.during_the_year.removed.students,
    )
    assert limits.during_the_year.changed == shipped.during_the_year.changed
    assert limits.new_year.model_copy(update={"graduates": 0.1}) == shipped.new_year
    assert (product.grace_days_of(tenant), product.pause_max_days_of(tenant)) == (45, 30)
    other = catalog.districts["bad-tx"].products["imagine_math"]
    assert product.limits_of(other) == shipped and product.grace_days_of(other) == 90


def test_the_format_may_be_left_to_the_files(folder: Path) -> None:
    path = folder / "good-tx.yaml"
    text = path.read_text().replace("    roster_format: oneroster_1_1\n", "")
    path.write_text(text + "    column_map: {users.csv: {grades: Grade Level, email: E-mail}}\n")
    tenant = load_catalog(folder, PRODUCTS).districts["good-tx"].products["imagine_math"]
    assert tenant.roster_format is None
    assert tenant.column_map == {"users.csv": {"grades": "Grade Level", "email": "E-mail"}}


def test_the_shipped_example_is_right_but_not_active(tmp_path: Path) -> None:
    districts = HOME / "include" / "districts"
    assert load_catalog(districts, PRODUCTS).tenants == ()
    shutil.copy(districts / "example.yaml.txt", tmp_path / "springfield-il.yaml")
    catalog = load_catalog(tmp_path, PRODUCTS)
    assert catalog.problems == () and len(catalog.tenants) == 2


def test_lint_says_it_and_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    monkeypatch.delenv(METADATA_URL, raising=False)  # tests of DAGs set it
    assert main(["lint"]) == 0
    assert "2 districts, 2 tenants, 3 products: no problems" in capsys.readouterr().out
    load_with(folder, "folder:", "fodler:")
    assert main(["lint"]) == 1
    assert "Did you mean 'folder'?" in capsys.readouterr().out


def many(folder: Path, count: int) -> Path:
    """A folder with so many district files, each with its own folders on one server."""
    districts = folder / "many"
    districts.mkdir()
    example = EXAMPLE.read_text()
    for number in range(count):
        name = f"district-{number}-il"
        (districts / f"{name}.yaml").write_text(example.replace("springfield-il", name))
    return districts


def test_the_cost_of_a_file_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """2,000 files were 33 s: each was compared with every other, and each read the time zones again."""
    districts = many(tmp_path, 400)
    load_catalog(districts, PRODUCTS, only="district-1-il")  # imports, and what is read once
    seconds = []
    for count in (100, 400):
        for path in sorted(districts.iterdir())[count:]:
            path.rename(path.with_suffix(".off"))
        tries = []
        for _ in range(3):  # the best of them: beside other work, one may take twice as long
            begun = time.process_time()
            catalog = load_catalog(districts, PRODUCTS)
            tries.append((time.process_time() - begun) / count)
            assert (len(catalog.districts), catalog.problems) == (count, ())
        seconds.append(min(tries))
        for path in districts.glob("*.off"):
            path.rename(path.with_suffix(".yaml"))
    assert seconds[1] < 2 * seconds[0] and seconds[1] < 0.01


def test_a_task_reads_the_file_of_its_district_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    districts = many(tmp_path, 3)
    (districts / "broken.yaml").write_text("{")
    read: list[str] = []
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, **given: read.append(path.name) or real(path, **given))
    listed: list[Path] = []
    for name in ("glob", "iterdir"):  # also to list thousands of files takes longer than to read one
        lists = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda path, *given, of=lists: listed.append(path) or of(path, *given))
    catalog = load_catalog(districts, PRODUCTS, only="district-1-il")
    assert list(catalog.districts) == ["district-1-il"] and catalog.problems == ()
    assert districts not in listed and listed
    assert [name for name in read if name.startswith(("district", "broken"))] == ["district-1-il.yaml"]


def test_folders_within_folders_are_refused_in_any_order(tmp_path: Path) -> None:
    districts = many(tmp_path, 2)
    outer = districts / "district-0-il.yaml"
    outer.write_text(outer.read_text().replace("/district-0-il/hero", "/shared"))
    inner = districts / "district-1-il.yaml"
    inner.write_text(inner.read_text().replace("/district-1-il/hero", "/shared/a/b"))
    said = [str(problem) for problem in load_catalog(districts, PRODUCTS).problems]
    assert len(said) == 2 and all("is claimed by" in problem for problem in said)


def test_a_server_reads_the_files_again_when_one_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CatalogCache(tmp_path, PRODUCTS)
    monkeypatch.setattr(cache, "LOOK_SECONDS", -1.0)
    empty = cache.get()
    assert cache.get() is empty and not empty.districts
    file = tmp_path / "riverside-ca.yaml"
    file.write_text(DISTRICT)
    added = cache.get()
    assert set(added.districts) == {"riverside-ca"}
    assert cache.get() is added
    file.write_text(DISTRICT.replace("name: Riverside", "name: Riverside County"))
    assert cache.get().districts["riverside-ca"].name == "Riverside County"
    monkeypatch.setattr(cache, "LOOK_SECONDS", 60.0)
    file.unlink()
    assert set(cache.get().districts) == {"riverside-ca"}  # it has looked less than a minute ago
    monkeypatch.setattr(cache, "LOOK_SECONDS", -1.0)
    assert not cache.get().districts

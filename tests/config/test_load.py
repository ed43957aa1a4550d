"""A wrong file is refused with file, line, field, reason and the nearest right name; the others load."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rollover.cli import main
from rollover.config import Catalog, load_catalog
from rollover.settings import HOME

PRODUCTS = HOME / "include" / "products"
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
        ("nightly", "nightl", ":13: products.imagine_math.roster_import: 'nightl' is not one of"),
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
        ("name: A District", "name: A District\nname: B", "bad-tx.yaml:3: name: stands twice, first in line 2"),
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


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  avatars:\n", "  avatar:\n", "has no rule for 'avatars'"),
        ("  avatars:\n", "  avatar:\n", "data_classes.avatar: is a data class of no table Did you mean 'avatars'?"),
        ("action: keep", "action: archive_or_erase", "has no school year"),
        ("action: keep", "action: kep", "'kep'"),
        ("action: erase", "action: reset", "belongs to a school year: archive or erase it"),
        ("reports: [student_data_export]", "reports: []", "at least 1 item"),
        ("reports: [student_data_export]", "reports: [students]", "'students' is not a report of imagine_math"),
        ("default_to: 07-28", "default_to: 07-32", "default_to"),
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


def test_the_shipped_example_is_right_but_not_active(tmp_path: Path) -> None:
    districts = HOME / "include" / "districts"
    assert load_catalog(districts, PRODUCTS).tenants == []
    shutil.copy(districts / "example.yaml.txt", tmp_path / "springfield-il.yaml")
    catalog = load_catalog(tmp_path, PRODUCTS)
    assert catalog.problems == () and len(catalog.tenants) == 2


def test_lint_says_it_and_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    assert main(["lint"]) == 0
    assert "2 districts, 2 tenants, 3 products, 0 problems" in capsys.readouterr().out
    load_with(folder, "folder:", "fodler:")
    assert main(["lint"]) == 1
    assert "Did you mean 'folder'?" in capsys.readouterr().out

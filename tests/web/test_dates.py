"""Change a date: what the rules say, and the smallest change of a district file that comments survive."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml
from sqlalchemy import Engine

from rollover.errors import Refused
from rollover.web.district_file import diff, with_reset_date
from rollover.web.host import Host
from tests.season.test_state_texts import RESET
from tests.support.made_season import put
from tests.web.conftest import ADMIN, CLERK, READER, Browser

HERO, MATH = "hero__riverside-ca", "imagine_math__riverside-ca"
DAY = date(2026, 7, 30)
FILE = """\
# Riverside
district: riverside-ca
contacts:
  - {role: district_it, name: Pat Private, email: pat@example.org}
products:
  hero:  # since 2020
    first_school_year: 2025-26
    folder: /riverside-ca/hero  # on SFTP

  # Imagine came later
  imagine_math: {first_school_year: 2025-26, folder: /riverside-ca/math}
"""


def with_dates(lines: str) -> str:
    """The file with own reset dates of Hero."""
    return FILE.replace("  # on SFTP\n", f"  # on SFTP\n    reset_dates:{lines}\n")


def changed(text: str, product: str = "hero", year: str = "2025-26") -> list[str]:
    """The lines that come and go."""
    edited = with_reset_date(text, product, year, DAY)
    lines = diff(text, edited, "riverside-ca.yaml").splitlines()
    return [line for line in lines if line[0] in "+-" and not line.startswith(("+++", "---"))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILE, ["+    reset_dates: {2025-26: 2026-07-30}"]),
        (
            with_dates("\n      # agreed\n      2025-26: 2026-07-21  # by phone"),
            ["-      2025-26: 2026-07-21  # by phone", "+      2025-26: 2026-07-30  # by phone"],
        ),
        (with_dates("\n      # agreed\n      2024-25: 2025-07-21  # by phone"), ["+      2025-26: 2026-07-30"]),
        (with_dates("\n      # agreed\n      2026-27: 2027-07-21"), ["+      2025-26: 2026-07-30"]),
        (
            with_dates("\n      # agreed\n      2024-25: 2025-07-21\n      2026-27: 2027-07-21"),
            ["+      2025-26: 2026-07-30"],
        ),
        (
            with_dates(" {2024-25: 2025-07-21}"),
            ["-    reset_dates: {2024-25: 2025-07-21}", "+    reset_dates: {2024-25: 2025-07-21, 2025-26: 2026-07-30}"],
        ),
        (
            with_dates(" {}"),
            ["-    reset_dates: {}", "+    reset_dates: {2025-26: 2026-07-30}"],
        ),
        (
            with_dates(" {2026-27: 2027-07-21}"),
            ["-    reset_dates: {2026-27: 2027-07-21}", "+    reset_dates: {2025-26: 2026-07-30, 2026-27: 2027-07-21}"],
        ),
    ],
)
def test_only_the_date_changes(text: str, expected: list[str]) -> None:
    yaml.safe_load(text)
    assert changed(text) == expected


def test_a_product_in_braces_is_edited(tmp_path: Path) -> None:
    assert changed(FILE, "imagine_math") == [
        "-  imagine_math: {first_school_year: 2025-26, folder: /riverside-ca/math}",
        "+  imagine_math: {first_school_year: 2025-26, folder: /riverside-ca/math, reset_dates: {2025-26: 2026-07-30}}",
    ]


@pytest.mark.parametrize("text", [FILE, FILE.rstrip("\n"), FILE.replace("\n", "\r\n")])
def test_git_applies_the_change(tmp_path: Path, text: str) -> None:
    path = tmp_path / "riverside-ca.yaml"
    path.write_bytes(text.encode())
    for product in ("hero", "imagine_math"):
        before = path.read_bytes().decode()
        edited = with_reset_date(before, product, "2025-26", DAY)
        change = diff(before, edited, path.name).encode()
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=change, check=True)
        assert path.read_bytes().decode() == edited


def test_a_diff_shows_no_contact(tmp_path: Path) -> None:
    near = FILE.replace("    first_school_year: 2025-26\n    folder", "    reset_dates: {}\n    folder", 1)
    change = diff(near, with_reset_date(near, "hero", "2025-26", DAY), "x.yaml")
    assert "Pat" not in change and "+    reset_dates: {2025-26: 2026-07-30}" in change


@pytest.mark.parametrize(
    "text",
    [
        "products: {hero: [1]}\n",
        "x: &h {folder: /a}\nproducts: {hero: *h, imagine_math: *h}\n",
    ],
)
def test_what_cannot_be_edited_for_sure_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="by hand"):
        with_reset_date(text, "hero", "2025-26", DAY)


@pytest.fixture
def district_file(host: Host) -> Path:
    path = host.districts / "riverside-ca.yaml"
    path.write_text(FILE)
    return path


def test_a_possible_date_has_its_change(browser: Browser, owner: Engine, district_file: Path) -> None:
    put(owner, HERO, "2025-26")
    html = browser(READER).get(f"/tenants/{HERO}/dates/2025-26?date={DAY}").text
    assert "Thursday, Jul 30, 2026 is possible." in html
    assert "+    reset_dates: {2025-26: 2026-07-30}" in html
    assert district_file.read_text() == FILE, "nothing is written"


@pytest.mark.parametrize(
    ("tenant", "day", "problem"),
    [
        (HERO, "2027-07-30", "2027-07-30 is not in 2026, the year in which 2025-26 ends"),
        (HERO, "2026-07-20", "Jul 20, 2026 is over"),
        (MATH, "2026-06-18", "2026-06-18 is before 2026-06-19, the earliest own reset date"),
    ],
)
def test_what_conflicts_is_said(
    browser: Browser, owner: Engine, district_file: Path, tenant: str, day: str, problem: str
) -> None:
    html = browser(ADMIN).get(f"/tenants/{tenant}/dates/2025-26?date={day}").text
    assert "is not possible" in html and problem in html
    assert "git apply" not in html


def test_a_rollover_that_has_begun_keeps_its_date(browser: Browser, owner: Engine, district_file: Path) -> None:
    put(owner, HERO, "2025-26", **RESET)
    html = browser(ADMIN).get(f"/tenants/{HERO}/dates/2025-26?date={DAY}").text
    assert "The rollover of 2025-26 began on Jul 9, 2026, so its date is fixed." in html


def test_the_rules_are_shown_without_a_date(browser: Browser) -> None:
    html = browser(CLERK).get(f"/tenants/{MATH}/dates/2025-26?date=").text
    assert "not before Jun 19, 2026" in html and "Jul 28, 2026" in html
    assert browser(CLERK).get(f"/tenants/{MATH}/dates/2025-27").status_code == 404
    assert browser(CLERK).get(f"/tenants/{MATH}/dates/2025-26?date=x").status_code == 422

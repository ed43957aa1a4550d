"""The question about an archived year, in stored examples."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rollover.calendar import SchoolYear
from rollover.disposal.expiry_page import markdown, question
from rollover.lint import load_catalog
from tests.support.examples import check_example
from tests.support.small_district import PRODUCTS

RUN: Any = SimpleNamespace(
    district=SimpleNamespace(name="Springfield *Public* Schools"),
    product=load_catalog(Path("/nonexistent"), PRODUCTS).products["hero"],
    school_year=SchoolYear(2022),
)
SCHOOLS: Any = SimpleNamespace(execute=lambda query: [SimpleNamespace(school_id="north", name="North | School")])
CONTENT: dict[str, Any] = {
    "reset_date": "2023-07-01",
    "kept_years": 3,
    "expires_on": "2026-07-01",
    "rows": 12_030,
    "schools": [
        {"school": "north", "files": 2, "rows": 12_000, "bytes": 3_400_000},
        {"school": "gone", "files": 1, "rows": 30, "bytes": 900},
    ],
    "files": [
        {"path": "north/a.parquet", "bytes": 3_400_000, "sha256": "5e7", "key_id": None},
        {"path": "gone/a.parquet", "bytes": 900, "sha256": None, "key_id": None},
        {"path": "manifest.json", "bytes": 12, "sha256": None, "key_id": None},
    ],
    "gone": [],
    "copies": [],
}


def test_a_year_without_surprises() -> None:
    files = [{**file, "sha256": "5e7"} for file in CONTENT["files"]]
    check_example("archive_expiry--plain.md", markdown(SCHOOLS, RUN, {**CONTENT, "files": files}))
    check_example("archive_expiry_question--plain.txt", question(RUN, CONTENT))


def test_everything_that_is_not_as_it_should_be_is_a_warning() -> None:
    content = {**CONTENT, "gone": ["north/b.parquet"], "copies": ["asked_for"]}
    said = markdown(SCHOOLS, RUN, content)
    assert said.count("- Warning: ") == 3 and r"| North \| School | 2 | 12,000 |" in said
    check_example("archive_expiry--warnings.md", said)

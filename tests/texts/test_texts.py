"""The templates of the texts that people read: each has a stored example, and the filters say what they should."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from jinja2 import UndefinedError

from rollover.texts import FOLDER, filters, render
from tests.support.examples import EXAMPLES, check_example


def test_every_template_has_an_example_and_every_example_its_template() -> None:
    templates = {path.name.split(".")[0] for path in FOLDER.glob("*.j2")}
    assert len(templates) >= 5
    assert {path.name.split("--")[0] for path in EXAMPLES.iterdir()} == templates


def test_every_template_says_what_it_is() -> None:
    for path in FOLDER.glob("*.j2"):
        assert path.read_text().startswith("{# "), path.name


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'product' is undefined"):
        render("district_summary.txt.j2")


def test_findings_that_are_not_listed() -> None:
    check_example("findings_not_listed--many.txt", render("findings_not_listed.txt.j2", total=2_345, listed=1_000))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (filters.commas(12_345), "12,345"),
        (filters.count(1, "row"), "1 row"),
        (filters.count(1_200, "row"), "1,200 rows"),
        (filters.count(2, "person", "people"), "2 people"),
        (filters.size(1), "1 byte"),
        (filters.size(999), "999 bytes"),
        (filters.size(12_345), "12 kB"),
        (filters.size(12_345_678), "12.3 MB"),
        (filters.percent(0.125), "12.5%"),
        (filters.clean("a\r\nb\x1b[2J.zip"), "a b [2J.zip"),
        (filters.clean("\x00"), "?"),
        (filters.one_line("a\n  b "), "a b"),
        (filters.wrap("a\nb", "- ", "  "), "- a b\n"),
        (filters.columns(["", "N"], [("rows", "1,200"), ("x", "3")]), "          N\nrows  1,200\nx         3\n"),
        (
            filters.moment(datetime(2026, 8, 3, 9, 10, tzinfo=UTC), "America/Chicago"),
            "Mon, Aug 3, 2026, 4:10 AM CDT",
        ),
    ],
)
def test_filters(said: str, expected: str) -> None:
    assert said == expected


def test_lines_are_at_most_78_characters_long() -> None:
    lines = filters.wrap("word " * 100, "- ", "  ").splitlines()
    assert len(lines) > 5 and max(map(len, lines)) <= filters.WIDTH

"""Charts: where bars and points stand, and what a screen reader says of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from rollover.web.charts import FLOOR, NAMES, TOP, Chart, across, bars, lines
from rollover.web.page import environment

STUDENTS = bars("Students by grade", ["KG", "1", "2"], {"last year": [100, 50, 0], "this year": [80, None, 20]})


def drawn(chart: Chart) -> ET.Element:
    """The SVG as a browser reads it."""
    module = environment.get_template("charts.svg.j2").module
    return ET.fromstring(str(module.draw(chart)))  # type: ignore[attr-defined]


def test_bars_are_as_high_as_their_values() -> None:
    last_year, this_year = STUDENTS.marks
    assert [mark.height for mark in last_year] == [FLOOR - TOP, (FLOOR - TOP) / 2, 0]
    assert len(this_year) == 2, "a value that is not there has no bar"
    assert this_year[0].height == pytest.approx((FLOOR - TOP) * 0.8, abs=0.1)
    assert all(mark.y + mark.height == pytest.approx(FLOOR, abs=0.1) for mark in last_year)
    assert last_year[0].x + last_year[0].width == pytest.approx(this_year[0].x, abs=0.1), "side by side"
    assert last_year[1].words == "1, last year: 50"


@pytest.mark.parametrize(
    ("highest", "said"),
    [
        (0, ["0", "1"]),
        (3, ["0", "1", "2", "3"]),
        (7, ["0", "2", "4", "6", "8"]),
        (560, ["0", "200", "400", "600"]),
        (50_000, ["0", "10,000", "20,000", "30,000", "40,000", "50,000"]),
        (1_000_001, ["0", "500,000", "1,000,000", "1,500,000"]),
    ],
)
def test_the_axis_has_round_steps_up_to_the_highest_value(highest: int, said: list[str]) -> None:
    assert [tick.words for tick in bars("x", ["a"], {"s": [highest]}).ticks] == said


def test_bars_across_and_lines_reach_their_values() -> None:
    wide = across("Students by school", ["North", "A school with a name that is very long"], {"s": [50, 25]})
    (marks,) = wide.marks
    assert marks[0].x == NAMES and marks[0].width == pytest.approx(2 * marks[1].width, abs=0.1)
    assert wide.names[1].words == "A school with a name that is ve…"
    assert wide.ticks[-1].x1 == pytest.approx(NAMES + marks[0].width, abs=0.1)
    line = lines("Events by month", ["Aug", "Sep"], {"2025-26": [0, 10]})
    assert [mark.y for mark in line.marks[0]] == [FLOOR, TOP]
    assert line.lines == (" ".join(f"{mark.x:g},{mark.y:g}" for mark in line.marks[0]),)


def test_a_screen_reader_says_every_value() -> None:
    assert STUDENTS.description == (
        "KG: last year 100, this year 80; 1: last year 50, this year none; 2: last year 0, this year 20."
    )
    svg = drawn(STUDENTS).find("svg")
    assert svg is not None and svg.attrib["role"] == "img"
    title, values = svg.find("title"), svg.find("desc")
    assert title is not None and values is not None
    assert (title.text, values.text) == (STUDENTS.title, STUDENTS.description)
    assert (svg.attrib["aria-labelledby"], svg.attrib["aria-describedby"]) == (title.attrib["id"], values.attrib["id"])


@pytest.mark.parametrize("kind", [bars, across, lines])
def test_a_chart_has_no_style_of_its_own_and_no_markup_of_names(kind: object) -> None:
    evil = '<script>alert("x")</script>'
    chart = kind(evil, [evil, "b"], {evil: [1, 2], "other": [3, 4]})  # type: ignore[operator]
    root = drawn(chart)
    assert not [each for each in root.iter() if each.tag == "script" or {"style", "onload"} & each.attrib.keys()]
    assert next(each.text for each in root.iter("title")) == evil, "it is text"


def test_each_series_has_a_value_for_each_group() -> None:
    with pytest.raises(ValueError, match="one value for each group"):
        bars("x", ["a", "b"], {"s": [1]})

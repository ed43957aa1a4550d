"""Names from outside stay one plain cell of a table, whatever they hold."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rollover.markdown import escaped, unescaped

RENDERED = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").enable("strikethrough")


def cells(name: str) -> list[str]:
    """The cells of the one row of a table that has the name in its first column."""
    html = RENDERED.render(f"| A | B |\n|---|---|\n| x{escaped(name)}x | 1 |")
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 2, html
    return re.findall(r"<td[^>]*>(.*?)</td>", rows[1], re.DOTALL)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_name_is_one_cell_and_no_markup(name: str) -> None:
    first, second = cells(name)
    assert second == "1" and "<" not in first


@pytest.mark.parametrize(
    "name",
    ["a | b", "a\n| b | c |", "[a](https://b)", "<script>x</script>", "**a**", "`a`", "~~a~~", "![a](b)", "&lt;b&gt;"],
)
def test_what_markdown_is_made_of_is_shown_as_it_is(name: str) -> None:
    from html import unescape

    assert unescape(cells(name)[0]) == f"x{' '.join(name.split())}x"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_unescaped_it_is_the_name_again(name: str) -> None:
    printable = "".join(sign for sign in " ".join(name.split()) if sign.isprintable())
    assert unescaped(escaped(name)) == printable


@pytest.mark.parametrize("name", ["St. Mary & Joseph", "#1 School ~ North", "a@b", "https://www.example.org/x"])
def test_a_plain_report_shows_the_name_as_it_is(name: str) -> None:
    assert unescaped(escaped(name)) == name


@pytest.mark.parametrize("name", ["https://example.org", "www.example.org", "a@example.org"])
def test_nothing_becomes_a_link(name: str) -> None:
    assert name not in escaped(name), "Airflow makes links of these by itself"

"""docs/cli.md says what the commands say."""

from __future__ import annotations

from tests.support.cli_reference import PAGE, reference


def test_the_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text() == reference(), "write it again: python -m tests.support.cli_reference"

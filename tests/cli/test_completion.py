"""A shell completes commands, tenants, districts and school years, from district files that may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollover import cli
from tests.support.district_file import DISTRICT

Completed = list[str]


@pytest.fixture
def complete(districts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """What bash offers for a line that ends with its last word."""
    both = DISTRICT.replace("riverside-ca", "lakeside-ca") + "    reset_dates: {2026-27: 2027-07-02}\n"
    (districts / "lakeside-ca.yaml").write_text(both + "  imagine_math: {}\n")
    (districts / "broken-ca.yaml").write_text("products: [")
    (districts / "odd-ca.yaml").write_text("- 1\n")

    def offered(line: str) -> Completed:
        monkeypatch.setenv("_ROLLOVER_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", f"rollover {line}")
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" "))))
        assert cli.main([]) == 0
        return capsys.readouterr().out.split()

    return offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("st", ["status"]),
        ("hold ", ["set", "lift", "list"]),
        ("resume ", ["hero__lakeside-ca", "hero__riverside-ca", "imagine_math__lakeside-ca"]),
        ("resume hero__l", ["hero__lakeside-ca"]),
        ("resume hero__broken", []),
        ("status r", ["riverside-ca"]),
        ("status imagine_math__", ["imagine_math__lakeside-ca"]),
        ("archive list l", ["lakeside-ca"]),
        ("archive query x --product imagine_math_", ["imagine_math_facts"]),
        ("dates 2026", ["2026-27"]),
        ("switch-on hero__lakeside-ca not", ["notification_switch"]),
        ("hold set riverside-ca --kind l", ["legal"]),
        ("roster decide hero__lakeside-ca x ad", ["additions-only"]),
    ],
)
def test_what_is_offered(complete, line: str, offered: Completed) -> None:  # type: ignore[no-untyped-def]
    assert complete(line) == offered


def test_without_district_files_nothing_is_offered(complete, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ROLLOVER_DISTRICTS", "/nowhere")
    assert complete("resume ") == []


def test_the_script_for_a_shell_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    assert cli.main(["--show-completion", "bash"]) == 0
    assert "_ROLLOVER_COMPLETE" in capsys.readouterr().out

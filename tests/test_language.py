"""Docstrings, comments, texts and pages avoid the words that readers stumbled over."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollover.settings import HOME
from tests.support.language import avoided, texts_of

PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").glob("*.md"))]
TEXTS = sorted((HOME / "include" / "rollover" / "texts").glob("*.j2"))
MODULES = sorted(path for folder in ("include", "dags", "plugins") for path in (HOME / folder).rglob("*.py"))


def found(path: Path) -> list[str]:
    return [word for text in texts_of(path) for word in avoided(text)]


def test_no_avoided_word_is_used() -> None:
    assert len(PAGES) >= 10 and len(TEXTS) >= 10 and len(MODULES) >= 200
    words = {str(path.relative_to(HOME)): found(path) for path in (*PAGES, *TEXTS, *MODULES)}
    assert {path: those for path, those in words.items() if those} == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A row that was kept\nout for an error.", ["kept out"]),
        ("None where nothing is live; the roster is mended anew.", ["None where", "mended", "anew"]),
        ("Raises Refused where it names none.", ["Raises Refused where"]),
        ("Raises Refused, with nothing changed, where a key is gone.", ["Raises Refused, with nothing changed, where"]),
        ("Somebody else carries it out.", ["carries it out"]),
        ("The place where rows are kept; a part that is wellformed; he recommends it. Kept outside.", []),
        ("None if nothing is live. Raises Refused if a file is where it must not be.", []),
    ],
)
def test_the_check_finds_avoided_words(text: str, words: list[str]) -> None:
    assert avoided(text) == words


def test_the_check_reads_docstrings_and_comments_and_no_code(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""One whom."""\n\nX = "told"\n"""Two anew."""\n\n\ndef sweep() -> None:\n    """Three mend.\n\n    More."""\n'
        "    # It is kept\n    # out here.\n    return None  # needless\n"
    )
    assert sorted(found(module)) == ["anew", "kept out", "mend", "needless", "whom"]
    page = tmp_path / "page.md"
    page.write_text("It is told\n`whom`")
    assert found(page) == ["told", "whom"]

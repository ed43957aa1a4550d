"""Every path, every `file.py: symbol` and every link in the pages exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollover.settings import HOME

PAGES = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").glob("*.md"))]
FOLDERS = ("bench", "dags", "docs", "include", "plugins", "tests")
"""Where the project's files are."""
SOURCES = r"(?:py|sql|yaml|yaml\.txt|j2|typ|toml|cfg)"
"""How files of the project end, and no file that Rollover writes or a district sends."""
WRITTEN = ("certificates/", "outbox/", "var/")
"""Folders that Rollover makes."""
FILES = {
    path.relative_to(HOME).as_posix()
    for path in (*HOME.glob("*"), *(each for folder in FOLDERS for each in (HOME / folder).rglob("*")))
    if path.is_file()
}
DIRECTORIES = {parent.as_posix() for path in FILES for parent in Path(path).parents}


def paths_in(text: str) -> Iterator[tuple[str, str]]:
    """Each path that a page names, and the symbol after it, if it names one (``file.py: symbol``)."""
    for token in re.findall(r"`([^`\n]+)`", text):
        if match := re.fullmatch(rf"([\w./*<> -]*[\w*>]\.{SOURCES})(?:: ([\w.]+(?:, [\w.]+)*))?", token):
            yield from ((match[1], symbol) for symbol in (match[2] or "").split(", "))
        elif re.fullmatch(r"[\w./-]+/", token) and not token.startswith(WRITTEN):
            yield token, ""
    for path in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w/?(?![\w/<*…])", text):
        yield path, ""


def exists(path: str) -> bool:
    """Whether the project has a file or folder of that path, or one whose path ends with it.

    Of a path with a placeholder (``<name>``) the folders before it must exist; one with a ``*`` must fit a file.
    """
    before = path.partition("<")[0]
    if before != path:
        return "/" not in before or exists(before.rpartition("/")[0] + "/")
    if "*" in path:
        return any(Path(each).match(path) for each in FILES)
    known = FILES | DIRECTORIES
    return path.rstrip("/") in known or any(each.endswith(f"/{path.rstrip('/')}") for each in known)


def defines(path: str, symbol: str) -> bool:
    """Whether a file whose path ends so defines a function, class or constant; of SQL, whether it has the word."""
    for each in FILES:
        if each == path or each.endswith(f"/{path}"):
            source = (HOME / each).read_text(encoding="utf-8")
            names = names_of(source) if path.endswith(".py") else set(re.findall(r"\w+", source))
            if symbol.split(".")[-1] in names:
                return True
    return False


def names_of(source: str) -> set[str]:
    """The functions, classes and constants that a module defines, those of its classes among them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def missing(text: str) -> list[str]:
    """The paths and symbols of a page that do not exist."""
    return [
        f"{path}: {symbol}" if symbol else path
        for path, symbol in paths_in(text)
        if not exists(path) or (symbol and not defines(path, symbol))
    ]


def dead_links(page: Path) -> list[str]:
    """The links of a page to files and headings that do not exist."""
    found = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        file = (page.parent / name) if name else page
        if not file.exists() or (heading and heading not in headings(file.read_text(encoding="utf-8"))):
            found.append(target)
    return found


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_everything_that_a_page_names_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []
    assert dead_links(page) == []


def test_the_pages_name_paths_and_symbols() -> None:
    found = [each for page in PAGES for each in paths_in(page.read_text(encoding="utf-8"))]
    assert len(found) >= 150 and sum(bool(symbol) for _, symbol in found) >= 3


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`include/rollover/run.py`, `run.py`, `roster/` and `yearend/plan.py: freeze` exist.", []),
        ("`include/products/*.yaml`, `include/districts/<district id>.yaml`, `certificates/`, `findings.csv`", []),
        ("`yearend/plans.py`, `include/rollover/rum.py`, `rooster/`", ["yearend/plans.py", "include/rollover/rum.py"]),
        ("see `yearend/plan.py: freeze, thaw`", ["yearend/plan.py: thaw"]),
        ("`include/product/*.yaml` and `include/district/<id>.yaml`", ["include/product/*.yaml"]),
        ("```\ncp include/districts/sample.yaml.txt x\n```", ["include/districts/sample.yaml.txt"]),
    ],
)
def test_the_check_finds_what_does_not_exist(text: str, wrong: list[str]) -> None:
    assert set(wrong) <= set(missing(text)) and bool(missing(text)) == bool(wrong)


def test_the_check_finds_dead_links(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page, of mine\n[a](page.md#a-page-of-mine) [b](https://x.example/y) [c](other.md) [d](#nothing)"
    )
    assert dead_links(page) == ["other.md", "#nothing"]

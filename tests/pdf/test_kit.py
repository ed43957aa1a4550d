"""Templates and data in, tagged PDFs out: whatever the data holds, the same each time, and in bounded memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pypdfium2
import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from rollover.errors import RolloverError
from rollover.pdf import compiler, kit
from rollover.pdf.kit import UNKNOWN, make_pdf, shown
from tests.support.tagged_pdf import bookmarks_of, misses, tags_of

AT = datetime(2026, 7, 8, 9, 30, tzinfo=UTC)
TEMPLATE = """
#import "/pdf/style.typ": data, page-of
#import "/pdf/charts.typ": bars
#show: page-of.with(title: data.title, author: "Maple Schools")
#heading(level: 1, data.title)
#for name in data.names { if name.trim() != "" { heading(level: 2, name) } }
#bars(("May", "June"), ((12, 3456),), (blue,), alt: "Bar chart of points", width: 300pt, height: 100pt)
#table(columns: 2, table.header([Name], [Points]), ..data.names.map(name => (name, str(7))).flatten())
"""
MARKUP = [
    "#panic()", "$x^2$", "*bold* _it_", "<label> @ref", "[content] #[x]", "\\ \"quoted\" 'it'", "= heading", "- item",
    "https://example.org", "// comment", "`raw`", "~ -- --- ...", "#sys.inputs",
]  # fmt: skip
SCRIPTS = {
    "Chinese": "李小龍 王伟",
    "Japanese": "さくら 田中",
    "Korean": "김민준",
    "Arabic": "محمد علي",
    "Hebrew": "דוד כהן",
    "Vietnamese": "Nguyễn Đan",
    "Greek and Cyrillic": "Γιώργος Дмитрий",
    "Hindi": "आरव शर्मा",
    "Tamil, Telugu, Bengali": "தமிழ் తెలుగు বাংলা",
    "Gujarati, Punjabi, Kannada, Malayalam": "ગુજરાતી ਪੰਜਾਬੀ ಕನ್ನಡ മലയാളം",
    "Thai, Lao, Khmer, Burmese": "ไทย ລາວ ខ្មែរ မြန်မာ",
    "Amharic, Armenian, Georgian": "አማርኛ Հայերեն ქართული",
    "Hawaiian and Polish": "Kāneʻohe Łukasz",
    "emoji": "🎉 👩‍🎓",
}


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """Typst reads files below the root only."""
    path = kit.ROOT / "pdf" / "test_kit.typ"
    path.write_text(TEMPLATE)
    yield path
    path.unlink()


def pdf_of(template: Path, *names: str) -> bytes:
    return make_pdf(template, {"title": "Names", "names": list(names)}, AT)


def test_a_pdf_is_tagged_and_says_what_it_is(template: Path) -> None:
    content = pdf_of(template, "Mia Tran")
    assert misses(content) == []
    reader = PdfReader(io.BytesIO(content))
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Names", "Maple Schools")
    assert reader.metadata.creation_date == AT
    tags = tags_of(content)
    (chart,) = [tag.alt for tag in tags if tag.kind == "Figure"]
    assert chart == "Bar chart of points. May: 12; June: 3,456."
    assert [(tag.scope, tag.within[-2:]) for tag in tags if tag.kind == "TH"] == [("Column", ("THead", "TR"))] * 2
    assert len([tag for tag in tags if tag.kind == "TD"]) == 2


def test_what_pdf_ua_demands_is_missed_in_a_file_without_it(template: Path) -> None:
    """The check of the tests sees an untagged file, and Typst refuses a chart without an alternative text."""
    compiler = typst.Compiler(b"= Names\ntext", ignore_system_fonts=True)
    untagged = compiler.compile(b"= Names\ntext", pdf_tags=False)
    assert isinstance(untagged, bytes)
    with pytest.raises(KeyError, match="StructTreeRoot"):
        tags_of(untagged)
    tagged = compiler.compile(b"#figure(rect())\n== Low\n#table[a]")
    assert isinstance(tagged, bytes)
    assert {"a title", "the claim of PDF/UA-1", "an alternative text for a Figure", "headings in order"} <= set(
        misses(tagged)
    )
    with pytest.raises(typst.TypstError, match="alt"):
        compiler.compile(b'#set document(title: "x")\n#figure(rect())', pdf_standards="ua-1")


@pytest.mark.parametrize("name", MARKUP)
def test_text_from_outside_is_never_markup(template: Path, name: str) -> None:
    content = pdf_of(template, name)
    assert bookmarks_of(content) == ["Names", name]
    said = pypdfium2.PdfDocument(content)[0].get_textpage().get_text_range()
    assert said.count(name) == 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_in_any_script_are_printed(template: Path, script: str) -> None:
    """Typst refuses a letter without a shape: a name that stays itself was drawn."""
    name = SCRIPTS[script]
    content = pdf_of(template, name)
    assert bookmarks_of(content) == ["Names", name]
    assert shown(name) == name and misses(content) == []


def test_fonts_come_from_packages_and_never_from_the_system(template: Path) -> None:
    paths = [font.path for font in compiler.fonts().fonts() if font.path]
    assert paths and all("site-packages" in path for path in paths)
    reader = PdfReader(io.BytesIO(pdf_of(template, *SCRIPTS.values())))
    used = {font["/BaseFont"] for page in reader.pages for font in _fonts(page)}
    for name in ("SourceSansPro-Regular", "SourceSansPro-Semibold", "NotoSansCJK", "NotoSansArabic", "NotoSansHebrew"):
        assert any(name in font for font in used), name


def _fonts(page: object) -> list[dict[str, str]]:
    return [font.get_object() for font in page["/Resources"]["/Font"].values()]  # type: ignore[index]


def test_a_character_that_no_font_has_is_shown_as_unknown(template: Path) -> None:
    assert shown("a\u16a0b\x07\ud800") == f"a{UNKNOWN}b{UNKNOWN}{UNKNOWN}"
    assert bookmarks_of(pdf_of(template, "Mia \u16a0", "李 \x00")) == ["Names", f"Mia {UNKNOWN}", f"李 {UNKNOWN}"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_text_makes_a_pdf(template: Path, names: list[str]) -> None:
    content = pdf_of(template, *names)
    assert content.startswith(b"%PDF-1.7")


def test_the_plain_characters_are_those_of_the_text_font() -> None:
    every = "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x17F)]))
    assert kit.PLAIN.fullmatch(every)
    code = '#set text(font: "Source Sans Pro", fallback: false)\n#set document(title: "x")\n#sys.inputs.text'
    typst.compile(
        code.encode(), font_paths=compiler.fonts(), ignore_system_fonts=True, sys_inputs={"text": every},
        pdf_standards="ua-1",
    )  # fmt: skip


def test_the_same_data_make_the_same_bytes_in_any_process(template: Path) -> None:
    names = list(SCRIPTS.values())
    script = """
import sys, json, hashlib
from datetime import datetime
from pathlib import Path
from rollover.pdf.kit import make_pdf

template, data, at = sys.argv[1:]
print(hashlib.sha256(make_pdf(Path(template), json.loads(data), datetime.fromisoformat(at))).hexdigest())
"""
    data = json.dumps({"title": "Names", "names": names})
    call = [sys.executable, "-c", script, str(template), data, AT.isoformat()]
    hashes = {subprocess.run(call, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(hashes) == 1 and len(next(iter(hashes))) == 65


def test_a_template_that_fails_says_where_and_quotes_nothing(template: Path) -> None:
    with pytest.raises(RolloverError, match=r"PDF template test_kit.typ does not compile at test_kit.typ:\d+") as error:
        make_pdf(template, {"title": "Names", "names": {"Mia Tran": 1}}, AT)
    assert "Mia" not in str(error.value) and error.value.__suppress_context__


@pytest.mark.slow
def test_memory_stays_flat_over_many_files(template: Path) -> None:
    script = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from rollover.pdf.kit import make_pdf

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000

seen = []
for n in range(60):
    names = [f"Student {n} {k}" for k in range(300)]
    make_pdf(Path(sys.argv[1]), {"title": f"Class {n}", "names": names}, datetime.fromtimestamp(0, UTC))
    seen.append(megabytes())
print(max(seen[:20]), max(seen[40:]))
"""
    call = [sys.executable, "-c", script, str(template)]
    early, late = map(int, subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())
    assert late < early * 1.2


def test_a_forked_process_makes_pdfs_too(tmp_path: Path) -> None:
    """Typst's threads are not in a forked process: compiled in it, it would wait for them for ever."""
    made = make_pdf(kit.ROOT / "pdf" / "probe.typ", {"text": "a"}, AT)
    child = os.fork()
    if child == 0:
        (tmp_path / "child.pdf").write_bytes(make_pdf(kit.ROOT / "pdf" / "probe.typ", {"text": "a"}, AT))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "child.pdf").read_bytes() == made


@pytest.mark.parametrize("answer", [b"", b"pdf 9\n%PDF"], ids=["nothing", "a part"])
def test_a_compiler_that_ends_before_it_has_answered_makes_no_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    program = tmp_path / "compiler.py"
    program.write_text(f"import sys; sys.stdin.readline(); sys.stdout.buffer.write({answer!r})")
    monkeypatch.setattr(kit, "COMPILER", program)
    with pytest.raises(RolloverError, match="ended before it had answered"):
        kit._Compiler().compile({"template": "x", "inputs": {}, "timestamp": 0})

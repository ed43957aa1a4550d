"""Reads the structure of a PDF with pypdf, as a screen reader would, and says what PDF/UA-1 misses in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pypdf import PdfReader
from pypdf.generic import ContentStream, NullObject

DRAWS = {b"Tj", b"TJ", b"'", b'"', b"f", b"f*", b"F", b"B", b"B*", b"b", b"b*", b"S", b"s", b"sh", b"Do", b"EI"}


@dataclass(frozen=True)
class Tag:
    """An element of the structure tree: its kind (``H1``, ``TH``), alternative text, and where it is."""

    kind: str
    alt: str | None
    scope: str | None
    within: tuple[str, ...]


def tags_of(content: bytes) -> list[Tag]:
    """Every element of the structure tree, in reading order."""
    return list(_tags(_root(PdfReader(io.BytesIO(content)))["/StructTreeRoot"]["/K"], ()))


def _root(reader: PdfReader) -> Any:
    return reader.trailer["/Root"]


def _tags(node: Any, within: tuple[str, ...]) -> Iterator[Tag]:
    node = node.get_object()
    if isinstance(node, list):
        for part in node:
            yield from _tags(part, within)
    elif isinstance(node, dict) and "/S" in node:
        kind = node["/S"].removeprefix("/")
        attributes = node.get("/A", [])
        scopes = [one["/Scope"].removeprefix("/") for one in attributes if "/Scope" in one]
        yield Tag(kind, node.get("/Alt"), scopes[0] if scopes else None, within)
        yield from _tags(node.get("/K", NullObject()), (*within, kind))


def bookmarks_of(content: bytes) -> list[str]:
    """The titles of the outline: those of the headings, in order."""

    def titles(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            if isinstance(entry, list):
                yield from titles(entry)
            else:
                yield str(entry.title)

    return list(titles(PdfReader(io.BytesIO(content)).outline))


def misses(content: bytes) -> list[str]:
    """What PDF/UA-1 demands, and this file does not have; empty for a file that conforms as far as this looks."""
    reader = PdfReader(io.BytesIO(content))
    root, found = _root(reader), []
    xmp = root["/Metadata"].get_data().decode() if "/Metadata" in root else ""
    for name, there in {
        "a structure tree": "/StructTreeRoot" in root,
        "the mark of a tagged file": bool(root.get("/MarkInfo", {}).get("/Marked")),
        "a language": root.get("/Lang") == "en-US",
        "a title": bool(reader.metadata and reader.metadata.title),
        "the title in XMP": "<dc:title>" in xmp,
        "the title in the window": bool(root.get("/ViewerPreferences", {}).get("/DisplayDocTitle")),
        "the claim of PDF/UA-1": "<pdfuaid:part>1</pdfuaid:part>" in xmp,
        "embedded fonts": all(_embedded(font) for page in reader.pages for font in _fonts(page)),
    }.items():
        if not there:
            found.append(name)
    tags = tags_of(content)
    found += [f"an alternative text for a {tag.kind}" for tag in tags if tag.kind == "Figure" and not tag.alt]
    found += ["a scope for a TH" for tag in tags if tag.kind == "TH" and not tag.scope]
    levels = [int(tag.kind[1]) for tag in tags if tag.kind in ("H1", "H2", "H3")]
    if levels[:1] != [1] or any(below > above + 1 for above, below in pairwise(levels)):
        found.append("headings in order")
    rows = [tag for tag in tags if tag.kind == "TR"]
    if any(tag.within[-1] not in ("THead", "TBody", "TFoot", "Table") for tag in rows):
        found.append("rows within a table")
    for number, page in enumerate(reader.pages, start=1):
        found += [f"tags for what page {number} draws by {by}" for by in sorted(_untagged(page, reader))]
    return found


def _fonts(page: Any) -> list[Any]:
    return [font.get_object() for font in page["/Resources"].get("/Font", {}).values()]


def _embedded(font: Any) -> bool:
    of = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
    return of["/Subtype"] == "/Type3" or any(name.startswith("/FontFile") for name in of["/FontDescriptor"])


def _untagged(page: Any, reader: PdfReader) -> set[str]:
    """Operators that draw outside of marked content: what is neither tagged nor an artifact."""
    depth, found = 0, set()
    for _, operator in ContentStream(page.get_contents(), reader).operations:
        if operator in (b"BDC", b"BMC"):
            depth += 1
        elif operator == b"EMC":
            depth -= 1
        elif operator in DRAWS and depth == 0:
            found.add(operator.decode())
    return found

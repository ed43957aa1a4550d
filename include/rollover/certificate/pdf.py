"""The certificate as a PDF for people. The signed JSON is attached to it, and what its pages say is read from there.

The last line of the file is a comment with a signature of its own, over every byte before it: so no page can be
changed either. A PDF reader passes over it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pypdf import PdfWriter
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import letter
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import inch
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from rollover.typeface import BOLD, REGULAR

ATTACHMENT = "certificate.json"
LAST_LINE = b"%Rollover-Ed25519 "
MONO = "Courier"
INK, QUIET, RULE, SHADE = HexColor("#1b2733"), HexColor("#5b6b7a"), HexColor("#c9d2da"), HexColor("#f3f6f8")
ACCENT = HexColor("#0b5c6b")
MARGIN = 0.8 * inch
WIDTH = letter[0] - 2 * MARGIN
FRAME_PADDING = 6  # of a page's frame in reportlab
NUMBERS = 0.72 * inch
ROOM_FOR_A_SECTION = 1.3 * inch
ACTIONS = {"archive": "archived, then deleted", "erase": "deleted"}

BODY = ParagraphStyle("body", fontName=REGULAR, fontSize=9, leading=12.2, textColor=INK)
CELL = ParagraphStyle("cell", BODY, fontSize=8, leading=9.8)
NUMBER = ParagraphStyle("number", CELL, alignment=TA_RIGHT)
HEAD = ParagraphStyle("head", CELL, fontName=BOLD, textColor=QUIET, fontSize=7.2, leading=8.6)
HEAD_NUMBER = ParagraphStyle("head number", HEAD, alignment=TA_RIGHT)
LABEL = ParagraphStyle("label", HEAD, fontSize=8, leading=12.2)
HASH = ParagraphStyle("hash", CELL, fontName=MONO, fontSize=6.6, leading=9.8)
SECTION = ParagraphStyle(
    "section", BODY, fontName=BOLD, fontSize=11, leading=14, textColor=ACCENT, spaceBefore=12, spaceAfter=4
)
KICKER = ParagraphStyle("kicker", BODY, fontName=BOLD, fontSize=8.5, leading=11, textColor=ACCENT)
TITLE = ParagraphStyle("title", BODY, fontName=BOLD, fontSize=21, leading=25, textColor=INK)
SUBTITLE = ParagraphStyle("subtitle", BODY, fontSize=11.5, leading=15, textColor=QUIET)
LEAD = ParagraphStyle("lead", BODY, fontSize=10.5, leading=14.5)
PARAGRAPH = ParagraphStyle("paragraph", BODY, spaceAfter=4)
BULLET = ParagraphStyle("bullet", BODY, leftIndent=13, bulletIndent=0)

Row = list[Any]


def drawn(content: bytes, key: Ed25519PrivateKey) -> bytes:
    """The PDF of a signed certificate, given as :func:`rollover.certificate.signing.sign` makes it."""
    writer = PdfWriter(clone_from=io.BytesIO(_pages(content)))
    writer.add_attachment(ATTACHMENT, content)
    file = io.BytesIO()
    writer.write(file)
    body = file.getvalue().rstrip(b"\n") + b"\n"
    return body + LAST_LINE + base64.b64encode(key.sign(body)) + b"\n"


def _pages(content: bytes) -> bytes:
    _, pages = _built(content, "?")
    return _built(content, str(pages))[0]


def _built(content: bytes, of: str) -> tuple[bytes, int]:
    """The file, and how many pages it has; `of` is what stands behind each page's number."""
    envelope = json.loads(content)
    certificate, sha256 = envelope["certificate"], hashlib.sha256(content).hexdigest()

    def foot(canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont(REGULAR, 7.5)
        canvas.setFillColor(QUIET)
        canvas.drawString(MARGIN, 0.45 * inch, f"Certificate {certificate['number']}")
        canvas.drawRightString(letter[0] - MARGIN, 0.45 * inch, f"Page {document.page} of {of}")

    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=letter,
        leftMargin=MARGIN - FRAME_PADDING,
        rightMargin=MARGIN - FRAME_PADDING,
        topMargin=0.7 * inch,
        bottomMargin=0.75 * inch,
        title=f"Certificate of disposition {certificate['number']}",
        author=certificate["executed_by"]["tool"],
        invariant=1,
    )
    document.build(_story(certificate, envelope["signature"], sha256), onFirstPage=foot, onLaterPages=foot)
    return file.getvalue(), document.page


def _story(certificate: dict[str, Any], signature: dict[str, str], sha256: str) -> list[Flowable]:
    return [
        *_title(certificate),
        *_section("What was deleted, by school and data class", _schools(certificate)),
        *_section("Counts, by table", _tables(certificate)),
        *_section("What was kept, and found unchanged", _retained(certificate)),
        *_section("What is still kept, where, and until when", _still_kept(certificate)),
        *_section("Exported and archived beforehand", _files(certificate)),
        *_section("How it was verified", _verified(certificate)),
        *_section("What this certificate does not claim", _not_claimed(certificate)),
        Spacer(0, 12),
        KeepTogether(_signature(certificate, signature, sha256)),
    ]


def _title(certificate: dict[str, Any]) -> list[Flowable]:
    product, year, authority = certificate["product"]["name"], certificate["school_year"], certificate["authority"]
    tables = [row for disposal in certificate["disposals"] for row in disposal["tables"]]
    archived, erased = (sum(row[name] for row in tables) for name in ("archived", "erased"))
    last = certificate["disposals"][-1]
    said = (
        f"<b>{archived + erased:,} rows</b> were deleted from the live database of {escape(product)} for the school "
        f"year {year}: {_of_these(archived, erased)} "
        f"When a second step counted them, {sum(row['remaining'] for row in tables):,} were left."
    )
    scope = certificate["scope"]
    rows = [
        ("District", f"{certificate['district']['name']} ({certificate['district']['id']})"),
        ("Scope", f"{product}, rows {scope['rows']}: {scope['date_range']['from']} to {scope['date_range']['to']}"),
        ("Agreement", authority["agreement"] or "none is named in the district's file"),
        ("Reset date", f"{authority['reset_date']}, {authority['reset_date_is']}"),
        ("Deleted", _when(last["deleted_at"])),
        ("Plan", _plans(certificate)),
        ("Run by", _executed(certificate)),
        ("Issued", _when(certificate["issued_at"])),
    ]
    facts = Table(
        [[Paragraph(escape(name), LABEL), Paragraph(escape(value), BODY)] for name, value in rows],
        colWidths=[1.15 * inch, WIDTH - 1.15 * inch],
        style=[("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0), *_tight(1.2)],
    )
    return [
        Paragraph("CERTIFICATE OF DISPOSITION", KICKER),
        Paragraph(escape(certificate["district"]["name"]), TITLE),
        Paragraph(escape(f"{product}, school year {year}"), SUBTITLE),
        Spacer(0, 8),
        Paragraph(said, LEAD),
        Spacer(0, 8),
        facts,
    ]


def _of_these(archived: int, erased: int) -> str:
    if not archived:
        return "none of them was archived."
    how = "after they had been archived and the archive had been read back."
    return f"{erased:,} without an archive, and {archived:,} {how}" if erased else f"all {how}"


def _schools(certificate: dict[str, Any]) -> list[Flowable]:
    """One row per school and action, one column per data class. What does not go has no column."""
    cells: dict[tuple[str, str], dict[str, int]] = {}
    for disposal in certificate["disposals"]:
        for line in disposal["lines"]:
            row = cells.setdefault((line["school"], line["action"]), {})
            row[line["data_class"]] = row.get(line["data_class"], 0) + line["rows"]
    if not cells:
        return [Paragraph("There were no rows to delete.", BODY)]
    classes = sorted({name for row in cells.values() for name in row})
    known = {school["id"]: school for school in certificate["scope"]["schools"]}
    width = min(NUMBERS, (WIDTH - 2.1 * inch) / len(classes))
    return [
        _table(
            ["School, what was done, and its subscription on the reset date", *(_words(name) for name in classes)],
            [
                [_school(known.get(school_id), school_id, action), *(row.get(name, 0) for name in classes)]
                for (school_id, action), row in sorted(cells.items())
            ],
            [WIDTH - width * len(classes), *[width] * len(classes)],
        )
    ]


def _school(school: dict[str, Any] | None, school_id: str, action: str) -> Flowable:
    name = school["name"] if school else school_id
    return Paragraph(
        f"<b>{escape(name)}</b>: {ACTIONS[action]}<br/>"
        f'<font size="7" color="#5b6b7a">{escape(_subscription(school))}</font>',
        CELL,
    )


def _subscription(school: dict[str, Any] | None) -> str:
    if school is None:
        return "subscription not recorded"
    said = [
        f"{s['state']} {s['starts_on']} to {s['ends_on']}, source {s['source']}, "
        f"read {s['read_at']['utc'][:16].replace('T', ' ')} UTC"
        for s in school["subscriptions"]
    ]
    return f"{'in force' if school['subscription_in_force_on_reset_date'] else 'not in force'}: {'; '.join(said)}"


def _tables(certificate: dict[str, Any]) -> list[Flowable]:
    columns = ("before", "archived", "erased", "deleted", "remaining")
    several = len(certificate["disposals"]) > 1
    rows = [
        [
            _words(row["data_class"]),
            f"{row['table']}, plan {disposal['plan']['number']}" if several else row["table"],
            *(row[name] for name in columns),
        ]
        for disposal in certificate["disposals"]
        for row in disposal["tables"]
    ]
    names = ["Data class", "Table", "Before", "Archived", "Erased", "Deleted", "Remaining"]
    parts: list[Flowable] = [
        _table(names, rows, [1.35 * inch, WIDTH - 1.35 * inch - 5 * 0.72 * inch, *[0.72 * inch] * 5])
    ]
    if reset := certificate["reset"]["rows"]:
        said = ", ".join(f"{_words(name)} ({rows:,} rows)" for name, rows in sorted(reset.items()))
        parts += [Spacer(0, 5), Paragraph(f"Set to the new year's start values: {escape(said)}.", BODY)]
    return parts


def _retained(certificate: dict[str, Any]) -> list[Flowable]:
    """One row per table, one column per step that changed data."""
    by_table: dict[tuple[str, str], dict[str, str]] = {}
    for row in certificate["retained"]:
        same = f"{row['before']['rows']:,} rows, the same" if row["before"] == row["after"] else "DIFFERENT"
        by_table.setdefault((row["data_class"], row["table"]), {})[row["step"]] = same
    held = [row for disposal in certificate["disposals"] for row in disposal["held"]]
    if not by_table:
        return [Paragraph("This product keeps none of its data classes from year to year.", BODY)]
    steps = list(dict.fromkeys(row["step"] for row in certificate["retained"]))
    rows = [[_words(name), table, *(found.get(s, "") for s in steps)] for (name, table), found in by_table.items()]
    rest = (WIDTH - 3.6 * inch) / len(steps)
    names = ["Data class", "Table", *(f"Fingerprint around {step}" for step in steps)]
    parts: list[Flowable] = [_table(names, rows, [1.5 * inch, 2.1 * inch, *[rest] * len(steps)])]
    if held:
        why = "; ".join(sorted({row["why"] for row in held}))
        said = f"{sum(row['rows'] for row in held):,} rows of these were held, and are not deleted: {why}."
        parts += [Spacer(0, 5), Paragraph(escape(said), BODY)]
    return parts


def _still_kept(certificate: dict[str, Any]) -> list[Flowable]:
    rows = [
        [
            row["what"][0].upper() + row["what"][1:],
            row["where"],
            f"{row['number']:,} {row['unit']}" if row["number"] else row["unit"],
            row["until"] or "no day is set",
            row["ends"],
        ]
        for row in certificate["still_kept"]
    ]
    names = ["What", "Where", "How much", "Until", "How it ends"]
    widths = [1.55 * inch, 1.9 * inch, 0.8 * inch, 0.8 * inch]
    return [_table(names, rows, [*widths, WIDTH - sum(widths)])]


def _files(certificate: dict[str, Any]) -> list[Flowable]:
    exports = [row for disposal in certificate["disposals"] for row in disposal["exports"]]
    archives = [row for disposal in certificate["disposals"] for row in disposal["archives"]]
    parts: list[Flowable] = []
    if exports:
        rows = [[_words(row["report"]), row["rows"], Paragraph(row["sha256"], HASH)] for row in exports]
        parts.append(_table(["Report", "Rows", "SHA-256"], rows, [2 * inch, 0.8 * inch, WIDTH - 2.8 * inch]))
        parts.append(Spacer(0, 5))
    said = (
        f"{len(archives):,} archive files with {sum(row['rows'] for row in archives):,} rows, codes and settings of "
        "the year among them, were each read back and compared; the attached JSON has the SHA-256 of each."
        if archives
        else "Nothing was archived."
    )
    if ids := sorted({row["key_id"] for row in archives if row["key_id"]}):
        encrypted = sum(row["key_id"] is not None for row in archives)
        said += f" {encrypted:,} of them are encrypted, with the tenant's key {', '.join(ids)}."
    return [*parts, Paragraph(said, BODY)]


def _verified(certificate: dict[str, Any]) -> list[Flowable]:
    found, method = certificate["verification"], certificate["method"]
    again = found["again_at_issue"]
    said = (
        f"{found['by']}, on {_when(found['at'])}: {found['rows_left']} rows left, reports blank "
        f"but for what is held, {found['files_intact']} files intact. Before this was "
        f"issued: {again['rows_left']} rows of the year left, {again['files_intact']} files intact, the chain of "
        f"evidence whole; {sum(again['past_their_time'].values())} left of what was past its time in staging, "
        f"findings, exports and the roster with its history."
    )
    return [Paragraph(escape(text), PARAGRAPH) for text in (said, method["deletion"], method["comparison"])]


def _not_claimed(certificate: dict[str, Any]) -> list[Flowable]:
    said = [certificate["backups"]["statement"], *certificate["not_claimed"]]
    return [Paragraph(escape(text), BULLET, bulletText="–") for text in said]


def _signature(certificate: dict[str, Any], signature: dict[str, str], sha256: str) -> list[Flowable]:
    evidence = certificate["evidence"]
    rows = [
        (
            "Signature",
            f"{signature['algorithm']}, over the certificate in the attached {ATTACHMENT}",
            signature["value"],
        ),
        ("File", f"SHA-256 of the attached {ATTACHMENT}", sha256),
        ("Key", "SHA-256 of the public key; compare it with the one that the issuer publishes", signature["key_id"]),
        ("Evidence", f"{evidence['algorithm']} over its {evidence['entries']} entries", evidence["head"]),
    ]
    cells: list[Row] = [
        [Paragraph(name, LABEL), [Paragraph(escape(said), CELL), Paragraph(escape(value), HASH)]]
        for name, said, value in rows
    ]
    cells.append(
        [
            Paragraph("To check", LABEL),
            Paragraph(
                "<b>rollover certificate verify</b> FILE, on any machine, for this PDF or its JSON. Without that "
                "program: docs/certificate.md says how, with openssl.",
                CELL,
            ),
        ]
    )
    box = Table(cells, colWidths=[0.9 * inch, WIDTH - 0.9 * inch])
    box.setStyle(
        TableStyle(
            [
                ("BACKGROUND", (0, 0), (-1, -1), SHADE),
                ("LINEABOVE", (0, 0), (-1, 0), 1.2, ACCENT),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (0, -1), 8),
                *_tight(3),
            ]
        )
    )
    return [box]


def _section(title: str, parts: Iterable[Flowable]) -> list[Flowable]:
    """A heading does not stand alone at the foot of a page."""
    return [CondPageBreak(ROOM_FOR_A_SECTION), Paragraph(escape(title), SECTION), *parts]


def _table(names: list[str], rows: list[Row], widths: list[float]) -> Table:
    """A table whose head stands on each page; numbers are to the right."""
    number = [bool(rows) and isinstance(value, int) for value in rows[0]] if rows else [False] * len(names)
    head = [Paragraph(escape(name), HEAD_NUMBER if right else HEAD) for name, right in zip(names, number, strict=True)]
    body = [[_cell(value) for value in row] for row in rows]
    return Table(
        [head, *body],
        colWidths=widths,
        repeatRows=1,
        style=[
            ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            ("VALIGN", (0, 1), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.3, RULE),
            ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            *_tight(2.2),
        ],
    )


def _cell(value: Any) -> Flowable:
    if isinstance(value, Flowable):
        return value
    return Paragraph(f"{value:,}", NUMBER) if isinstance(value, int) else Paragraph(escape(value), CELL)


def _tight(points: float) -> list[tuple[Any, ...]]:
    return [("TOPPADDING", (0, 0), (-1, -1), points), ("BOTTOMPADDING", (0, 0), (-1, -1), points)]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _when(at: dict[str, str]) -> str:
    """``2026-07-03 00:01:07 local (UTC-07:00), 2026-07-03 07:01:07 UTC``"""
    local, offset = at["local"][:19].replace("T", " "), at["local"][19:]
    return f"{local} local (UTC{offset}), {at['utc'][:19].replace('T', ' ')} UTC"


def _plans(certificate: dict[str, Any]) -> str:
    return "; ".join(
        f"no. {plan['number']} ({plan['sha256'][:12]}), "
        + (
            f"approved by {plan['approved_by']}, {_when(plan['approved_at'])}"
            if plan["approved_by"]
            else "no approval asked for by the product's rules"
        )
        for plan in (disposal["plan"] for disposal in certificate["disposals"])
    )


def _executed(certificate: dict[str, Any]) -> str:
    by = certificate["executed_by"]
    return f"{by['tool']} {by['version']} in the Airflow run {by['airflow_run']}, on {by['database']}"

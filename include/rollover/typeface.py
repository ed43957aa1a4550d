"""The one typeface of what is printed: Source Sans (SIL Open Font License), with Latin, Vietnamese, Greek and Cyrillic
letters. The 14 fonts of PDF itself have those of Western Europe only."""

from __future__ import annotations

import unicodedata
from importlib.resources import files

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

REGULAR, BOLD = "SourceSansPro-Regular", "SourceSansPro-Semibold"


def _register() -> frozenset[str]:
    """Make the fonts known to reportlab; returns the letters that they have."""
    fonts = [TTFont(name, str(files("font_source_sans_pro") / "files" / f"{name}.ttf")) for name in (REGULAR, BOLD)]
    for font in fonts:
        pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset(map(chr, fonts[0].face.charToGlyph))


LETTERS = _register()


def printable(text: str) -> str:
    """A text as the fonts can show it: a letter that they lack is a question mark, not a gap."""
    text = unicodedata.normalize("NFC", text)
    return text if LETTERS.issuperset(text) else "".join(c if c in LETTERS else "?" for c in text)

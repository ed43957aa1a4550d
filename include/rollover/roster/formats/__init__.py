"""The roster formats, and how a set is told apart: by its files and what its manifest says, not by a name."""

from __future__ import annotations

from rollover.roster.formats import clever, oneroster_1_1, oneroster_1_2
from rollover.roster.formats.spec import Format

FORMATS: dict[str, Format] = {each.FORMAT.name: each.FORMAT for each in (oneroster_1_1, oneroster_1_2, clever)}
MANIFEST = "manifest.csv"
FILE_NAMES = frozenset({MANIFEST} | {file.name.lower() for each in FORMATS.values() for file in each.files})
"""Of every format, in lower case: what is fetched. Other files hold nothing that Rollover needs."""
SPELLING = {MANIFEST: MANIFEST} | {file.name.lower(): file.name for each in FORMATS.values() for file in each.files}
"""A file's name as its format spells it, by its name in lower case."""

__all__ = ["FILE_NAMES", "FORMATS", "MANIFEST", "SPELLING", "Format"]

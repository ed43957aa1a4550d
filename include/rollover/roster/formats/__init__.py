"""Lists the roster formats. A set's format is recognized by its files and its manifest, not by a name."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from rollover.roster.formats.spec import Format

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES if hasattr(module, "FORMAT")}
"""By name. Every module here with a ``FORMAT`` is in it."""
MANIFEST = "manifest.csv"
FILE_NAMES = frozenset({MANIFEST} | {file.name.lower() for each in FORMATS.values() for file in each.files})
"""The files of every format, in lower case. Only these are fetched."""
SPELLING = {MANIFEST: MANIFEST} | {file.name.lower(): file.name for each in FORMATS.values() for file in each.files}
"""A file's name as its format spells it, by its name in lower case."""

__all__ = ["FILE_NAMES", "FORMATS", "MANIFEST", "SPELLING", "Format"]

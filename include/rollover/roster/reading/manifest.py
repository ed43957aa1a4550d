"""Finds the format of a set, the files to read, and whether each is a full file or a delta.

OneRoster's manifest says it; it is compared with the files. Clever has no manifest: its files show it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from upath import UPath

from rollover.roster.columnar import local_copy
from rollover.roster.findings import Findings
from rollover.roster.formats import FORMATS, MANIFEST, SPELLING, Format
from rollover.roster.formats.others import recognized
from rollover.roster.formats.spec import File
from rollover.roster.reading.header import encoding_message
from rollover.roster.reading.text import as_text

ROSTER_VERSION = "oneroster.version"
MANIFEST_VERSION = "manifest.version"
MANIFEST_HEADER = ["propertyName", "value"]
MANIFEST_BYTES = 2**20
"""The most bytes of a manifest that are read. A real one has 1 KB."""
BULK, DELTA, ABSENT = "bulk", "delta", "absent"
MODES = (BULK, DELTA, ABSENT)
VERSIONS = {spec.manifest_version: spec for spec in FORMATS.values() if spec.manifest_version}
NAMED = VERSIONS | {name: spec for spec in VERSIONS.values() for name in spec.also_named}
KNOWN_BY_FILES = [spec for spec in FORMATS.values() if not spec.manifest_version]


@dataclass(frozen=True)
class Contents:
    """A set that can be read: its format, the files to read, and which of these are deltas."""

    format: Format
    files: tuple[File, ...]
    deltas: frozenset[str]


def contents(
    folder: UPath,
    names: Collection[str],
    others: Collection[str],
    findings: Findings,
    *,
    without_manifest: bool = False,
) -> Contents | None:
    """The format and files of a fetched set; None, with the reason in `findings`, if its format is not known.

    A set without files to read has no updates.

    The files of a refused set are also read, so that the district learns of all problems at once; `findings` has the
    reason. `names` are the set's files as formats spell them, `others` the names (in lower case) of those that no
    format reads. `without_manifest`: the district file says that its OneRoster files have no manifest, so that each is
    a full file.
    """
    if MANIFEST in names:
        return _Manifest(folder / MANIFEST, findings).contents(names, others)

    def header(name: str) -> Collection[str]:
        return _header(folder / SPELLING[name]) if name in SPELLING else ()

    if other := recognized({*(name.lower() for name in names), *others}, header):
        kind, file = other
        message = f"These are files of {kind.label}, which Rollover does not read. {kind.instead}"
        findings.refuse("format_other", SPELLING.get(file, file), message)
        return None
    spec = _likely(names)
    if spec is None:
        labels = ", ".join(spec.label for spec in FORMATS.values())
        message = f"The files are of no format that is known ({labels}). Send one of these."
        findings.refuse("format_unknown", MANIFEST, message)
        return None
    if spec.manifest_version and not without_manifest:
        message = (
            "manifest.csv is missing, so nothing says that the set is whole. Send it with the set: it names the "
            "version, and every file as bulk or absent. If your system makes none (OneRoster 1.0), ask the data team "
            "to set `manifest: none` for your district."
        )
        findings.refuse("manifest_missing", MANIFEST, message)
    return _by_files(spec, names, findings)


def _likely(names: Collection[str]) -> Format | None:
    """The format by the names of the files: one without a manifest if it has own files, else the best OneRoster
    version."""
    likely = max(FORMATS.values(), key=lambda spec: (_own_files(spec, names), spec not in KNOWN_BY_FILES))
    if likely in KNOWN_BY_FILES:
        return likely if _own_files(likely, names) else None
    if not any(_own_files(spec, names) for spec in VERSIONS.values()):
        return None
    special = {spec.name: len(_only_in(spec) & set(names)) for spec in VERSIONS.values()}
    return max(VERSIONS.values(), key=lambda spec: special[spec.name])


def _only_in(spec: Format) -> set[str]:
    """The files of a OneRoster version that the other versions do not have."""
    others = {file.name for each in VERSIONS.values() if each is not spec for file in each.files}
    return {file.name for file in spec.files} - others


def _header(path: UPath) -> set[str]:
    """The columns of a file, in lower case."""
    with local_copy(path) as local, as_text(local) as text, text.open() as stream:
        start = stream.read(MANIFEST_BYTES).decode("utf-8", "replace")
    with suppress(csv.Error):
        return {name.strip().lower() for name in next(csv.reader(io.StringIO(start, newline="")), [])}
    return set()


def _own_files(spec: Format, names: Collection[str]) -> int:
    """How many of the files only this kind of format has, with a manifest or without."""
    others = VERSIONS.values() if spec in KNOWN_BY_FILES else KNOWN_BY_FILES
    shared = {file.name for each in others for file in each.files}
    return len({file.name for file in spec.files} & set(names) - shared)


def _by_files(spec: Format, names: Collection[str], findings: Findings) -> Contents:
    for file in spec.files:
        if file.required and file.name not in names:
            _missing(findings, file)
    return Contents(spec, tuple(file for file in spec.files if file.name in names), frozenset())


def _missing(findings: Findings, file: File) -> None:
    message = "The file is required, and a missing file never means that everything is deleted. Send it."
    findings.refuse("file_missing", file.name, message)


@dataclass
class _Property:
    """A line of the manifest. Names and modes are in lower case, whatever their spelling."""

    value: str
    row: int


@dataclass
class _Manifest:
    """OneRoster's manifest, as far as it can be read."""

    path: UPath
    findings: Findings
    _properties: dict[str, _Property] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = list(self._rows())
        if not any(len(fields) > 1 for _, fields in rows):
            message = "manifest.csv holds no properties and values. Export it again."
            self.findings.refuse("manifest_unreadable", MANIFEST, message)
            return
        first = [name.strip() for name in rows[0][1][:2]]
        if first != MANIFEST_HEADER:
            message = f"The header is not {','.join(MANIFEST_HEADER)}."
            self.findings.add("manifest_header", "warning", MANIFEST, message, rows=[rows[0][0]])
        for row, fields in rows:
            if len(fields) > 1:
                self._take(fields[0].strip(), fields[1].strip(), row)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not empty, with their places."""
        with local_copy(self.path) as path, as_text(path) as text:
            if text.encoding != "utf-8":
                self.findings.add("encoding", "warning", MANIFEST, encoding_message(text))
            with text.open() as stream:
                start = stream.read(MANIFEST_BYTES).decode("utf-8", "replace")
        try:
            for row, fields in enumerate(csv.reader(io.StringIO(start, newline="")), start=1):
                if any(value.strip() for value in fields):
                    yield row, fields
        except csv.Error:  # the rows so far are enough
            return

    def _take(self, name: str, value: str, row: int) -> None:
        known = self._properties.get(name.lower())
        mode = value.lower()
        if known is not None and known.value != mode:
            message = (
                f"The manifest names a property twice, in row {known.row} too, and with another value. Name it once."
            )
            self.findings.refuse("manifest_twice", MANIFEST, message, row=row)
        elif mode != value and mode in MODES:
            message = f"The mode is not spelled {mode}; it was understood. Values are case-sensitive."
            self.findings.add("value_spelling", "warning", MANIFEST, message, column="value", rows=[row])
        self._properties.setdefault(name.lower(), _Property(mode, row))

    def contents(self, names: Collection[str], others: Collection[str]) -> Contents | None:
        """The format and files of the set; None if its format is unknown. The findings say whether it is refused."""
        if not self._properties:
            spec = _likely(names)
            return _by_files(spec, names, self.findings) if spec else None
        spec = self._format() or _likely(names)
        if spec is None:
            return None
        modes = {file.name: self._mode(file) for file in spec.files}
        if not set(names) & set(modes) and set(modes.values()) == {ABSENT} and not self.findings.refusing:
            return Contents(spec, (), frozenset())
        deltas = frozenset(name for name, mode in modes.items() if mode == DELTA)
        files = tuple(
            file for file in spec.files if self._is_to_be_read(file, modes[file.name], names, is_delta=bool(deltas))
        )
        self._judge_unread(spec, others)
        return Contents(spec, files, deltas)

    def _format(self) -> Format | None:
        version = self._properties.get(ROSTER_VERSION)
        spec = NAMED.get(version.value) if version else None
        if spec is None:
            message = f"{ROSTER_VERSION} is not {' or '.join(VERSIONS)}. Export the set as one of them."
            is_there = version is not None and version.value != ""
            row = version.row if version else None
            self.findings.refuse("version" if is_there else "version_missing", MANIFEST, message, row=row)
            return None
        said = self._properties.get(MANIFEST_VERSION)
        if said is None or said.value != "1.0":
            message = f"{MANIFEST_VERSION} is not 1.0."
            self.findings.add("manifest_version", "warning", MANIFEST, message, rows=[said.row if said else None])
        return spec

    def _mode(self, file: File) -> str:
        """The manifest's mode of a file: absent if it does not name the file, empty if the mode is unknown."""
        said = self._properties.get(_property(file.name))
        if said is None:
            message = f"{_property_name(file.name)} is not there; read as absent. Name every file of the format."
            self.findings.add("manifest_file", "warning", MANIFEST, message)
            return ABSENT
        if said.value in MODES:
            return said.value
        message = f"The manifest says neither bulk, delta nor absent for {file.name}. Say one of these."
        if file.required:
            self.findings.refuse("manifest_mode", MANIFEST, message, column="value", row=said.row)
        else:
            message += " The file was left out; what is known stays as it is."
            self.findings.add("manifest_mode", "error", MANIFEST, message, column="value", rows=[said.row])
        return ""

    def _is_to_be_read(self, file: File, mode: str, names: Collection[str], *, is_delta: bool) -> bool:
        """Whether a file is read. The manifest and the files must agree; in a delta, absent means no updates."""
        there = file.name in names
        if (
            not mode
        ):  # not understood, which is reported; a required file refuses the set, and is looked at with the rest
            return there and file.required
        if mode != ABSENT and not there:
            message = f"The manifest says {mode}, but the file is not in the set. Upload the whole set."
            self._disagree("file_missing", file, message, "What is known stays as it is.")
            return False
        if mode == ABSENT and there:
            message = "The file is in the set, but the manifest does not say that it is. Fix the manifest or leave "
            self._disagree("file_not_in_manifest", file, message + "it out.", "It was not read.")
            return file.required
        if mode == ABSENT and file.required and not is_delta:
            _missing(self.findings, file)
        return there

    def _disagree(self, code: str, file: File, message: str, outcome: str) -> None:
        if file.required:
            self.findings.refuse(code, file.name, message)
        else:
            self.findings.add(code, "error", file.name, f"{message} {outcome}")

    def _judge_unread(self, spec: Format, others: Collection[str]) -> None:
        """Check that the manifest is right about the files that are not read."""
        for name in spec.unread:
            said = self._properties.get(_property(name))
            if said is None:
                message = f"{_property_name(name)} is not there; read as absent. Name every file of the format."
                self.findings.add("manifest_file", "warning", MANIFEST, message)
            there = name.lower() in others
            if there != (said is not None and said.value in (BULK, DELTA)):
                message = "The manifest and the set do not agree on this file. Rollover does not read it."
                self.findings.add("file_not_in_manifest" if there else "file_missing", "warning", name, message)


def _property_name(file: str) -> str:
    return f"file.{file.removesuffix('.csv')}"


def _property(file: str) -> str:
    """The name of a file's property in lower case."""
    return _property_name(file).lower()

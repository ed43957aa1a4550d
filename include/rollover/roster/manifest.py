"""The manifest of a OneRoster set: what the sender says is in it, held against what is there."""

from __future__ import annotations

import csv
import io

from upath import UPath

from rollover.roster.findings import Findings
from rollover.roster.model import FILES, MANIFEST, VERSION, File

ROSTER_VERSION = "oneroster.version"
BULK, DELTA, ABSENT = "bulk", "delta", "absent"


def files_to_read(folder: UPath, findings: Findings) -> tuple[File, ...]:
    """The files of a set that can be read, in reading order.

    Every disagreement is a finding; a required file that is missing, and a set that is not a full one, are
    errors. A set without a manifest is refused: nothing says that it is whole.
    """
    properties = _properties(folder / MANIFEST, findings)
    if properties is None:
        return ()
    if (version := properties.get(ROSTER_VERSION)) != VERSION:
        message = f"{ROSTER_VERSION} is not {VERSION}. Export the set as OneRoster {VERSION}."
        findings.add("version" if version else "version_missing", "error", MANIFEST, message)
        return ()
    return tuple(file for file in FILES if _is_to_be_read(folder, file, properties, findings))


def _properties(path: UPath, findings: Findings) -> dict[str, str] | None:
    if not path.exists():
        message = "manifest.csv is missing, so nothing says that the set is whole. Send it with the set."
        findings.add("manifest_missing", "error", MANIFEST, message)
        return None
    try:
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error):
        message = "manifest.csv is not a CSV file in UTF-8. Export it anew."
        findings.add("manifest_unreadable", "error", MANIFEST, message)
        return None
    return {row[0].strip(): row[1].strip().lower() for row in rows[1:] if len(row) > 1}


def _is_to_be_read(folder: UPath, file: File, properties: dict[str, str], findings: Findings) -> bool:
    mode = properties.get(f"file.{file.name.removesuffix('.csv')}", ABSENT)
    there = (folder / file.name).exists()
    if mode == DELTA:
        message = "The manifest says delta. Only full sets are taken: export the file as bulk."
        findings.add("delta", "error", file.name, message)
        return False
    if mode not in (BULK, ABSENT):
        findings.add("manifest_mode", "error", file.name, "The manifest says neither bulk, delta nor absent.")
        return False
    if mode == BULK and not there:
        message = "The manifest says bulk, but the file is not in the set. Upload the whole set."
        findings.add("file_missing", "error", file.name, message)
        return False
    if mode == ABSENT and there:
        message = "The file is in the set, but the manifest does not say bulk. Mend the manifest or leave it out."
        findings.add("file_not_in_manifest", "error", file.name, message)
        return False
    if mode == ABSENT and file.required:
        message = "The file is required, and a missing file never means that everything is deleted. Send it."
        findings.add("file_missing", "error", file.name, message)
        return False
    return there

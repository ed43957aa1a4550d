"""Reads and writes the manifest of an archived year: its files, their content, and the tools that made them.

It is stored beside the files and is enough to read them: no database is needed. It lists every file of the year, also
those of earlier plans that were run. It has no personal value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from importlib.metadata import version

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, text
from upath import UPath

from rollover.archive.parquet import SCHEMA_VERSION
from rollover.errors import ProofFailed, Refused
from rollover.ledger.results import ManifestFile
from rollover.run import Run
from rollover.storage import read_back, whole_file

FOLDER = "archive"
STEM = "manifest"
RESTORE = "restore it from the storage's versions."


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchivedFile(_Frozen):
    """One school's rows of one table, in one Parquet file."""

    school: str
    table: str
    data_class: str
    bound: bool
    """A copy of what stayed live: codes, settings, names of schools and people."""
    plan_no: int
    path: str
    """Below the manifest's folder."""
    rows: int
    bytes: int
    sha256: str
    content_sha256: str
    """SHA-256 of the rows as CSV, in the order of the file. It is the same on every server."""
    key_id: str | None = None
    """The id of the tenant's key that the file is encrypted with; None if it is not encrypted."""
    checksum: str
    """The checksum of the live rows, as in the plan and the ledger. It differs between servers."""
    ranges: dict[str, tuple[int | datetime | date, int | datetime | date]]
    """The smallest and largest value of each numeric id and each time column."""


class Manifest(_Frozen):
    """One tenant's archived school year."""

    schema_version: str
    tenant: str
    product: str
    district: str
    school_year: str
    plan_no: int
    plan_hash: str
    archived_at: datetime
    reset_date: date | None = None
    """From which the years are counted that the archive is kept; the ledger has it for older manifests."""
    holds_current_state: bool
    """Whether it was the tenant's current year: reports of a past year show its activity only."""
    tools: dict[str, str]
    tables: list[str]
    """Every table that the year covers; one without a file had no rows."""
    files: list[ArchivedFile]
    digest: str = ""
    """SHA-256 of this file as it is with an empty digest: what was changed is found without a database."""


def folder(storage: UPath, product: str, district: str, school_year: str) -> UPath:
    """``archive/<product>/<district>/<school year>``, below the storage."""
    return storage / FOLDER / product / district / school_year


def folder_of(run: Run) -> UPath:
    return folder(run.storage, run.tenant.product, run.tenant.district, run.school_year.key)


def write(manifest: Manifest, path: UPath) -> ManifestFile:
    """Write a manifest; returns its file as read back."""
    digest = hashlib.sha256(_as_json(manifest, "")).hexdigest()
    content = _as_json(manifest, digest)
    with whole_file(path) as stream:
        stream.write(content)
    written, size = read_back(path)
    if written != hashlib.sha256(content).hexdigest():
        raise ProofFailed(f"{path} does not read back as it was written.", "clear this task.")
    return ManifestFile(path=str(path), sha256=written, bytes=size)


def read(path: UPath, sha256: str | None = None) -> Manifest:
    """Read a manifest. Raises ProofFailed if it is missing, damaged, or not the one with that hash."""
    try:
        content = path.read_bytes()
        manifest = Manifest.model_validate_json(content)
    except (FileNotFoundError, ValidationError) as error:
        raise ProofFailed(f"{path} cannot be read: {type(error).__name__}.", RESTORE) from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ProofFailed(f"{path} is not the manifest that the ledger has.", RESTORE)
    if (
        manifest.digest
        and hashlib.sha256(content.replace(manifest.digest.encode(), b"")).hexdigest() != manifest.digest
    ):
        raise ProofFailed(f"{path} is not the file that was written.", RESTORE)
    if manifest.schema_version != SCHEMA_VERSION:
        raise Refused(f"{path} has schema version {manifest.schema_version}.", "use the version that wrote it.")
    return manifest


def check(folder: UPath, file: ArchivedFile) -> None:
    """Raise ProofFailed if a file of a year is missing, or not the one that was written."""
    path = folder / file.path
    if not path.exists() or read_back(path) != (file.sha256, file.bytes):
        raise ProofFailed(f"{path} is not the file that was written.", RESTORE)


def newest(
    storage: UPath, *, product: str = "*", district: str = "*", year: str = "*"
) -> Iterator[tuple[UPath, Manifest]]:
    """The folder and the manifest of each archived year in storage, by product, district and year."""
    found: dict[UPath, Manifest] = {}
    root = storage / FOLDER
    if not root.exists():
        return
    for path in root.glob(f"{product}/{district}/{year}/{STEM}*.json"):
        manifest = read(path)
        if path.parent not in found or found[path.parent].plan_no < manifest.plan_no:
            found[path.parent] = manifest
    yield from sorted(found.items(), key=lambda item: (item[1].tenant, item[1].school_year))


def _as_json(manifest: Manifest, digest: str) -> bytes:
    return manifest.model_copy(update={"digest": digest}).model_dump_json(indent=2).encode()


def tools(connection: Connection) -> dict[str, str]:
    """The versions of what wrote the files."""
    server = connection.scalar(text("SHOW server_version"))
    return {"rollover": version("rollover"), "pyarrow": version("pyarrow"), "postgresql": str(server)}

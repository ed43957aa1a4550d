"""Finds drops, the sets of roster files that districts leave on SFTP, and records them in the ledger.

SFTP is read-only for us, except the outbox. A drop is identified by its fingerprint, made of its files' names, sizes
and times. A file that is overwritten in place makes a new drop, and so does one that is put back afterwards.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from rollover.database.tables import ledger
from rollover.tenant import SEPARATOR

if TYPE_CHECKING:
    import paramiko

OUTBOX = "outbox"
ZIP, CSV = ".zip", ".csv"
UPLOADING = (".filepart", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".swp", "~")
"""Endings that programs give to a file while they write it: the file is not complete yet."""
NOBODYS = ("thumbs.db", "desktop.ini")
"""Files that a desktop leaves in any folder."""
MOST_PASSED_OVER = 100
NOT_READ = "/"
"""The place of files that are not read. No file can have this name."""
MARKER = "done"
MARKER_SUFFIX = ".done"

# The place of a zip is its name. All loose files share one place, and so do the files that are not read. A place holds
# one drop at a time: the last one that was recorded there, unless it changed before it could be fetched.
LAST_DROPS = """
    SELECT DISTINCT ON (place) place, drop_id, files, fetched
    FROM (
        SELECT d.drop_id, d.files, d.found_at,
               CASE WHEN d.files -> 0 ->> 'name' LIKE '%/%' THEN '/'
                    WHEN lower(d.files -> 0 ->> 'name') LIKE '%.zip' THEN d.files -> 0 ->> 'name'
                    WHEN lower(d.files -> 0 ->> 'name') LIKE '%.csv' THEN ''
                    ELSE '/' END AS place,
               NOT (i.state = 'superseded' AND i.sha256 IS NULL) AS fetched
        FROM ledger.drops d JOIN ledger.imports i ON i.import_id = d.drop_id
    ) recorded
    ORDER BY place, found_at DESC, drop_id DESC
"""
# The newest drop goes live, so the times of a tenant's drops must rise, whatever the clock says: the clock of a server
# that takes over may be behind.
NEXT_MOMENT = """
    SELECT greatest(clock_timestamp(), max(found_at) + interval '1 microsecond') FROM ledger.imports
"""


@dataclass(frozen=True, order=True)
class RemoteFile:
    """A file as SFTP lists it: size in bytes, time of its last change in whole seconds since 1970 (UTC)."""

    name: str
    size: int
    modified: int


@dataclass(frozen=True)
class Candidate:
    """Files that belong together and may be a drop, once they have settled."""

    files: tuple[RemoteFile, ...]
    done: bool
    """Whether the sender's marker says that the upload is complete."""

    @property
    def fingerprint(self) -> str:
        facts = [[file.name, file.size, file.modified] for file in sorted(self.files)]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=True).encode()).hexdigest()

    @property
    def place(self) -> str:
        """Its place in the folder: a zip's own name, one place for all loose files, one for all that are not read."""
        name = self.files[0].name
        if not is_read(name):
            return NOT_READ
        return name if name.lower().endswith(ZIP) else ""

    @property
    def modified(self) -> int:
        return max(file.modified for file in self.files)


def is_read(name: str) -> bool:
    """Whether a file of this name can be a drop, or a part of one."""
    return "/" not in name and name.lower().endswith((ZIP, CSV))


def list_folder(sftp: paramiko.SFTPClient, folder: str, *, sub_folders: bool = False) -> tuple[RemoteFile, ...]:
    """List the regular files in a folder, by name, without hidden files. With `sub_folders`, also list the files one
    level below, by their path, except those in the outbox.

    Raises FileNotFoundError if there is no such folder: that is a mistake in the district file, not an empty folder.
    """
    entries = [entry for entry in sftp.listdir_attr(folder) if not entry.filename.startswith(".")]
    found = [_file(entry) for entry in entries if stat.S_ISREG(entry.st_mode or 0)]
    if sub_folders:
        for entry in entries:
            if stat.S_ISDIR(entry.st_mode or 0) and entry.filename.lower() != OUTBOX:
                found += _files_below(sftp, folder, entry.filename)
    return tuple(sorted(found))


def _files_below(sftp: paramiko.SFTPClient, folder: str, name: str) -> list[RemoteFile]:
    """List the files of a sub folder; none if it no longer exists or cannot be listed."""
    try:
        entries = sftp.listdir_attr(posixpath.join(folder, name))
    except (FileNotFoundError, PermissionError):
        return []
    regular = (entry for entry in entries if stat.S_ISREG(entry.st_mode or 0))
    return [_file(entry, f"{name}/") for entry in regular if not entry.filename.startswith(".")]


def _file(entry: paramiko.SFTPAttributes, below: str = "") -> RemoteFile:
    return RemoteFile(below + entry.filename, entry.st_size or 0, int(entry.st_mtime or 0))


def passed_over(files: Iterable[RemoteFile]) -> Candidate | None:
    """Return the files that are no roster file, no marker and no unfinished upload. They are reported once."""
    found = sorted(file for file in files if not is_read(file.name) and not _is_no_drop(file.name))
    return Candidate(tuple(found[:MOST_PASSED_OVER]), done=False) if found else None


def _is_no_drop(path: str) -> bool:
    name = posixpath.basename(path).lower()
    return (
        name in (MARKER, *NOBODYS) or name.startswith(("~", ".")) or name.endswith((MARKER_SUFFIX, ".log", *UPLOADING))
    )


def candidates(files: Iterable[RemoteFile]) -> tuple[Candidate, ...]:
    """Return what may be drops: each zip by itself, and all loose CSV files together. Oldest first.

    A marker (``done``, or any ``*.done``) says that an upload is complete; ``<file>.done`` is about that
    file only. A marker that is older than a file of the candidate belongs to an earlier upload, and is ignored.
    """
    files = tuple(files)
    markers = [file for file in files if file.name == MARKER or file.name.endswith(MARKER_SUFFIX)]
    markers = [marker for marker in markers if "/" not in marker.name]
    names = {file.name for file in files if "/" not in file.name}
    own = [file for file in files if is_read(file.name)]
    zips = [(file,) for file in own if file.name.lower().endswith(ZIP)]
    loose = tuple(file for file in own if file.name.lower().endswith(CSV))

    def is_done(group: tuple[RemoteFile, ...]) -> bool:
        newest = max(file.modified for file in group)
        group_names = {file.name for file in group}
        for marker in markers:
            speaks_for = marker.name.removesuffix(MARKER_SUFFIX)
            if marker.modified >= newest and (speaks_for in group_names or speaks_for not in names - {MARKER}):
                return True
        return False

    groups = [*zips, *([loose] if loose else [])]
    found = [Candidate(tuple(sorted(group)), is_done(group)) for group in groups]
    return tuple(sorted(found, key=lambda candidate: (candidate.modified, candidate.files)))


class Settling:
    """Watches folders and returns the candidates that have settled.

    A candidate settles when we ourselves have seen it unchanged for `settle_seconds`, or when its marker says
    that it is complete. File times are not compared with our clock: an SFTP server's may be wrong.
    """

    def __init__(self, settle_seconds: float) -> None:
        self._settle_seconds = settle_seconds
        self._seen: dict[str, dict[str, float]] = {}

    def observe(self, folder: str, found: Iterable[Candidate], clock: float) -> tuple[Candidate, ...]:
        """Remember what a folder contains at `clock` (seconds, monotonic), and return what has settled."""
        found = tuple(found)
        before = self._seen.get(folder, {})
        self._seen[folder] = {c.fingerprint: before.get(c.fingerprint, clock) for c in found}
        since = self._seen[folder]
        return tuple(c for c in found if c.done or clock - since[c.fingerprint] >= self._settle_seconds)


def known_fingerprints(connection: Connection) -> set[str]:
    """Return the fingerprints of the last drop of each place of the session's tenant.

    Everything else on SFTP is new, even if it was there before and something else was recorded in between.
    """
    return {_candidate(row).fingerprint for row in connection.execute(text(LAST_DROPS)) if row.fetched}


def record(connection: Connection, tenant_id: str, folder: str, candidate: Candidate) -> str | None:
    """Write a settled candidate to the ledger as a drop and its import, state ``found``.

    Returns the import's id, or None, with nothing written, if it is already the last drop of its place. If the same
    files come back after another drop, the fingerprint includes the drop before them, so that it is new.
    """
    last = {row.place: row for row in connection.execute(text(LAST_DROPS))}.get(candidate.place)
    fingerprint = candidate.fingerprint
    if last is not None:
        if last.fetched and _candidate(last).fingerprint == fingerprint:
            return None
        if connection.scalar(select(func.count()).where(ledger.drops.c.fingerprint == fingerprint)):
            fingerprint = hashlib.sha256(f"{fingerprint} after {last.drop_id}".encode()).hexdigest()
    import_id = f"{tenant_id}{SEPARATOR}{fingerprint[:12]}"
    drop = {
        "tenant_id": tenant_id,
        "drop_id": import_id,
        "folder": folder,
        "fingerprint": fingerprint,
        "files": [asdict(file) for file in candidate.files],
        "found_at": connection.scalar(text(NEXT_MOMENT)),
    }
    inserted = connection.execute(
        insert(ledger.drops).values(drop).on_conflict_do_nothing().returning(ledger.drops.c.found_at)
    ).one_or_none()
    if inserted is None:
        return None
    connection.execute(
        insert(ledger.imports).values(
            tenant_id=tenant_id, import_id=import_id, state="found", found_at=inserted.found_at
        )
    )
    return import_id


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(tuple(sorted(RemoteFile(**file) for file in row.files)), done=True)

"""Copy a drop's files from SFTP into storage."""

from __future__ import annotations

import csv
import hashlib
import io
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import paramiko
from sqlalchemy import select
from sqlalchemy.engine import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.drops import RemoteFile, candidates, list_folder
from rollover.roster import imports
from rollover.roster.files import fetched_file
from rollover.roster.findings import Findings, why_rejected
from rollover.roster.model import FILE_NAMES, MANIFEST
from rollover.roster.unpack import Unusable, contents, copy
from rollover.storage import whole_file

WANTED = {name.lower(): name for name in (MANIFEST, *FILE_NAMES)}
WITH_PASSWORDS = "users.csv"
PASSWORD = "password"  # noqa: S105 - a column's name
CHANGED = "changed while fetching; the files as they are now make a new drop"


class _Changed(Exception):
    """The folder does not hold the drop's files as they were listed."""


def fetch(engine: Engine, tenant_id: str, import_id: str, sftp: paramiko.SFTPClient, storage: UPath) -> dict[str, Any]:
    """Copy the roster files of an import's drop to storage: found → fetched.

    Only the files that the roster is made of are kept, with passwords blanked on the way. The drop is compared
    with a fresh listing before and after: where the district has changed it meanwhile, the import becomes
    ``superseded`` (the new state of the files is a new drop). A zip that cannot be trusted or read is
    ``rejected``. A connection that breaks raises ConnectionError, and a retry starts over; so does a copy that
    differs from the listing while the listing has not changed.
    """
    found = imports.current(engine, tenant_id, import_id)
    if found.state != "found":
        return found.summary()
    folder, files = _drop(engine, tenant_id, import_id)
    findings = Findings()
    try:
        sizes, digest = _copy_drop(sftp, folder, files, storage, import_id, findings)
        moved: dict[str, Any] = {
            "after": "fetched",
            "sha256": digest,
            "counts": {"bytes": sizes, "warnings": findings.warnings},
        }
    except _Changed as changed:
        if _is_as_listed(sftp, folder, files):
            raise ConnectionError("the SFTP server gave other files than it lists") from changed
        findings = Findings()
        moved = {"after": "superseded", "reason": CHANGED}
    except Unusable as problem:
        findings = Findings()
        findings.add(problem.code, "error", files[0].name, problem.message)
        moved = {"after": "rejected", "reason": why_rejected(findings.errors), "counts": {"errors": findings.errors}}
    with tenant_session(engine, tenant_id) as connection:
        if imports.advance(connection, import_id, before="found", **moved):
            findings.store(connection, import_id, tenant_id)
        return imports.load(connection, import_id).summary()


def _drop(engine: Engine, tenant_id: str, import_id: str) -> tuple[str, tuple[RemoteFile, ...]]:
    with tenant_session(engine, tenant_id) as connection:
        row = connection.execute(
            select(ledger.drops.c.folder, ledger.drops.c.files).where(ledger.drops.c.drop_id == import_id)
        ).one()
    return row.folder, tuple(RemoteFile(**file) for file in row.files)


def _copy_drop(
    sftp: paramiko.SFTPClient,
    folder: str,
    files: tuple[RemoteFile, ...],
    storage: UPath,
    import_id: str,
    findings: Findings,
) -> tuple[dict[str, int], str]:
    """Copy every roster file; return their sizes as received, by name, and the SHA-256 over all of them."""
    _refuse_changed(sftp, folder, files)
    digests: dict[str, str] = {}
    sizes: dict[str, int] = {}
    try:
        for name, stream in _streams(sftp, folder, files):
            known = WANTED.get(name.lower())
            if known is None:
                continue
            if known in sizes:
                raise Unusable("file_twice", f"{known} is there twice, in upper and lower case. Keep one.")
            if known != name:
                findings.add("file_name", "warning", known, f"The file name is not spelled {known}. Rename it.")
            received = _Received(stream)
            with whole_file(fetched_file(storage, import_id, known)) as target:
                _write(known, received, target)
            digests[known], sizes[known] = received.digest.hexdigest(), received.size
    except FileNotFoundError as error:
        raise _Changed from error
    _refuse_changed(sftp, folder, files)
    whole = hashlib.sha256("".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode())
    return sizes, whole.hexdigest()


@contextmanager
def _server_closing() -> Iterator[None]:
    """paramiko tells by EOFError that the server closed the connection, zipfile that a zip is cut off."""
    try:
        yield
    except EOFError as error:
        raise ConnectionError("the SFTP server closed the connection") from error


def _refuse_changed(sftp: paramiko.SFTPClient, folder: str, files: tuple[RemoteFile, ...]) -> None:
    if not _is_as_listed(sftp, folder, files):
        raise _Changed


def _is_as_listed(sftp: paramiko.SFTPClient, folder: str, files: tuple[RemoteFile, ...]) -> bool:
    with _server_closing():
        listed = list_folder(sftp, folder)
    return tuple(sorted(files)) in [candidate.files for candidate in candidates(listed)]


def _streams(sftp: paramiko.SFTPClient, folder: str, files: tuple[RemoteFile, ...]) -> Iterator[tuple[str, IO[bytes]]]:
    """Each CSV file of the drop, whether loose or in its zip."""
    for file in files:
        with _local_copy(sftp, posixpath.join(folder, file.name), file.size) as local:
            if file.name.lower().endswith(".zip"):
                yield from contents(local)
            else:
                yield file.name, local


@contextmanager
def _local_copy(sftp: paramiko.SFTPClient, remote: str, size: int) -> Iterator[IO[bytes]]:
    """A copy that has no name on disk and goes when it is closed: it may still hold passwords."""
    with tempfile.TemporaryFile() as local:
        try:
            with _server_closing():
                sftp.getfo(remote, local)
        except OSError as error:
            # paramiko finds fewer or more bytes than the server announced: written to at this moment.
            if "size mismatch" in str(error):
                raise _Changed from error
            raise
        if local.tell() != size:
            raise _Changed
        local.seek(0)
        yield local


class _Received(io.RawIOBase):
    """Counts and hashes a stream as it is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self.digest.update(block)
        self.size += len(block)
        return len(block)


def _write(name: str, source: _Received, target: IO[bytes]) -> None:
    if name == WITH_PASSWORDS:
        blank_passwords(io.BufferedReader(source, 2**20), target)
    else:
        copy(io.BufferedReader(source, 2**20), target)


def blank_passwords(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a CSV file with every value of a password column emptied; all else keeps its rows and fields.

    The bytes are read as Latin-1, which maps each of them to a character and back: the encoding is judged
    later. Raises Unusable where the file is so broken that the column cannot be told.
    """
    text_in = io.TextIOWrapper(source, encoding="latin-1", newline="")
    text_out = io.TextIOWrapper(target, encoding="latin-1", newline="", write_through=True)
    try:
        header = text_in.readline()
        names = next(csv.reader([header]), [])
        places = [n for n, column in enumerate(names) if column.strip().lower() == PASSWORD]
        text_out.write(header)
        if not places:
            copy_text(text_in, text_out)
            return
        writer = csv.writer(text_out, lineterminator="\r\n")
        for row in csv.reader(text_in):
            for place in places:
                if place < len(row):
                    row[place] = ""
            writer.writerow(row)
    except csv.Error as error:
        raise Unusable("not_csv", "users.csv is not a CSV file as RFC 4180 has it. Export it anew.") from error
    finally:
        text_out.flush()
        text_out.detach()


def copy_text(source: io.TextIOWrapper, target: io.TextIOWrapper) -> None:
    """Copy what is left of a text stream in large blocks."""
    while block := source.read(2**20):
        target.write(block)

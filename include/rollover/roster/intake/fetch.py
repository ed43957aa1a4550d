"""Copies a drop's files from SFTP to storage."""

from __future__ import annotations

import hashlib
import posixpath
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO

import paramiko
from sqlalchemy import select
from sqlalchemy.engine import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables import ledger
from rollover.roster import imports
from rollover.roster.findings import Findings, Unusable, why_refused
from rollover.roster.formats import SPELLING
from rollover.roster.imports import Import, ImportDetails, ImportState
from rollover.roster.imports.details import Fetched, FetchedFile
from rollover.roster.imports.files import fetched_file
from rollover.roster.intake.unpack import MAX_BYTES, MAX_MEMBERS, opened
from rollover.roster.reading.passwords import WithoutPasswords
from rollover.sftp.drops import RemoteFile, candidates, is_read, list_folder
from rollover.sftp.transfer import Changed, Server, Wanted, download
from rollover.storage import whole_file

CHANGED = "changed while fetching; the files as they are now make a new drop"
NAME_LENGTH = 100
PACKED = (".gz", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz", ".gpg", ".pgp")


def fetch(
    engine: Engine, tenant_id: str, import_id: str, sftp: paramiko.SFTPClient, server: Server, storage: UPath
) -> Import:
    """Copy the roster files of an import's drop to storage: found → fetched.

    `sftp` lists the folder of `server`, which sends the files. Only files that a format knows are kept, with passwords
    blanked on the way. The details list each with its bytes and SHA-256 as it was sent, and the names of the others.
    The set's SHA-256 is the same whether or not the files were zipped. The files appear in storage only when all of
    them are complete.

    The drop is compared with a fresh listing before and after. If the district has changed it in between, the import
    becomes ``superseded``: the changed files are a new drop. A set that cannot be trusted or read is ``rejected``.
    Raises ConnectionError, after which a retry starts over, if the connection breaks, or if the copy differs from the
    listing although the listing has not changed. Raises Refused if the server denies access.
    """
    found = imports.current(engine, tenant_id, import_id)
    if found.state is not ImportState.FOUND:
        return found
    folder, files = _drop(engine, tenant_id, import_id)
    if not is_read(files[0].name):
        return _reject(engine, found, _unread(files))
    kept = _Kept(storage, import_id, Findings())
    try:
        _copy_drop(sftp, server, folder, files, kept)
    except Changed as changed:
        if _is_as_listed(sftp, folder, files):
            raise ConnectionError("the SFTP server gave other files than it lists") from changed
        return _move(engine, found, ImportState.SUPERSEDED, reason=CHANGED)
    except Unusable as problem:
        findings = Findings()
        findings.refuse(problem.code, problem.file or files[0].name, problem.message, row=problem.row)
        return _reject(engine, found, findings)
    return _move(engine, found, ImportState.FETCHED, kept.findings, sha256=kept.sha256, details=kept.details)


def _unread(files: tuple[RemoteFile, ...]) -> Findings:
    """Findings about files that no roster is read from, with advice about the files to send instead."""
    findings = Findings()
    for file in files:
        findings.refuse("not_read", _storable(file.name), _what_to_send(file.name))
    return findings


def _reject(engine: Engine, found: Import, findings: Findings) -> Import:
    reason, details = why_refused(findings.refusing), ImportDetails(errors=findings.errors)
    return _move(engine, found, ImportState.REJECTED, findings, reason=reason, details=details)


def _move(
    engine: Engine,
    found: Import,
    after: ImportState,
    findings: Findings | None = None,
    *,
    sha256: str | None = None,
    reason: str | None = None,
    details: ImportDetails | None = None,
) -> Import:
    with tenant_session(engine, found.tenant_id) as connection:
        moved = imports.advance(connection, found, after, sha256=sha256, reason=reason, details=details)
        if moved and findings is not None:
            findings.store(connection, found.import_id, found.tenant_id)
        return imports.load(connection, found.import_id)


def _what_to_send(name: str) -> str:
    if "/" in name:
        return (
            "Files in sub folders are not read. Put the roster's CSV files, or one zip of them, into the folder itself."
        )
    if name.lower().endswith(PACKED):
        return "A file packed like this is not read. Send the CSV files as they are, or in a zip."
    return "Only CSV files, and zips of them, are read. Export the roster as CSV; remove what is not a roster."


def _drop(engine: Engine, tenant_id: str, import_id: str) -> tuple[str, tuple[RemoteFile, ...]]:
    with tenant_session(engine, tenant_id) as connection:
        row = connection.execute(
            select(ledger.drops.c.folder, ledger.drops.c.files).where(ledger.drops.c.drop_id == import_id)
        ).one()
    return row.folder, tuple(RemoteFile(**file) for file in row.files)


@dataclass
class _Kept:
    """The files of a set on their way into storage, and what is recorded about them."""

    storage: UPath
    import_id: str
    findings: Findings
    begun: set[str] = field(default_factory=set)
    files: dict[str, FetchedFile] = field(default_factory=dict)
    """By file name, as the format spells it."""
    ignored: list[str] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        if name.lower() in SPELLING:
            return True
        self.ignored.append(name)
        return False

    def begin(self, name: str, parts: ExitStack) -> tuple[str, WithoutPasswords]:
        """Begin to write a wanted file; it appears under its name when `parts` closes without an error."""
        known = SPELLING[name.lower()]
        if known in self.begun:
            message = f"{known} is there twice, in upper and lower case. Keep one."
            raise Unusable("file_twice", message, file=known)
        if known != name:
            self.findings.add("file_name", "warning", known, f"The file name is not spelled {known}. Rename it.")
        self.begun.add(known)
        target = parts.enter_context(whole_file(fetched_file(self.storage, self.import_id, known)))
        return known, WithoutPasswords(known, target)

    def finish(self, known: str, passed: WithoutPasswords, size: int, sha256: str) -> None:
        passed.finish()
        self.files[known] = FetchedFile(bytes=size, sha256=sha256)

    @property
    def sha256(self) -> str:
        """The hash of the set, whether or not its files were zipped, and in whatever order they came."""
        lines = sorted(f"{name} {file.sha256}\n" for name, file in self.files.items())
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def details(self) -> ImportDetails:
        """The record for the ledger. Names of ignored files are shortened, and are no more than a zip may have."""
        ignored = tuple(_storable(name) for name in sorted(self.ignored)[:MAX_MEMBERS])
        return ImportDetails(fetched=Fetched(files=self.files, files_ignored=ignored), warnings=self.findings.warnings)


def _storable(name: str) -> str:
    return name[:NAME_LENGTH].encode("utf-8", "replace").decode().replace("\0", "?")


def _copy_drop(
    sftp: paramiko.SFTPClient, server: Server, folder: str, files: tuple[RemoteFile, ...], kept: _Kept
) -> None:
    _refuse_changed(sftp, folder, files)
    with ExitStack() as parts:
        if files[0].name.lower().endswith(".zip"):
            _copy_zip(server, folder, files[0], kept, parts)
        else:
            _copy_loose(server, folder, files, kept, parts)
        _refuse_changed(sftp, folder, files)


def _copy_loose(server: Server, folder: str, files: tuple[RemoteFile, ...], kept: _Kept, parts: ExitStack) -> None:
    wanted = [file for file in files if kept.wants(file.name)]
    _refuse_too_large(wanted)
    targets = [kept.begin(file.name, parts) for file in wanted]
    sums = download(
        server,
        [
            Wanted(posixpath.join(folder, file.name), file.size, passed)
            for file, (_, passed) in zip(wanted, targets, strict=True)
        ],
    )
    for file, (known, passed), sha256 in zip(wanted, targets, sums, strict=True):
        kept.finish(known, passed, file.size, sha256)


def _copy_zip(server: Server, folder: str, file: RemoteFile, kept: _Kept, parts: ExitStack) -> None:
    _refuse_too_large([file])
    with _nameless_copy(server, folder, file) as local, opened(local, file.size, SPELLING) as zipped:
        kept.ignored += zipped.ignored
        if zipped.in_folder:
            message = "The files lie in a folder of the zip; they were taken. Put them at its root."
            kept.findings.add("zip_folder", "warning", file.name, message)
        for member in zipped.members:
            known, passed = kept.begin(member.name, parts)
            digest = hashlib.sha256()
            for block in zipped.blocks(member):
                digest.update(block)
                passed.write(block)
            kept.finish(known, passed, member.info.file_size, digest.hexdigest())


def _refuse_too_large(files: list[RemoteFile]) -> None:
    if sum(file.size for file in files) > MAX_BYTES:
        raise Unusable("set_too_large", f"The files have more than {MAX_BYTES // 2**30} GiB. Send the roster only.")


@contextmanager
def _nameless_copy(server: Server, folder: str, file: RemoteFile) -> Iterator[IO[bytes]]:
    """A copy without a name on disk, which is gone when it is closed: it may still have passwords."""
    with tempfile.TemporaryFile() as local:
        download(server, [Wanted(posixpath.join(folder, file.name), file.size, local)])
        local.seek(0)
        yield local


def _refuse_changed(sftp: paramiko.SFTPClient, folder: str, files: tuple[RemoteFile, ...]) -> None:
    if not _is_as_listed(sftp, folder, files):
        raise Changed


def _is_as_listed(sftp: paramiko.SFTPClient, folder: str, files: tuple[RemoteFile, ...]) -> bool:
    try:
        listed = list_folder(sftp, folder)
    except FileNotFoundError:
        return False
    except (EOFError, paramiko.SSHException) as error:  # how paramiko tells that the connection is gone
        raise ConnectionError("the SFTP server closed the connection") from error
    return tuple(sorted(files)) in [candidate.files for candidate in candidates(listed)]

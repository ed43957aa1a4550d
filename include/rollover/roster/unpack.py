"""Open a district's zip without trusting it."""

from __future__ import annotations

import io
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any, cast

MAX_MEMBERS = 200
MAX_BYTES = 8 * 2**30
MAX_RATIO = 300
"""Unpacked to packed size, of the zip as a whole. Real rosters reach about 30."""
ENCRYPTED = 0x1
SYSTEM_FOLDER = "__MACOSX"


class Unusable(Exception):
    """A set that cannot be taken as it is. `message` goes to the district: what is wrong, how to mend it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Member:
    """A CSV file in a zip, by the name it has without its folder."""

    name: str
    info: zipfile.ZipInfo


def members(archive: zipfile.ZipFile) -> tuple[Member, ...]:
    """The CSV files of a zip, after its table of contents was found harmless.

    Raises Unusable for too many files, too large or too strongly packed contents, encryption, paths that lead
    out of the zip, CSV files in more than one folder, and two CSV files of one name.
    """
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise Unusable("zip_too_many_files", f"The zip holds more than {MAX_MEMBERS} files. Send the roster only.")
    unpacked = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if unpacked > MAX_BYTES:
        raise Unusable("zip_too_large", f"The zip unpacks to more than {MAX_BYTES // 2**30} GiB. Split it up.")
    if unpacked > max(packed, 1024) * MAX_RATIO:
        raise Unusable("zip_ratio", "The zip is packed more strongly than any roster. Make it anew.")
    for info in infos:
        path = PurePosixPath(info.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in info.filename:
            raise Unusable("zip_path", "The zip holds a path that leads out of it. Zip the CSV files alone.")
        if info.flag_bits & ENCRYPTED:
            raise Unusable("zip_encrypted", "The zip is encrypted. Send it without a password, SFTP protects it.")
    found = [Member(PurePosixPath(info.filename).name, info) for info in infos if _is_csv(info)]
    if len({PurePosixPath(member.info.filename).parent for member in found}) > 1:
        raise Unusable("zip_folders", "The zip holds CSV files in several folders. Put all of them at its root.")
    if len({member.name.lower() for member in found}) < len(found):
        raise Unusable("zip_duplicate", "The zip holds two files of the same name. Keep one of each.")
    return tuple(found)


def contents(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Each CSV file of a zip as (name, stream); a stream ends before the next one begins.

    zipfile reads no more than the announced size of a member and checks its sum at the end, so that the limits
    of :func:`members` hold for what comes out. Raises Unusable, also while a stream is read.
    """
    with _refusing_damage(), zipfile.ZipFile(stream) as archive:
        for member in members(archive):
            with archive.open(member.info) as unpacked:
                yield member.name, cast(IO[bytes], _Unpacked(unpacked))


class _Unpacked(io.RawIOBase):
    """A member of a zip as it is read; damage shows in the middle of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _refusing_damage():
            block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn what zipfile raises on damage into Unusable. Only around what zipfile does: others raise these too."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise Unusable("zip_broken", "The zip is damaged or of an unknown kind. Make it anew and upload it.") from error


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a stream in large blocks."""
    shutil.copyfileobj(source, target, 2**20)


def _is_csv(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.suffix.lower() == ".csv" and path.parts[0] != SYSTEM_FOLDER and not path.name.startswith(".")

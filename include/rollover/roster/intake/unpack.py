"""Opens a district's zip without trusting it.

Nothing is unpacked under a name from the zip: its members are read as streams, and those that no format knows are not
read. So a path, a link or a zip within the zip can do no harm. They are refused or named anyway, because no system that
makes rosters makes them.
"""

from __future__ import annotations

import errno
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast

from rollover.roster.findings import Unusable

MAX_MEMBERS = 200
"""The most files of any kind. A roster has about 20."""
MAX_BYTES = 8 * 2**30
"""The largest size of all roster files together, unpacked. The largest district of the country has about a million
students, whose roster is a tenth of that."""
MAX_RATIO = 300
"""The largest ratio of unpacked to packed size of all roster files. Real rosters reach about 30; deflate's limit is
1,032."""
SMALL_BYTES = 2**20
"""The ratio is checked above this unpacked size: a small file of one repeated line is not a bomb."""
MAX_DIRECTORY_BYTES = 2**20
"""The largest table of contents, which is read at once: 5 KB for each of the most files."""
BLOCK_BYTES = 2**20
ENCRYPTED = 0x1 | 0x40 | 0x2000
"""The flags of encryption: the simple kind, the strong one, and a table of contents that is hidden."""
# Bounded in memory while they are read; bzip2 and LZMA are not, and no system makes rosters with them.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
LOCAL_HEADER_BYTES = 30
SYSTEM_FOLDER = "__MACOSX"
SYSTEM_FILES = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Member:
    """A roster file in a zip, by its name without the folder."""

    name: str
    info: zipfile.ZipInfo


@dataclass(frozen=True)
class Zip:
    """A zip whose table of contents is harmless."""

    archive: zipfile.ZipFile
    members: tuple[Member, ...]
    """The roster files."""
    ignored: tuple[str, ...]
    """The names of other files, except those that operating systems leave behind."""
    in_folder: bool
    """Whether the roster files are in a folder, not at the root."""

    def blocks(self, member: Member) -> Iterator[bytes]:
        """Yield the contents of a member. Raises Unusable at the end if they are not those that the zip announces.

        zipfile yields no more than the announced size and checks the sum at the end, so the limits apply to the real
        contents.
        """
        with _refusing_damage():
            source = self.archive.open(member.info)
        size = 0
        with source:
            while True:
                with _refusing_damage():
                    block = source.read(BLOCK_BYTES)
                if not block:
                    break
                size += len(block)
                yield block
        if size != member.info.file_size:
            raise _broken()


@contextmanager
def opened(stream: IO[bytes], size: int, known: Mapping[str, str]) -> Iterator[Zip]:
    """Open a zip of `size` bytes, to read only the files with a `known` name (in lower case).

    Raises Unusable if the zip has too many files, contents that are too large or packed too strongly, encryption,
    unusual compression methods, paths that lead out of it, links, roster files in more than one folder or twice,
    entries that share their bytes, or damage.
    """
    with _refusing_damage():
        archive = zipfile.ZipFile(cast(IO[bytes], _Bounded(stream)))
    with archive:
        yield _judged(archive, size, known)


def _judged(archive: zipfile.ZipFile, size: int, known: Mapping[str, str]) -> Zip:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_MEMBERS:
        raise Unusable("zip_too_many_files", f"The zip holds more than {MAX_MEMBERS} files. Send the roster only.")
    for info in infos:
        if _leads_out(info.filename):
            raise Unusable("zip_path", "The zip holds a path that leads out of it. Zip the CSV files alone.")
    _refuse_shared(infos, size)
    infos = [info for info in infos if not _is_of_system(info)]
    found = tuple(Member(_path(info).name, info) for info in infos if _path(info).name.lower() in known)
    for member in found:
        _refuse_kind(member.info)
    _refuse_size([member.info for member in found], size)
    folders = {_path(member.info).parent for member in found}
    if len(folders) > 1:
        raise Unusable("zip_folders", "The zip holds CSV files in several folders. Put all of them at its root.")
    if len({member.name.lower() for member in found}) < len(found):
        raise Unusable("zip_duplicate", "The zip holds two files of the same name. Keep one of each.")
    ignored = tuple(_path(info).name for info in infos if _path(info).name.lower() not in known)
    return Zip(archive, found, ignored, in_folder=bool(folders - {PurePosixPath(".")}))


def _path(info: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(info.filename.replace("\\", "/"))


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in name or not path.parts


def _is_of_system(info: zipfile.ZipInfo) -> bool:
    """Whether macOS or Windows made the file by itself: resource forks and folder settings."""
    path = _path(info)
    return path.parts[0] == SYSTEM_FOLDER or path.name.startswith(".") or path.name in SYSTEM_FILES


def _refuse_kind(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & ENCRYPTED:
        raise Unusable("zip_encrypted", "The zip is encrypted. Send it without a password, SFTP protects it.")
    if info.compress_type not in METHODS:
        raise Unusable("zip_method", "The zip is packed in a way that few systems can read. Make an ordinary one.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise Unusable("zip_link", "The zip holds a link in place of a roster file. Zip the file itself.")


def _refuse_size(infos: list[zipfile.ZipInfo], size: int) -> None:
    unpacked = sum(info.file_size for info in infos)
    packed = min(size, sum(info.compress_size for info in infos))
    if unpacked > MAX_BYTES:
        raise Unusable("zip_too_large", f"The zip unpacks to more than {MAX_BYTES // 2**30} GiB. Split it up.")
    if unpacked > max(packed * MAX_RATIO, SMALL_BYTES):
        raise Unusable("zip_ratio", "The zip is packed more strongly than any roster. Zip the files again.")


def _refuse_shared(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse entries that share bytes: they make large contents of a small zip, past every ratio."""
    free = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < free:
            raise Unusable("zip_overlap", "Files of the zip overlap, as no packer makes it. Zip the files again.")
        free = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size
    if free > size:
        raise _broken()


class _Bounded:
    """Limits one read to the size of a table of contents: zipfile trusts the sizes in the zip."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES + BLOCK_BYTES:
            raise Unusable("zip_too_many_files", f"The zip holds more than {MAX_MEMBERS} files. Send the roster only.")
        return self._stream.read(size)

    def seekable(self) -> bool:
        return True


def _broken() -> Unusable:
    return Unusable("zip_broken", "The zip is damaged or of an unknown kind. Zip the files again, and upload the zip.")


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turn zipfile's errors about damage into Unusable. Use it only around calls of zipfile.

    zipfile trusts the zip's numbers and names, so damage can raise nearly any error. An unreadable disk is not damage.
    """
    try:
        yield
    except (Unusable, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise _broken() from error

"""Zips that nobody should trust: bombs, lies, paths and damage of every kind."""

from __future__ import annotations

import errno
import io
import random
import struct
import zipfile
from collections.abc import Callable

import pytest

from rollover.roster.findings import Unusable
from rollover.roster.formats import SPELLING
from rollover.roster.intake import unpack
from rollover.roster.intake.unpack import opened
from tests.support.roster.small_set import as_files, whole_set

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, None if isinstance(name, str) else name.compress_type)
    return out.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    """Everything that is taken from a zip."""
    with opened(io.BytesIO(content), len(content), SPELLING) as found:
        return {member.name: b"".join(found.blocks(member)) for member in found.members}


def why(content: bytes) -> str:
    with pytest.raises(Unusable) as refused:
        read(content)
    assert str(refused.value).endswith("."), "a sentence for the district"
    return refused.value.code


def patched(content: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """A zip with some bytes of the first record of a kind changed."""
    start = content.index(signature) + offset
    return content[:start] + value + content[start + len(value) :]


def test_what_is_taken_and_what_is_named() -> None:
    content = zip_of(
        ("users.csv", b"u"),
        ("ORGS.csv", b"o"),
        ("results.csv", b"r"),
        ("Read me.pdf", b"p"),
        ("inner.zip", zip_of(("courses.csv", b"c"))),
        ("__MACOSX/._users.csv", b"m"),
        (".DS_Store", b"d"),
        ("Thumbs.db", b"t"),
        ("folder/", b""),
    )
    with opened(io.BytesIO(content), len(content), SPELLING) as found:
        assert [member.name for member in found.members] == ["users.csv", "ORGS.csv"]
        assert found.ignored == ("results.csv", "Read me.pdf", "inner.zip")
        assert not found.in_folder


@pytest.mark.parametrize("folder", ["export/", "a/b/", "export\\"])
def test_one_folder_is_reported(folder: str) -> None:
    content = zip_of((f"{folder}users.csv", b"u"), (f"{folder}orgs.csv", b"o"), ("notes.txt", b"n"))
    with opened(io.BytesIO(content), len(content), SPELLING) as found:
        assert found.in_folder
        assert {m.name: b"".join(found.blocks(m)) for m in found.members} == {"users.csv": b"u", "orgs.csv": b"o"}


@pytest.mark.parametrize(
    "name",
    [
        "/etc/users.csv",
        "../users.csv",
        "..\\users.csv",
        "a/../../users.csv",
        "C:\\users.csv",
        "\\\\host\\users.csv",
        "x/../notes.txt",
    ],
)
def test_paths_out_of_the_zip(name: str) -> None:
    assert why(zip_of(("orgs.csv", b"o"), (name, b"x"))) == "zip_path"


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info


def test_links() -> None:
    assert why(zip_of((link("users.csv"), b"/etc/passwd"))) == "zip_link"
    assert read(zip_of((link("elsewhere"), b"/etc/passwd"), ("users.csv", b"u"))) == {"users.csv": b"u"}


REFUSED: list[tuple[str, Callable[[], bytes]]] = [
    ("zip_folders", lambda: zip_of(("a/users.csv", b"x"), ("b/orgs.csv", b"x"))),
    ("zip_folders", lambda: zip_of(("users.csv", b"x"), ("b/orgs.csv", b"x"))),
    ("zip_duplicate", lambda: zip_of(("users.csv", b"x"), ("Users.csv", b"x"))),
    ("zip_duplicate", lambda: zip_of(("users.csv", b"x"), ("users.csv", b"x"))),
    ("zip_ratio", lambda: zip_of(("users.csv", b"0" * 10_000_000))),
    ("zip_too_many_files", lambda: zip_of(*((f"{n}.txt", b"x") for n in range(unpack.MAX_MEMBERS + 1)))),
    ("zip_too_many_files", lambda: zip_of(*((f"{n:05}.txt", b"") for n in range(40_000)))),
    ("zip_encrypted", lambda: patched(zip_of(("users.csv", b"x")), CENTRAL, 8, b"\x01")),
    ("zip_encrypted", lambda: patched(zip_of(("users.csv", b"x")), CENTRAL, 8, b"\x41")),
    ("zip_method", lambda: zip_of(("users.csv", b"x" * 100), method=zipfile.ZIP_BZIP2)),
    ("zip_method", lambda: zip_of(("users.csv", b"x" * 100), method=zipfile.ZIP_LZMA)),
    ("zip_method", lambda: patched(zip_of(("users.csv", b"x")), CENTRAL, 10, b"\x63\x00")),
    ("zip_broken", lambda: b"PK this is no zip"),
    ("zip_broken", lambda: b""),
    ("zip_broken", lambda: zip_of(("users.csv", b"x"))[:-1]),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "content"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused(code: str, content: Callable[[], bytes]) -> None:
    assert why(content()) == code


def test_a_member_that_is_larger_than_it_says() -> None:
    content = zip_of(("users.csv", b"x" * 5_000))
    assert why(patched(content, CENTRAL, 24, struct.pack("<I", 10))) == "zip_broken"


def test_a_member_that_is_smaller_than_it_says() -> None:
    content = zip_of(("users.csv", random.Random(1).randbytes(5_000)))
    assert why(patched(content, CENTRAL, 24, struct.pack("<I", 6_000))) == "zip_broken"


def test_a_member_that_says_to_be_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    content = zip_of(("users.csv", random.Random(1).randbytes(5_000)))
    assert why(patched(content, CENTRAL, 24, struct.pack("<I", 2**32 - 2))) == "zip_ratio"
    monkeypatch.setattr(unpack, "MAX_BYTES", 2**31)
    assert why(patched(content, CENTRAL, 24, struct.pack("<I", 2**32 - 2))) == "zip_too_large"


def test_a_bomb_of_entries_that_share_their_bytes() -> None:
    """As David Fifield's of 2019: a kernel of a few bytes stands behind each of many headers."""
    kernel = zip_of(("users.csv", b"x" * 900))
    local = kernel[: kernel.index(CENTRAL)]
    central = kernel[kernel.index(CENTRAL) : kernel.index(END)]
    names = (b"users.csv", b"orgs_.csv", b"clas_.csv")
    directory = b"".join(central.replace(b"users.csv", name) for name in names)
    end = struct.pack("<4sHHHHIIH", END, 0, 0, len(names), len(names), len(directory), len(local), 0)
    assert why(local + directory + end) == "zip_overlap"


def test_a_table_of_contents_that_would_fill_memory_is_not_read() -> None:
    content = zip_of(("users.csv", b"x"))
    end = content.index(END)
    bloated = content[:end] + b"\0" * 3_000_000 + patched(content[end:], END, 12, struct.pack("<I", 3_000_000))
    assert why(bloated) in ("zip_too_many_files", "zip_broken")


def test_nothing_but_the_roster_is_unpacked() -> None:
    """A bomb that no format knows is not read, and does not count."""
    content = zip_of(("bomb.bin", b"0" * 50_000_000), ("users.csv", b"u"))
    assert read(content) == {"users.csv": b"u"}


def whole_zip() -> bytes:
    return zip_of(*as_files(whole_set()).items())


def test_cut_off_anywhere() -> None:
    content = whole_zip()
    for end in {*range(0, len(content), max(1, len(content) // 400)), *range(len(content) - 80, len(content))}:
        assert why(content[:end]) == "zip_broken", end


def test_damaged_anywhere() -> None:
    """Every exception that zipfile has for damage is ours, and what is taken all the same is what was packed."""
    files = as_files(whole_set())
    content = whole_zip()
    chance = random.Random(7)
    codes = set()
    directory = content.index(CENTRAL)
    places = [*range(directory, len(content)), *(chance.randrange(directory) for _ in range(500))]
    for place in places:
        bad = bytearray(content)
        bad[place] ^= chance.choice([0xFF, 0x01, 0x80])
        try:
            taken = read(bytes(bad))
        except Unusable as refused:
            codes.add(refused.code)
        else:
            assert set(taken.values()) <= set(files.values())
    assert {"zip_broken", "zip_encrypted", "zip_method"} <= codes


def test_a_disk_that_cannot_be_read_is_not_the_districts_fault() -> None:
    class Failing(io.BytesIO):
        failing = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.failing:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    content = whole_zip()
    stream = Failing(content)
    with opened(stream, len(content), SPELLING) as found:
        stream.failing = True
        with pytest.raises(OSError, match="Input/output"):
            list(found.blocks(found.members[0]))

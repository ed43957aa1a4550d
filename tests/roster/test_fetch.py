"""Copying drops: what is kept, what is refused, and a district that is still uploading."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from rollover.roster import fetch as fetch_module
from rollover.roster import unpack
from rollover.roster.fetch import CHANGED, blank_passwords
from rollover.roster.unpack import Unusable
from tests.roster.conftest import District
from tests.roster.sets import PASSWORD, as_csv, as_files, as_zip, whole_set


def stored(district: District, import_id: str) -> dict[str, bytes]:
    folder = district.storage / "imports" / import_id / "files"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_loose_files_are_copied_without_passwords(district: District) -> None:
    files = as_files(whole_set())
    import_id = district.upload({**files, "results.csv": b"not,ours\n"})
    result = district.fetch(import_id)
    copied = stored(district, import_id)

    assert result["state"] == "fetched"
    assert result["counts"]["bytes"] == {name: len(content) for name, content in files.items()}
    assert copied.keys() == files.keys()
    assert {name: content for name, content in copied.items() if name != "users.csv"} == {
        name: content for name, content in files.items() if name != "users.csv"
    }
    assert copied["users.csv"] == files["users.csv"].replace(PASSWORD.encode(), b"")
    assert not any(PASSWORD.encode() in content for content in copied.values())


@pytest.mark.parametrize("folder", ["", "export/"])
def test_a_zip_gives_the_same_as_loose_files(district: District, folder: str) -> None:
    files = as_files(whole_set())
    loose = district.upload(files)
    district.fetch(loose)
    zipped = district.upload(
        {"roster.zip": as_zip({**files, "__MACOSX/._users.csv": b"x"} if not folder else files, folder)}
    )
    assert district.fetch(zipped)["state"] == "fetched"
    assert stored(district, zipped) == stored(district, loose)
    hashes = district.rows("SELECT DISTINCT sha256 FROM ledger.imports")
    assert len(hashes) == 1 and len(hashes[0][0]) == 64


def test_a_file_name_in_another_case_is_taken_with_a_warning(district: District) -> None:
    files = as_files(whole_set())
    import_id = district.upload({name.upper() if name == "users.csv" else name: c for name, c in files.items()})
    assert district.fetch(import_id)["counts"]["warnings"] == {"file_name": 1}
    assert "users.csv" in stored(district, import_id)
    assert district.findings(import_id) == {("file_name", "warning", "users.csv", None, None)}


def test_fetching_again_does_nothing(district: District) -> None:
    import_id = district.upload(as_files(whole_set()))
    first = district.fetch(import_id)
    (district.sftp.root / district.folder / "users.csv").unlink()
    assert district.fetch(import_id) == first


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(b"longer than before" * 1000), id="size"),
        pytest.param(lambda path: path.touch(), id="time"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.with_name("more.csv").write_bytes(b"x"), id="one more"),
    ],
)
def test_a_drop_that_changed_is_superseded(district: District, change: Callable[[Any], Any]) -> None:
    import_id = district.upload(as_files(whole_set()))
    change(district.sftp.root / district.folder / "users.csv")
    result = district.fetch(import_id)
    assert (result["state"], result["reason"]) == ("superseded", CHANGED)


def test_a_drop_that_changes_while_it_is_copied_is_superseded(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = district.upload(as_files(whole_set()))
    path = district.sftp.root / district.folder / "courses.csv"
    copy = fetch_module.copy

    def copy_while_uploading(source: Any, target: Any) -> None:
        copy(source, target)
        path.write_bytes(b"new")

    monkeypatch.setattr(fetch_module, "copy", copy_while_uploading)
    assert district.fetch(import_id)["state"] == "superseded"


@pytest.mark.parametrize("received", [b"", b"cut off"])
def test_a_copy_that_differs_from_an_unchanged_listing_can_be_retried(
    district: District, monkeypatch: pytest.MonkeyPatch, received: bytes
) -> None:
    import_id = district.upload(as_files(whole_set()))

    def cut_off(_: Any, remote: str, local: Any) -> None:
        local.write(received)
        if not received:
            raise OSError("size mismatch in get!  0 != 100")

    with monkeypatch.context() as patched:
        patched.setattr(type(district.sftp.client), "getfo", cut_off)
        with pytest.raises(ConnectionError, match="other files than it lists"):
            district.fetch(import_id)
    assert district.rows("SELECT state FROM ledger.imports") == [("found",)]
    assert district.fetch(import_id)["state"] == "fetched"


@pytest.mark.parametrize(("where", "how"), [("copy", ConnectionResetError), ("list_folder", EOFError)])
def test_a_lost_connection_can_be_retried(
    district: District, monkeypatch: pytest.MonkeyPatch, where: str, how: type[Exception]
) -> None:
    import_id = district.upload(as_files(whole_set()))
    with monkeypatch.context() as patched:

        def lost(*_: Any) -> None:
            raise how("connection lost")

        patched.setattr(fetch_module, where, lost)
        with pytest.raises(ConnectionError):
            district.fetch(import_id)
    assert stored(district, import_id) == {}
    assert district.rows("SELECT state FROM ledger.imports") == [("found",)]
    assert district.fetch(import_id)["state"] == "fetched"


def zip_of(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def damaged() -> bytes:
    """A zip whose table of contents is right, and whose contents are not."""
    content = bytearray(zip_of(("users.csv", as_csv(whole_set()["users"]))))
    content[60] ^= 0xFF
    return bytes(content)


def encrypted() -> bytes:
    content = bytearray(zip_of(("users.csv", b"x")))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


HOSTILE = [
    ("zip_path", zip_of(("../users.csv", b"x"))),
    ("zip_folders", zip_of(("a/users.csv", b"x"), ("b/orgs.csv", b"x"))),
    ("zip_duplicate", zip_of(("users.csv", b"x"), ("Users.csv", b"x"))),
    ("zip_ratio", zip_of(("users.csv", b"0" * 10_000_000))),
    ("zip_too_many_files", zip_of(*((f"{n}.csv", b"x") for n in range(unpack.MAX_MEMBERS + 1)))),
    ("zip_encrypted", encrypted()),
    ("zip_broken", damaged()),
    ("zip_broken", b"PK this is no zip"),
]


@pytest.mark.parametrize(("code", "content"), HOSTILE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_zip_that_cannot_be_trusted_is_rejected(district: District, code: str, content: bytes) -> None:
    import_id = district.upload({"roster.zip": content})
    result = district.fetch(import_id)
    assert (result["state"], result["reason"]) == ("rejected", f"1 error: {code} (1)")
    assert district.findings(import_id) == {(code, "error", "roster.zip", None, None)}
    assert stored(district, import_id) == {}


@pytest.mark.parametrize("name", ["/etc/users.csv", "..\\users.csv", "a/../../users.csv", "C:\\users.csv"])
def test_paths_out_of_a_zip_are_refused(name: str) -> None:
    with pytest.raises(Unusable) as refused:
        list(unpack.contents(io.BytesIO(zip_of((name, b"x")))))
    assert refused.value.code == "zip_path"


def test_blanking_keeps_ragged_rows_and_any_bytes() -> None:
    source = b'sourcedId,Password,x\r\n1,"a,\nb",\xe9\r\n2\r\n3,secret,"q"",",more\r\n'
    target = io.BytesIO()
    blank_passwords(io.BytesIO(source), target)
    assert target.getvalue() == b'sourcedId,Password,x\r\n1,,\xe9\r\n2\r\n3,,"q"",",more\r\n'


def test_a_file_without_a_password_column_is_copied_byte_for_byte() -> None:
    source = b'\xef\xbb\xbfsourcedId,username\n1,"a"\n2,b'
    target = io.BytesIO()
    blank_passwords(io.BytesIO(source), target)
    assert target.getvalue() == source

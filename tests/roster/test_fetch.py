"""Copying drops: what is kept, what is refused, and a district that is still uploading."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncssh
import paramiko
import pytest
from upath import UPath

from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.roster.intake import fetch as fetch_module
from rollover.roster.intake import unpack
from rollover.roster.intake.fetch import CHANGED
from rollover.roster.reporting.report import deliver_findings
from rollover.season.detail import detail_of
from rollover.sftp import transfer
from rollover.sftp.drops import list_folder, passed_over, record
from rollover.sftp.transfer import Server, Wanted
from tests.roster.conftest import District
from tests.roster.test_report import HERO, SPRINGFIELD
from tests.support.roster.small_set import PASSWORD, as_csv, as_files, as_zip, whole_set


def stored(district: District, import_id: str) -> dict[str, bytes]:
    """What storage holds of an import under the names of its files."""
    folder = district.storage / "imports" / import_id / "files"
    files = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
    assert not any(name.startswith(".") for name in files), "a part of a file was left"
    return files


def facts(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_loose_files_are_copied_without_passwords(district: District) -> None:
    files = as_files(whole_set())
    import_id = district.upload({**files, "results.csv": b"not,ours\n", "Lunch.csv": b"nor,that\n"})
    result = district.fetch(import_id)
    copied = stored(district, import_id)

    assert result["state"] == "fetched"
    assert result["details"]["fetched"]["files"] == {name: facts(content) for name, content in files.items()}
    assert result["details"]["fetched"]["files_ignored"] == ["Lunch.csv", "results.csv"]
    assert copied.keys() == files.keys()
    assert {name: content for name, content in copied.items() if name != "users.csv"} == {
        name: content for name, content in files.items() if name != "users.csv"
    }
    assert copied["users.csv"] == files["users.csv"].replace(PASSWORD.encode(), b"")
    assert not any(PASSWORD.encode() in content for content in copied.values())


def test_every_format_and_encoding_loses_its_passwords(district: District) -> None:
    rows = f"School_id,Student_id,Student_Password,Username\r7,1,{PASSWORD},a\r7,2,{PASSWORD},b\r"
    files = {
        "students.csv": rows.encode("utf-16"),
        "teachers.csv": rows.replace("Student_", "").encode("utf-16-le"),
        "staff.csv": b"\xef\xbb\xbf" + rows.replace("Student_Password", "pwd").replace("\r", "\r\n").encode(),
    }
    import_id = district.upload(files)
    assert district.fetch(import_id)["state"] == "fetched"
    copied = stored(district, import_id)
    blank = PASSWORD.encode()
    assert copied["students.csv"] == files["students.csv"].replace(PASSWORD.encode("utf-16-le"), b"")
    assert copied["teachers.csv"] == files["teachers.csv"].replace(PASSWORD.encode("utf-16-le"), b"")
    assert copied["staff.csv"] == files["staff.csv"].replace(blank, b"")


@pytest.mark.parametrize("folder", ["", "export/"])
def test_a_zip_gives_the_same_as_loose_files(district: District, folder: str) -> None:
    files = as_files(whole_set())
    loose = district.upload(files)
    loose_result = district.fetch(loose)
    more = {"results.csv": b"x", "inner.zip": as_zip(files), "__MACOSX/._users.csv": b"x"} if not folder else {}
    zipped = district.upload({"roster.zip": as_zip(dict(reversed({**files, **more}.items())), folder)})
    result = district.fetch(zipped)
    assert result["state"] == "fetched"
    assert result["details"]["fetched"]["files"] == loose_result["details"]["fetched"]["files"]
    assert result["details"]["fetched"]["files_ignored"] == (["inner.zip", "results.csv"] if not folder else [])
    assert result["details"]["warnings"] == ({"zip_folder": 1} if folder else {})
    assert stored(district, zipped) == stored(district, loose)
    hashes = district.rows("SELECT DISTINCT sha256 FROM ledger.imports")
    assert len(hashes) == 1 and len(hashes[0][0]) == 64


def test_another_password_makes_another_set(district: District) -> None:
    files = as_files(whole_set())
    district.fetch(district.upload(files))
    district.fetch(district.upload({**files, "users.csv": files["users.csv"].replace(b"horse", b"mule")}))
    assert len(district.rows("SELECT DISTINCT sha256 FROM ledger.imports")) == 2


def test_storage_that_is_not_a_local_disk(district: District) -> None:
    files = as_files(whole_set())
    import_id = district.upload(files)
    district.storage = UPath(f"memory://{district.folder}/storage")
    assert district.fetch(import_id)["state"] == "fetched"
    assert stored(district, import_id).keys() == files.keys()


def test_a_file_name_in_another_case_is_taken_with_a_warning(district: District) -> None:
    files = as_files(whole_set())
    import_id = district.upload({name.upper() if name == "users.csv" else name: c for name, c in files.items()})
    result = district.fetch(import_id)
    assert result["details"]["warnings"] == {"file_name": 1}
    assert result["details"]["fetched"]["files"].keys() == files.keys()
    assert "users.csv" in stored(district, import_id)
    assert district.findings(import_id) == {("file_name", "warning", "users.csv", None, None)}


def test_a_file_that_is_there_in_two_cases_is_refused(district: District) -> None:
    import_id = district.upload({**as_files(whole_set()), "Orgs.csv": b"x"})
    assert district.fetch(import_id)["state"] == "rejected"
    assert district.findings(import_id) == {("file_twice", "error", "orgs.csv", None, None)}
    assert stored(district, import_id) == {}


def test_a_file_that_is_too_broken_to_find_its_passwords_is_not_stored(district: District) -> None:
    users = b"sourcedId,password\n" + b"1,x\n" * 3 + b"4," + PASSWORD.encode() * 20_000
    import_id = district.upload({**as_files(whole_set()), "users.csv": users})
    result = district.fetch(import_id)
    assert result["state"] == "rejected"
    assert district.findings(import_id) == {("not_csv", "error", "users.csv", 5, None)}
    assert stored(district, import_id) == {}


def test_a_set_that_is_larger_than_any_roster_is_refused(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_module, "MAX_BYTES", 1_000)
    for files in (as_files(whole_set()), {"roster.zip": b"x" * 1_001}):
        import_id = district.upload(files)
        assert district.fetch(import_id)["state"] == "rejected"
        assert {code for code, *_ in district.findings(import_id)} == {"set_too_large"}


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
        pytest.param(
            lambda path: [p.unlink() for p in path.parent.iterdir()] and path.parent.rmdir(), id="folder gone"
        ),
    ],
)
def test_a_drop_that_changed_is_superseded(district: District, change: Callable[[Any], Any]) -> None:
    import_id = district.upload(as_files(whole_set()))
    change(district.sftp.root / district.folder / "users.csv")
    result = district.fetch(import_id)
    assert (result["state"], result["reason"]) == ("superseded", CHANGED)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes() + b"more"), id="longer"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-9]), id="shorter"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.unlink(), id="gone"),
    ],
)
def test_a_drop_that_changes_while_it_is_copied_is_superseded(
    district: District, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], before: bool
) -> None:
    import_id = district.upload(as_files(whole_set()))
    download = fetch_module.download

    def download_while_uploading(server: Server, wanted: Sequence[Wanted]) -> list[str]:
        path = district.sftp.root / district.folder / "courses.csv"
        if before:
            change(path)
        sums = download(server, wanted)
        if not before:
            change(path)
        return sums

    monkeypatch.setattr(fetch_module, "download", download_while_uploading)
    assert district.fetch(import_id)["state"] == "superseded"
    assert stored(district, import_id) == {}


@pytest.mark.parametrize("received", [b"", b"cut off"])
def test_a_copy_that_differs_from_an_unchanged_listing_can_be_retried(
    district: District, monkeypatch: pytest.MonkeyPatch, received: bytes
) -> None:
    import_id = district.upload(as_files(whole_set()))

    async def cut_off(file: Any, size: int, place: int) -> bytes:
        return received if place == 0 else b""

    with monkeypatch.context() as patched:
        patched.setattr(transfer, "_read", cut_off)
        with pytest.raises(ConnectionError, match="other files than it lists"):
            district.fetch(import_id)
    assert stored(district, import_id) == {}
    assert district.rows("SELECT state FROM ledger.imports") == [("found",)]
    assert district.fetch(import_id)["state"] == "fetched"


def test_answers_that_are_shorter_than_asked_for_are_put_together(
    district: District, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = as_files(whole_set())
    import_id = district.upload(files)
    read = transfer._read

    async def short(file: Any, size: int, place: int) -> bytes:
        return await read(file, min(size, 7 + place % 5), place)

    monkeypatch.setattr(transfer, "_read", short)
    result = district.fetch(import_id)
    assert result["details"]["fetched"]["files"] == {name: facts(content) for name, content in files.items()}


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("_read", asyncssh.ConnectionLost("x")),
        ("_read", asyncssh.SFTPConnectionLost("x")),
        ("_read", asyncssh.SFTPFailure("x")),
        ("list_folder", EOFError("x")),
        ("list_folder", paramiko.SSHException("Server connection dropped")),
    ],
    ids=repr,
)
def test_a_lost_connection_can_be_retried(
    district: District, monkeypatch: pytest.MonkeyPatch, where: str, how: Exception
) -> None:
    import_id = district.upload(as_files(whole_set()))

    def lost(*_: Any) -> Any:
        raise how

    with monkeypatch.context() as patched:
        patched.setattr(transfer if where == "_read" else fetch_module, where, lost)
        with pytest.raises(ConnectionError):
            district.fetch(import_id)
    assert stored(district, import_id) == {}
    assert district.rows("SELECT state FROM ledger.imports") == [("found",)]
    assert district.fetch(import_id)["state"] == "fetched"


def test_a_file_that_may_not_be_read_needs_a_person(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    import_id = district.upload(as_files(whole_set()))

    async def denied(*_: Any) -> bytes:
        raise asyncssh.SFTPPermissionDenied("no")

    monkeypatch.setattr(transfer, "_read", denied)
    with pytest.raises(Refused, match=r"does not let Rollover read \w+\.csv"):
        district.fetch(import_id)
    assert stored(district, import_id) == {}


def test_a_killed_fetch_leaves_nothing_under_a_name(district: District, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it leaves holds no password."""
    import_id = district.upload(as_files(whole_set()))

    class Killed(BaseException):
        pass

    def killed(server: Server, wanted: Sequence[Wanted]) -> list[str]:
        transfer.download(server, wanted)
        for file in (district.storage / "imports" / import_id / "files").iterdir():
            assert file.name.startswith(".")
            assert PASSWORD.encode() not in file.read_bytes()
        raise Killed

    monkeypatch.setattr(fetch_module, "download", killed)
    with pytest.raises(Killed):
        district.fetch(import_id)
    assert stored(district, import_id) == {}


def zip_of(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def damaged() -> bytes:
    """A zip whose table of contents is right, and whose contents are not, in its second file."""
    content = bytearray(zip_of(("orgs.csv", b"o"), ("users.csv", as_csv(whole_set()["users"]))))
    content[130] ^= 0xFF
    return bytes(content)


HOSTILE = [
    ("zip_path", zip_of(("../users.csv", b"x"))),
    ("zip_folders", zip_of(("a/users.csv", b"x"), ("b/orgs.csv", b"x"))),
    ("zip_duplicate", zip_of(("users.csv", b"x"), ("Users.csv", b"x"))),
    ("zip_ratio", zip_of(("users.csv", b"0" * 10_000_000))),
    ("zip_too_many_files", zip_of(*((f"{n}.csv", b"x") for n in range(unpack.MAX_MEMBERS + 1)))),
    ("zip_broken", damaged()),
    ("zip_broken", zip_of(("users.csv", as_csv(whole_set()["users"])))[:-30]),
    ("zip_broken", b"PK this is no zip"),
]


@pytest.mark.parametrize(("code", "content"), HOSTILE, ids=lambda value: value if isinstance(value, str) else "")
def test_a_zip_that_cannot_be_trusted_is_rejected(district: District, code: str, content: bytes) -> None:
    import_id = district.upload({"roster.zip": content})
    result = district.fetch(import_id)
    assert (result["state"], result["reason"]) == ("rejected", f"refused for {code}")
    assert district.findings(import_id) == {(code, "error", "roster.zip", None, None)}
    assert stored(district, import_id) == {}


def test_files_that_are_not_read_are_reported_and_change_nothing(district: District) -> None:
    district.take(as_files(whole_set()))
    local = district.sftp.root / district.folder
    (local / "old").mkdir()
    for name in ("old/users.csv", "people.xlsx", "users.csv.gz"):
        (local / name).write_bytes(b"x")
    others = passed_over(list_folder(district.sftp.client, f"/{district.folder}", sub_folders=True))
    assert others is not None
    with tenant_session(district.engine, district.tenant_id) as connection:
        import_id = record(connection, district.tenant_id, f"/{district.folder}", others)
    assert import_id is not None
    result = district.go_on(import_id)
    assert (result["state"], result["reason"]) == ("rejected", "refused for not_read")
    query = "SELECT file, message FROM ledger.findings WHERE import_id = :id ORDER BY file"
    found = dict(district.rows(query, id=import_id))
    assert list(found) == ["old/users.csv", "people.xlsx", "users.csv.gz"]
    assert "sub folders" in found["old/users.csv"] and "Export" in found["people.xlsx"]
    assert "packed" in found["users.csv.gz"]
    with tenant_session(district.engine, district.tenant_id) as connection:
        known = Catalog({SPRINGFIELD.district: SPRINGFIELD}, {HERO.product: HERO}, ())
        (said,) = [each for each in detail_of(connection, known, datetime.now(UTC)).sentences if "on SFTP" in each]
        assert said.startswith("3 files on SFTP are not read") and "people" not in said
        assert record(connection, district.tenant_id, f"/{district.folder}", others) is None
    sent: dict[str, str] = {}

    def deliver(file: UPath, remote_path: str) -> None:
        sent[remote_path.rpartition("/")[2]] = file.read_text(encoding="utf-8-sig")

    deliver_findings(district.engine, district.tenant_id, import_id, district.storage, SPRINGFIELD, HERO, deliver)
    assert "people.xlsx" in sent["summary.txt"] and "old/users.csv" in sent["findings.csv"]

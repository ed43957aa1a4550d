"""What is a drop, when it has settled, and that each is recorded once."""

from __future__ import annotations

import io
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from rollover.database.session import tenant_session
from rollover.errors import StorageFailed
from rollover.sftp.drops import (
    NOT_READ,
    Candidate,
    RemoteFile,
    Settling,
    candidates,
    known_fingerprints,
    list_folder,
    passed_over,
    record,
)
from rollover.sftp.outbox import put_file
from tests.support.sftp_server import Sftp, sftp, sftp_server
from tests.support.small_district import unguarded

__all__ = ["sftp", "sftp_server"]

USERS = RemoteFile("users.csv", 10, 100)
ORGS = RemoteFile("orgs.csv", 20, 200)
ZIP = RemoteFile("roster.zip", 30, 150)
TENANT = "hero__springfield-il"


def test_a_listing_leaves_out_hidden_files_and_folders(sftp: Sftp) -> None:
    folder = sftp.root / uuid.uuid4().hex
    (folder / "outbox").mkdir(parents=True)
    (folder / "users.csv").write_bytes(b"12345")
    (folder / ".users.csv.part").write_bytes(b"1")
    (listed,) = list_folder(sftp.client, f"/{folder.name}")
    assert (listed.name, listed.size, listed.modified) == (
        "users.csv",
        5,
        int((folder / "users.csv").stat().st_mtime),
    )


def test_a_missing_folder_is_an_error_not_an_empty_one(sftp: Sftp) -> None:
    with pytest.raises(FileNotFoundError):
        list_folder(sftp.client, "/nowhere")


def test_each_zip_is_a_candidate_and_all_loose_files_are_one() -> None:
    other = RemoteFile("notes.txt", 1, 1)
    found = candidates([USERS, ORGS, ZIP, RemoteFile("B.ZIP", 1, 300), other])
    assert [candidate.files for candidate in found] == [(ZIP,), (ORGS, USERS), (RemoteFile("B.ZIP", 1, 300),)]
    assert candidates([other]) == ()


def test_what_is_not_read_is_one_candidate_without_what_is_on_its_way() -> None:
    passed = [RemoteFile(name, 1, 100) for name in ("a.xml", "b.XLSX", "c.csv.gz", "notes.txt", "old/users.csv", "x")]
    quiet = ("done", "roster.zip.done", "users.csv.filepart", "up.tmp", "~$b.xlsx", "Thumbs.db", "old/.x", "sftp.log")
    found = passed_over([USERS, ORGS, ZIP, *passed, *(RemoteFile(name, 1, 100) for name in quiet)])
    assert found is not None and found.files == tuple(sorted(passed)) and not found.done
    assert found.place == NOT_READ
    assert passed_over([USERS, ZIP, RemoteFile("done", 0, 1)]) is None
    below = [RemoteFile("old/users.csv", 1, 1), RemoteFile("old/x.zip", 1, 1), RemoteFile("old/done", 1, 999)]
    assert [(each.files, each.done) for each in candidates([USERS, *below])] == [((USERS,), False)]


@pytest.mark.parametrize(
    ("markers", "zip_done", "loose_done"),
    [
        ([], False, False),
        ([RemoteFile("done", 0, 200)], True, True),
        ([RemoteFile("upload.done", 0, 300)], True, True),
        ([RemoteFile("roster.zip.done", 0, 300)], True, False),
        ([RemoteFile("users.csv.done", 0, 300)], False, True),
        # Left from an earlier upload: older than the zip, or than one of the loose files.
        ([RemoteFile("done", 0, 149)], False, False),
        ([RemoteFile("done", 0, 199)], True, False),
    ],
)
def test_a_marker_speaks_for_what_was_there_before_it(
    markers: list[RemoteFile], zip_done: bool, loose_done: bool
) -> None:
    of_zip, loose = candidates([USERS, ORGS, ZIP, *markers])
    assert (of_zip.done, loose.done) == (zip_done, loose_done)


FILES = st.builds(
    RemoteFile,
    name=st.text(min_size=1, max_size=8),
    size=st.integers(0, 2**40),
    modified=st.integers(0, 2**33),
)


@given(st.lists(FILES, min_size=1, max_size=5), st.randoms())
def test_a_fingerprint_tells_sets_of_files_apart_and_nothing_else(files: list[RemoteFile], random: object) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    fingerprint = Candidate(tuple(files), done=False).fingerprint
    assert fingerprint == Candidate(tuple(shuffled), done=True).fingerprint
    first, *others = files
    for changed in (
        RemoteFile(first.name + "x", first.size, first.modified),
        RemoteFile(first.name, first.size + 1, first.modified),
        RemoteFile(first.name, first.size, first.modified + 1),
    ):
        if sorted([changed, *others]) != sorted(files):
            assert Candidate((changed, *others), done=False).fingerprint != fingerprint


def test_a_candidate_settles_after_it_was_seen_unchanged_long_enough() -> None:
    settling = Settling(300)
    small, grown = candidates([USERS]), candidates([RemoteFile("users.csv", 11, 101)])
    assert settling.observe("/a", small, clock=1000) == ()
    assert settling.observe("/a", small, clock=1299.9) == ()
    assert settling.observe("/a", grown, clock=1300) == ()
    assert settling.observe("/a", grown, clock=1599) == ()
    assert settling.observe("/a", grown, clock=1600) == grown
    # Another folder with the same listing has its own clock, and a file that came back starts again.
    assert settling.observe("/b", grown, clock=1600) == ()
    assert settling.observe("/a", (), clock=1700) == ()
    assert settling.observe("/a", grown, clock=2000) == ()


def test_a_marker_settles_at_once() -> None:
    done = candidates([USERS, RemoteFile("done", 0, 100)])
    assert Settling(300).observe("/a", done, clock=0) == done


def test_a_drop_is_recorded_once(engine: Engine, owner: Engine) -> None:
    (candidate,) = candidates([USERS, ORGS])
    with tenant_session(engine, TENANT) as connection:
        import_id = record(connection, TENANT, "/springfield-il/hero", candidate)
    assert import_id == f"{TENANT}__{candidate.fingerprint[:12]}"
    with tenant_session(engine, TENANT) as connection:
        assert record(connection, TENANT, "/springfield-il/hero", candidate) is None
        assert known_fingerprints(connection) == {candidate.fingerprint}
    with tenant_session(engine, "hero__shelbyville-il") as connection:
        assert known_fingerprints(connection) == set()
    with owner.connect() as connection:
        assert connection.execute(text("SELECT import_id, state FROM ledger.imports")).all() == [(import_id, "found")]
        assert connection.scalar(text("SELECT files FROM ledger.drops")) == [
            {"name": "orgs.csv", "size": 20, "modified": 200},
            {"name": "users.csv", "size": 10, "modified": 100},
        ]


FIRST, SECOND, ZIPPED = (
    candidates([*files])[0] for files in ((USERS, ORGS), (RemoteFile("users.csv", 11, 101), ORGS), (ZIP,))
)


def test_a_drop_that_comes_back_is_recorded_anew(engine: Engine, owner: Engine) -> None:
    def recorded(candidate: Candidate) -> str | None:
        with tenant_session(engine, TENANT) as connection:
            return record(connection, TENANT, "/springfield-il/hero", candidate)

    ids = [recorded(candidate) for candidate in (ZIPPED, FIRST, SECOND, FIRST, SECOND)]
    assert None not in ids and len(set(ids)) == len(ids)
    assert recorded(SECOND) is None
    assert recorded(ZIPPED) is None, "a file of another name has not taken its place"
    with tenant_session(engine, TENANT) as connection:
        assert known_fingerprints(connection) == {SECOND.fingerprint, ZIPPED.fingerprint}
    with owner.connect() as connection:
        assert list(connection.scalars(text("SELECT import_id FROM ledger.imports ORDER BY found_at"))) == ids


def test_a_drop_that_changed_before_it_was_fetched_is_news_when_it_comes_back(engine: Engine, owner: Engine) -> None:
    with tenant_session(engine, TENANT) as connection:
        first = record(connection, TENANT, "/f", FIRST)
    for sha256, is_news in (("a hash", False), (None, True)):
        with owner.begin() as connection:
            connection.execute(
                text("UPDATE ledger.imports SET state = 'superseded', sha256 = :sha256"), {"sha256": sha256}
            )
        with tenant_session(engine, TENANT) as connection:
            assert (FIRST.fingerprint not in known_fingerprints(connection)) is is_news
            again = record(connection, TENANT, "/f", FIRST)
            assert (again is not None) is is_news and again != first


def test_a_newer_drop_is_newer_whatever_the_clock_says(engine: Engine, owner: Engine) -> None:
    with tenant_session(engine, TENANT) as connection:
        first = record(connection, TENANT, "/f", FIRST)
    with owner.begin() as connection:
        unguarded(connection, "drops")
        for table in ("drops", "imports"):
            connection.execute(text(f"UPDATE ledger.{table} SET found_at = found_at + interval '1 hour'"))
    with tenant_session(engine, TENANT) as connection:
        second = record(connection, TENANT, "/f", SECOND)
        assert record(connection, TENANT, "/f", SECOND) is None
    with owner.connect() as connection:
        for query in (
            "SELECT import_id FROM ledger.imports ORDER BY found_at",
            "SELECT drop_id FROM ledger.drops ORDER BY found_at",
        ):
            assert list(connection.scalars(text(query))) == [first, second]


def test_a_delivery_makes_folders_and_replaces_the_file(sftp: Sftp) -> None:
    folder = sftp.root / uuid.uuid4().hex
    folder.mkdir()
    remote = f"/{folder.name}/outbox/2025-26/report.csv"
    for content in (b"first", b"second, longer"):
        put_file(sftp.client, io.BytesIO(content), remote)
        assert [path.name for path in (folder / "outbox" / "2025-26").iterdir()] == ["report.csv"]
        assert (folder / "outbox" / "2025-26" / "report.csv").read_bytes() == content


def test_a_delivery_outside_an_outbox_is_refused(sftp: Sftp) -> None:
    with pytest.raises(PermissionError):
        put_file(sftp.client, io.BytesIO(b"x"), "/report.csv")


def test_a_server_that_only_says_failure_is_reported_with_the_file_and_what_to_do(sftp: Sftp) -> None:
    folder = sftp.root / uuid.uuid4().hex
    (folder / "outbox" / "report.csv" / "in the way").mkdir(parents=True)  # as good as a disk that is full
    said = r"/outbox/report.csv cannot be delivered: the SFTP server says .*whether the disk or the quota"
    with pytest.raises(StorageFailed, match=said):
        put_file(sftp.client, io.BytesIO(b"x"), f"/{folder.name}/outbox/report.csv")


@pytest.mark.parametrize("error", [TimeoutError, ConnectionError])
def test_a_server_that_falls_silent_is_asked_again(
    sftp: Sftp, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    """As paramiko says it: an OSError without a number, while the channel is open."""

    def silent(*_: object) -> None:
        raise error

    folder = sftp.root / uuid.uuid4().hex
    folder.mkdir()
    monkeypatch.setattr(sftp.client, "putfo", silent)
    with pytest.raises(error):
        put_file(sftp.client, io.BytesIO(b"x"), f"/{folder.name}/outbox/report.csv")

"""The watch over SFTP: every settled drop is found, reported once it is known, and no server keeps another waiting."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from sqlalchemy import Engine, text

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.lint import load_catalog
from rollover.roster.imports.queue import awaited_import
from rollover.roster.intake.watch import (
    FIRST_WAIT,
    KNOWN_SECONDS,
    SERVERS_AT_ONCE,
    Found,
    OpenSftp,
    Place,
    Watch,
    places,
    record_all,
)
from rollover.sftp.drops import RemoteFile, candidates
from tests.support.sftp_server import Sftp, sftp, sftp_server
from tests.support.small_district import PRODUCTS

__all__ = ["sftp", "sftp_server"]

HERO, MATH = "hero__springfield-il", "imagine_math__springfield-il"
SETTLE = 300.0


@pytest.fixture
def folder(sftp: Sftp, database: str) -> Path:
    path = sftp.root / database
    path.mkdir()
    return path


@pytest.fixture
def place(folder: Path) -> Place:
    return Place("district_sftp", f"/{folder.name}", HERO)


@pytest.fixture
def open_sftp(sftp: Sftp) -> OpenSftp:
    @contextmanager
    def opened(connection: str) -> Iterator[paramiko.SFTPClient]:
        if connection != "district_sftp":
            raise ConnectionRefusedError("user=rollover password=secret")
        yield sftp.client

    return opened


@pytest.fixture
def look(engine: Engine, open_sftp: OpenSftp) -> Callable[..., list[Found]]:
    watch = Watch(SETTLE)
    return lambda clock, *where: watch.look(where, lambda: engine, open_sftp, clock)


def test_a_drop_is_found_when_it_has_settled_and_not_again_when_it_is_recorded(
    look: Callable[..., list[Found]], place: Place, folder: Path, engine: Engine
) -> None:
    (folder / "roster.zip").write_bytes(b"zip")
    assert look(0.0, place) == []
    assert look(SETTLE - 1, place) == []
    (found,) = look(SETTLE, place)
    assert (found.tenant_id, [file.name for file in found.candidate.files]) == (HERO, ["roster.zip"])
    assert look(SETTLE + 30, place) == [found], "until it is recorded it is reported again"
    assert record_all(engine, [Found.from_json(found.as_json())]) == [HERO]
    assert look(SETTLE + 60, place) == []
    assert record_all(engine, [found]) == [], "the ledger knows it"


def test_an_earlier_set_that_is_put_back_with_its_old_time_is_found_again(
    look: Callable[..., list[Found]], place: Place, folder: Path, engine: Engine
) -> None:
    file = folder / "roster.zip"
    (folder / "done").touch()

    def upload(content: bytes, modified: int) -> None:
        file.write_bytes(content)
        os.utime(file, (modified, modified))

    for clock, content, modified in ((0.0, b"first", 1000), (30.0, b"second", 2000), (60.0, b"first", 1000)):
        upload(content, modified)
        found = look(clock, place)
        assert [drop.candidate.modified for drop in found] == [modified]
        assert record_all(engine, found) == [HERO]
        assert look(clock + 1, place) == []


def test_the_watch_learns_what_another_process_recorded(
    look: Callable[..., list[Found]], place: Place, folder: Path, engine: Engine
) -> None:
    (folder / "roster.zip").write_bytes(b"first")
    (folder / "done").touch()
    (first,) = look(0.0, place)
    record_all(engine, [first])
    assert look(1.0, place) == []
    (other,) = candidates([RemoteFile("roster.zip", 6, 2000)])
    assert record_all(engine, [Found(HERO, place.folder, other)]) == [HERO]
    assert look(1.0 + KNOWN_SECONDS, place) == [first], "it was put back after the other"


def test_a_drop_that_another_one_overtakes_settles_in_its_own_time(
    look: Callable[..., list[Found]], place: Place, folder: Path
) -> None:
    """One trigger ends with each drop that is found; the watch must not begin again with the next trigger."""
    (folder / "slow.zip").write_bytes(b"slow")
    assert look(0.0, place) == []
    (folder / "quick.zip").write_bytes(b"quick")
    (folder / "quick.zip.done").touch()
    assert [found.candidate.files[0].name for found in look(SETTLE - 1, place)] == ["quick.zip"]
    assert {found.candidate.files[0].name for found in look(SETTLE, place)} == {"quick.zip", "slow.zip"}


def test_files_that_are_not_read_are_recorded_once(
    look: Callable[..., list[Found]], place: Place, folder: Path, engine: Engine
) -> None:
    for name in ("old", "outbox", "outbox/2026-27", "math"):
        (folder / name).mkdir()
    for name in ("people.xlsx", "old/users.csv", "outbox/2026-27/tardies.csv", "outbox/x.txt", "math/users.csv.gz"):
        (folder / name).write_bytes(b"x")
    others = Place(place.connection, f"{place.folder}/math", MATH)
    assert look(0.0, place, others) == []
    found = look(SETTLE, place, others)
    assert {(each.tenant_id, tuple(file.name for file in each.candidate.files)) for each in found} == {
        (HERO, ("old/users.csv", "people.xlsx")),
        (MATH, ("users.csv.gz",)),
    }
    assert record_all(engine, found) == [HERO, MATH]
    assert look(SETTLE + 1, place, others) == []
    assert record_all(engine, found) == []
    (folder / "users.csv").write_bytes(b"x")
    (folder / "users.csv.done").touch()
    (roster,) = look(SETTLE + 2, place, others)
    assert record_all(engine, [roster]) == [HERO]
    assert look(SETTLE + 3 + KNOWN_SECONDS, place, others) == [], "the roster is a drop of another place"
    (folder / "more.xml").write_bytes(b"x")
    assert look(SETTLE * 3, place, others) == [] and len(look(SETTLE * 4, place, others)) == 1


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(
    place: Place, folder: Path, engine: Engine, open_sftp: OpenSftp, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "roster.zip").write_bytes(b"zip")
    (folder / "done").touch()
    asked: list[str] = []

    @contextmanager
    def counting(connection: str) -> Iterator[paramiko.SFTPClient]:
        asked.append(connection)
        with open_sftp(connection) as client:
            yield client

    silent = Place("another_sftp", "/x", MATH)
    watch = Watch(SETTLE)
    for clock in (0.0, FIRST_WAIT - 1, FIRST_WAIT, FIRST_WAIT + 1, FIRST_WAIT * 3):
        found = watch.look([silent, place], lambda: engine, counting, clock)
        assert [drop.tenant_id for drop in found] == [HERO]
    assert asked.count("another_sftp") == 3, "at 0, after 15 and after 30 seconds more"
    assert asked.count("district_sftp") == 5
    assert "ConnectionRefusedError" in caplog.text and "secret" not in caplog.text


def test_the_others_are_looked_at_while_a_server_is_silent(
    place: Place, folder: Path, engine: Engine, open_sftp: OpenSftp
) -> None:
    (folder / "done").touch()
    (folder / "roster.zip").write_bytes(b"zip")
    others_were_looked_at = threading.Event()

    @contextmanager
    def opened(connection: str) -> Iterator[paramiko.SFTPClient]:
        if connection != "district_sftp":
            assert others_were_looked_at.wait(20), "it held up the others"
            raise TimeoutError
        with open_sftp(connection) as client:
            yield client
        others_were_looked_at.set()

    where = [*(Place(f"silent_{n}", "/x", MATH) for n in range(SERVERS_AT_ONCE - 1)), place]
    assert [drop.tenant_id for drop in Watch(SETTLE).look(where, lambda: engine, opened, 0.0)] == [HERO]


def test_a_missing_folder_is_reported_once_and_keeps_no_other_waiting(
    look: Callable[..., list[Found]], place: Place, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "roster.zip").write_bytes(b"zip")
    (folder / "done").touch()
    missing = Place("district_sftp", "/nowhere", MATH)
    with caplog.at_level(logging.WARNING):
        for clock in (0.0, 30.0):
            assert [drop.tenant_id for drop in look(clock, missing, place)] == [HERO]
    assert [record.message.count(MATH) for record in caplog.records if "readable" in record.message] == [1]


def test_a_mistake_of_ours_is_not_taken_for_a_silent_server(engine: Engine, place: Place) -> None:
    def broken(connection: str) -> contextmanager:  # type: ignore[valid-type]
        raise TypeError("unexpected keyword")

    with pytest.raises(TypeError):
        Watch(SETTLE).look([place], lambda: engine, broken, 0.0)


def test_a_connection_without_a_host_key_is_a_silent_server(engine: Engine, place: Place) -> None:
    def refused(connection: str) -> contextmanager:  # type: ignore[valid-type]
        raise Refused("names no host key.", "add it.")

    assert Watch(SETTLE).look([place], lambda: engine, refused, 0.0) == []


def test_the_places_are_those_of_the_district_files(tmp_path: Path) -> None:
    (tmp_path / "springfield-il.yaml").write_text(
        "{district: springfield-il, name: S, time_zone: America/Chicago, org_sourced_id: s, sftp_connection: a, "
        "products: {hero: {first_school_year: 2025-26, folder: /springfield-il/hero, "
        "roster_format: oneroster_1_1, roster_import: nightly}}}"
    )
    assert places(load_catalog(tmp_path, PRODUCTS)) == (Place("a", "/springfield-il/hero", HERO),)


def test_a_rollover_takes_the_newest_ready_set_and_finds_again_what_it_applied(owner: Engine, engine: Engine) -> None:
    def found() -> str | None:
        with tenant_session(engine, HERO) as connection:
            return awaited_import(connection, "2026-27")

    def add(import_id: str, state: str, year: str = "2026-27") -> None:
        values = {"tenant": HERO, "id": import_id, "state": state, "year": year}
        with owner.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO ledger.imports (tenant_id, import_id, state, school_year) "
                    "VALUES (:tenant, :id, :state, :year)"
                ),
                values,
            )

    assert found() is None
    add("i0", "ready", "2025-26")
    add("i1", "rejected")
    assert found() is None
    add("i2", "applied")
    assert found() == "i2", "a task killed right after applying must find its import again"
    add("i3", "ready")
    add("i4", "ready")
    assert found() == "i4", "a correction goes before what was applied"

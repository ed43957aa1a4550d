"""Against OpenSSH's own server: logins, host keys, whole sets, a connection that breaks, the outbox."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncssh
import paramiko
import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.adapter import connections
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.roster.intake.fetch import fetch
from rollover.sftp import transfer
from rollover.sftp.drops import candidates, list_folder, record
from rollover.sftp.outbox import put_file
from rollover.sftp.transfer import Changed, Server, Wanted, download
from rollover_demo import openssh
from rollover_demo.openssh import OpenSsh
from tests.support.roster.small_set import PASSWORD, as_files, as_zip, whole_set
from tests.support.sampling import others_slow

pytestmark = pytest.mark.skipif(
    openssh.program() is None, reason="sshd is not installed (Debian: openssh-server); OpenSSH is not tested"
)
CONNECTION = "openssh_sftp"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    running = openssh.start(tmp_path_factory.mktemp("openssh"))
    yield running
    running.stop()


@pytest.fixture
def login(server: OpenSsh) -> Server:
    return login_to(server)


def login_to(server: OpenSsh) -> Server:
    return Server(
        server.host, server.port, server.user, server.host_keys["ssh-ed25519"], private_key=server.key_file.read_text()
    )


@pytest.fixture
def airflow_connection(server: OpenSsh, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives Airflow the server as a connection, with a port, a password and extras of choice."""

    def given(**extra: Any) -> None:
        connection = {
            "conn_type": "sftp",
            "host": server.host,
            "port": extra.pop("port", server.port),
            "login": server.user,
            "password": extra.pop("connection_password", None),
        }
        said = {"private_key": server.key_file.read_text(), "host_key": server.host_keys["ssh-ed25519"], **extra}
        connection["extra"] = {name: value for name, value in said.items() if value is not None}
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(connection))

    return given


@pytest.fixture
def client(airflow_connection: Callable[..., None]) -> Iterator[paramiko.SFTPClient]:
    """Rollover's own session, through Airflow's hook."""
    airflow_connection()
    with connections.sftp(CONNECTION) as sftp:
        yield sftp


def received(login: Server, *paths: Path) -> tuple[list[bytes], list[str]]:
    targets = [io.BytesIO() for _ in paths]
    sums = download(
        login,
        [Wanted(str(path), path.stat().st_size, target) for path, target in zip(paths, targets, strict=True)],
    )
    return [target.getvalue() for target in targets], sums


BLOCK = transfer.BLOCK_BYTES


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK - 1, 9 * BLOCK, 20_000_003])
def test_a_file_of_any_size(login: Server, tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    assert received(login, tmp_path / "file") == ([content], [hashlib.sha256(content).hexdigest()])


def test_many_files_come_in_order(login: Server, tmp_path: Path) -> None:
    contents = [random.Random(n).randbytes(n * 997 % 40_000) for n in range(300)]
    paths = [tmp_path / f"{n} ä.csv" for n in range(300)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert received(login, *paths) == (contents, [hashlib.sha256(content).hexdigest() for content in contents])


def test_nothing_wanted_needs_no_server() -> None:
    assert download(Server("127.0.0.1", 1, "nobody", "no key"), []) == []


@pytest.mark.parametrize("kind", openssh.KEY_TYPES)
def test_any_of_the_servers_host_keys_can_be_the_one_that_is_named(
    server: OpenSsh, login: Server, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert received(replace(login, host_key=server.host_keys[kind]), tmp_path / "file")[0] == [b"x"]


@pytest.mark.parametrize("kind", [*openssh.KEY_TYPES, "ecdsa-sha2-nistp521"])
def test_another_host_key_is_refused_before_anything_is_said(login: Server, kind: str) -> None:
    other = asyncssh.generate_private_key(kind).export_public_key().decode()
    with pytest.raises(Refused, match="host key"):
        download(replace(login, host_key=other), [Wanted("/etc/hostname", 1, io.BytesIO())])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            {"private_key": asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()}, id="key"
        ),
        pytest.param({"user": "no-such-user"}, id="user"),
        pytest.param({"private_key": None, "password": "wrong"}, id="password"),
    ],
)
def test_a_login_that_is_denied_needs_a_person(login: Server, change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="does not let Rollover log in") as refused:
        download(replace(login, **change), [Wanted("/etc/hostname", 1, io.BytesIO())])
    assert refused.value.__cause__ is None and "no-such-user" not in str(refused.value)


@pytest.mark.parametrize(
    "change", [{"private_key": "no key"}, {"private_key": None, "key_file": "/nowhere"}, {"host_key": "no key"}]
)
def test_a_key_that_cannot_be_read_needs_a_person(login: Server, change: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        download(replace(login, **change), [Wanted("/etc/hostname", 1, io.BytesIO())])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openssh", "pkcs1-pem"])
@pytest.mark.parametrize("passphrase", [None, "open sesame"])
@pytest.mark.parametrize("as_file", [True, False])
def test_airflows_connection_with_a_key(
    airflow_connection: Callable[..., None],
    server: OpenSsh,
    tmp_path: Path,
    kind: str,
    passphrase: str | None,
    as_file: bool,
) -> None:
    """Whatever the hook logs in with, the transfer logs in with too (paramiko knows no PKCS #8)."""
    rsa = asyncssh.generate_private_key("ssh-rsa")
    authorized = server.key_file.with_name("authorized_keys")
    authorized.write_text(authorized.read_text() + rsa.export_public_key().decode() + "\n")
    key = tmp_path / "key"
    key.write_bytes(rsa.export_private_key(kind, passphrase))
    (tmp_path / "file").write_bytes(b"x")
    if as_file:  # the hook opens a key file with the connection's password
        airflow_connection(private_key=None, key_file=str(key), connection_password=passphrase)
    else:
        airflow_connection(private_key=key.read_text(), private_key_passphrase=passphrase)
    with connections.sftp(CONNECTION) as sftp:
        assert sftp.stat(str(tmp_path / "file")).st_size == 1
    assert received(connections.sftp_server(CONNECTION), tmp_path / "file")[0] == [b"x"]


def test_airflows_connection_must_name_the_host_key(airflow_connection: Callable[..., None]) -> None:
    for extra in ({"host_key": None}, {"host_key": None, "no_host_key_check": "true"}):
        airflow_connection(**extra)
        with pytest.raises(Refused, match="names no host key"):
            connections.sftp_server(CONNECTION)
        with pytest.raises(Refused, match="names no host key"), connections.sftp(CONNECTION):
            pass


def test_the_named_host_key_counts_and_not_what_the_machine_knows(
    airflow_connection: Callable[..., None], server: OpenSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[{server.host}]:{server.port} {server.host_keys['ssh-ed25519']}\n")
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    airflow_connection(host_key=other)
    with pytest.raises(Refused, match="another host key"), connections.sftp(CONNECTION):
        pass
    with pytest.raises(Refused, match="another host key"):
        download(connections.sftp_server(CONNECTION), [Wanted("/etc/hostname", 1, io.BytesIO())])


@pytest.mark.parametrize("listed", [-1, 1, 300_000])
def test_a_file_of_another_size_than_listed(login: Server, tmp_path: Path, listed: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1_000_000)
    with pytest.raises(Changed):
        download(login, [Wanted(str(path), 1_000_000 + listed, io.BytesIO())])


def test_a_file_that_is_gone(login: Server, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"x" * 5_000_000)
    with pytest.raises(Changed):
        download(login, [Wanted(str(tmp_path / name), 5_000_000, io.BytesIO()) for name in ("there", "gone")])


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    server = openssh.start(tmp_path / "openssh", denied="open")
    try:
        with pytest.raises(Refused, match="does not let Rollover read file"):
            download(login_to(server), [Wanted(str(tmp_path / "file"), 1, io.BytesIO())])
    finally:
        server.stop()


def test_what_a_target_raises_goes_through(login: Server, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, block: Any, /) -> int:
            raise OSError(28, "No space left on device")

    (tmp_path / "file").write_bytes(b"x" * 1_000_000)
    with pytest.raises(OSError, match="No space left"):
        download(login, [Wanted(str(tmp_path / "file"), 1_000_000, Full())])


@dataclass
class Proxy:
    """Stands between client and server; after so many bytes to the client it cuts the line, or lets no more through."""

    server: OpenSsh
    most: int | None = None
    silently: bool = False
    port: int = 0
    passed: int = 0

    def run(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
            except OSError:
                return
            there = socket.create_connection((self.server.host, self.server.port))
            for source, target, counted in ((here, there, False), (there, here, True)):
                threading.Thread(target=self.pump, args=(source, target, counted), daemon=True).start()

    def pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        passed = 0
        try:
            while block := source.recv(65536):
                if counted and self.most is not None and passed + len(block) > self.most:
                    if self.silently:
                        continue
                    target.sendall(block[: self.most - passed])
                    break
                target.sendall(block)
                passed += len(block)
        except OSError:
            pass
        for end in (source, target):
            shut(end)


def shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@pytest.fixture
def proxy(server: OpenSsh) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        standing = Proxy(server, port=listening.getsockname()[1])
        threading.Thread(target=standing.run, args=(listening,), daemon=True).start()
        yield standing
        listening.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("most", others_slow([0, 10, 500, 2_000, 5_000, 100_000, 3_000_000, 9_990_000], 3))
def test_a_connection_that_is_cut_after_any_number_of_bytes(
    login: Server, proxy: Proxy, tmp_path: Path, most: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(1).randbytes(10_000_000))
    proxy.most = most
    with pytest.raises(ConnectionError):
        received(replace(login, port=proxy.port), path)
    proxy.most = None
    assert received(replace(login, port=proxy.port), path)[0] == [path.read_bytes()]


@pytest.mark.parametrize("most", [0, 2_000, 3_000_000])
def test_a_server_that_falls_silent(
    login: Server, proxy: Proxy, tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(transfer, "GRACE_SECONDS", 0.1)
    path = tmp_path / "file"
    path.write_bytes(bytes(10_000_000))
    proxy.most, proxy.silently = most, True
    started = time.monotonic()
    with pytest.raises(ConnectionError, match=r"answer|reached|closed"):
        received(replace(login, port=proxy.port, connect_seconds=1.0), path)
    assert time.monotonic() - started < 10


def test_a_listing_of_a_server_that_falls_silent(
    airflow_connection: Callable[..., None], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SFTP_STALL_SECONDS", 0.5)
    proxy.most, proxy.silently = 5_000, True
    airflow_connection(port=proxy.port)
    with pytest.raises(TimeoutError), connections.sftp(CONNECTION) as sftp:
        for _ in range(100):
            sftp.listdir_attr("/")


def test_a_server_that_is_not_there(login: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionError, match="cannot be reached"):
        download(replace(login, port=port), [Wanted("/x", 1, io.BytesIO())])


def test_a_slow_target_is_not_a_silent_server(login: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL_SECONDS", 0.2)

    class Slow(io.BytesIO):
        def write(self, block: Any, /) -> int:
            time.sleep(0.5)
            return super().write(block)

    path = tmp_path / "file"
    path.write_bytes(bytes(3 * BLOCK))
    target = Slow()
    download(login, [Wanted(str(path), 3 * BLOCK, target)])
    assert target.getvalue() == path.read_bytes()


def test_it_can_run_beside_an_event_loop(login: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")

    async def main() -> bytes:
        contents, _ = await asyncio.to_thread(received, login, tmp_path / "file")
        return contents[0]

    assert asyncio.run(main()) == b"x"


@dataclass
class Drop:
    """A district's folder on OpenSSH's server, and its imports."""

    engine: Engine
    tenant_id: str
    client: paramiko.SFTPClient
    folder: Path
    storage: UPath

    def upload(self, files: dict[str, bytes]) -> str:
        self.folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        (candidate,) = candidates(list_folder(self.client, str(self.folder)))
        with tenant_session(self.engine, self.tenant_id) as connection:
            import_id = record(connection, self.tenant_id, str(self.folder), candidate)
        assert import_id is not None
        return import_id

    def fetch(self, import_id: str, login: Server) -> dict[str, Any]:
        return fetch(self.engine, self.tenant_id, import_id, self.client, login, self.storage).as_json()

    def stored(self, import_id: str) -> dict[str, bytes]:
        folder = self.storage / "imports" / import_id / "files"
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture
def drop(engine: Engine, tenant_id: str, client: paramiko.SFTPClient, tmp_path: Path, storage: UPath) -> Drop:
    return Drop(engine, tenant_id, client, tmp_path / "hero", storage)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_set(drop: Drop, login: Server, zipped: bool) -> None:
    files = as_files(whole_set())
    import_id = drop.upload({"roster.zip": as_zip(files)} if zipped else files)
    assert drop.fetch(import_id, login)["state"] == "fetched"
    assert drop.stored(import_id) == {name: content.replace(PASSWORD.encode(), b"") for name, content in files.items()}


@contextmanager
def cut_by_proxy(server: OpenSsh, proxy: Proxy, login: Server) -> Iterator[Server]:
    proxy.most = 4_000_000
    yield replace(login, port=proxy.port)
    proxy.most = None


@contextmanager
def killed_session(server: OpenSsh, proxy: Proxy, login: Server) -> Iterator[Server]:
    """The process that serves the transfer is killed once it is at it."""
    before = {session.pid for session in server.sessions()}
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.02):
            new = [session for session in server.sessions() if session.pid not in before]
            # The transfer has begun when a session has written more than a login takes.
            if any(session.is_running() and session.io_counters().write_chars > 1_000_000 for session in new):
                for session in new:
                    session.kill()
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield login
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("cut", [cut_by_proxy, killed_session])
def test_a_connection_that_breaks_in_mid_file(
    drop: Drop, server: OpenSsh, proxy: Proxy, login: Server, cut: Callable[..., Any]
) -> None:
    """A retry starts over; until then nothing of the set is in storage."""
    files = as_files(whole_set())
    files["enrollments.csv"] += b"".join(
        b"e-%d,,,class-1,school-1,student-1,student,,,\r\n" % n for n in range(4_000_000)
    )
    import_id = drop.upload(files)
    with cut(server, proxy, login) as cutting, pytest.raises(ConnectionError):
        drop.fetch(import_id, cutting)
    assert drop.stored(import_id) == {}
    assert drop.fetch(import_id, login)["state"] == "fetched"
    assert drop.stored(import_id)["enrollments.csv"] == files["enrollments.csv"]


def test_delivery_into_the_outbox(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(1_000_000)
    remote = tmp_path / "hero" / "outbox" / "2025-26" / "report.csv"
    for _ in range(2):
        put_file(client, io.BytesIO(content), str(remote))
    assert remote.read_bytes() == content
    assert [path.name for path in remote.parent.iterdir()] == ["report.csv"]


def test_a_listing(client: paramiko.SFTPClient, tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / ".hidden").write_bytes(b"x")
    (tmp_path / "users.csv").write_bytes(b"four")
    os.utime(tmp_path / "users.csv", (1_790_000_000, 1_790_000_000))
    ((name, size, modified),) = ((f.name, f.size, f.modified) for f in list_folder(client, str(tmp_path)))
    assert (name, size, modified) == ("users.csv", 4, 1_790_000_000)
    with pytest.raises(FileNotFoundError):
        list_folder(client, str(tmp_path / "nowhere"))


def test_the_server_ends_with_its_sessions(tmp_path: Path) -> None:
    server = openssh.start(tmp_path / "server")
    transport = paramiko.Transport((server.host, server.port))
    transport.connect(username=server.user, pkey=paramiko.Ed25519Key.from_private_key_file(str(server.key_file)))
    sessions = server.sessions()
    assert sessions
    server.stop()
    server.stop()
    deadline = time.monotonic() + 5
    while any(session.is_running() for session in sessions) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(session.is_running() for session in sessions)
    transport.close()

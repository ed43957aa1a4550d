"""The local SFTP server: who gets in, what they see, and where they may write."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from rollover_demo.sftp_server import Account, SftpServer, start
from tests.support.sftp_server import DISTRICT, Sftp, log_in, sftp, sftp_server

__all__ = ["sftp", "sftp_server"]


@pytest.fixture
def district(sftp_server: tuple[SftpServer, Path]) -> Iterator[paramiko.SFTPClient]:
    client = log_in(sftp_server[0], DISTRICT, "district-secret")
    yield client
    client.get_channel().get_transport().close()


@pytest.fixture
def folder(sftp: Sftp) -> str:
    """The district's folder, with a file in it, as Rollover sees it."""
    home = sftp.root / DISTRICT / "hero"
    (home / "outbox").mkdir(parents=True, exist_ok=True)
    (home / "users.csv").write_bytes(b"hello")
    return f"/{DISTRICT}/hero"


@pytest.mark.parametrize(("user", "password"), [("rollover", "wrong"), (DISTRICT, "vendor-secret"), ("nobody", "")])
def test_a_wrong_password_does_not_get_in(sftp: Sftp, user: str, password: str) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        log_in(sftp.server, user, password)


def test_the_host_key_is_the_one_that_was_announced(sftp: Sftp) -> None:
    key = sftp.client.get_channel().get_transport().get_remote_server_key()
    assert f"{key.get_name()} {key.get_base64()}" == sftp.server.host_key


def test_a_district_uploads_into_its_own_folder_and_sees_no_other(
    sftp: Sftp, district: paramiko.SFTPClient, folder: str
) -> None:
    with district.open("/hero/orgs.csv", "wb") as upload:
        upload.write(b"orgs")
    assert (sftp.root / DISTRICT / "hero" / "orgs.csv").read_bytes() == b"orgs"
    (sftp.root / "secret").write_bytes(b"another's")
    for path in ("/../secret", f"/../{DISTRICT}/../secret", "../../secret"):
        with pytest.raises(FileNotFoundError):
            district.stat(path)
    for link in (district.symlink,):
        with pytest.raises(PermissionError):
            link("/etc/passwd", "/hero/passwd")


def test_rollover_reads_everything(sftp: Sftp, folder: str) -> None:
    with sftp.client.open(f"{folder}/users.csv", "rb") as file:
        assert file.read() == b"hello"


def test_rollover_writes_below_an_outbox_only(sftp: Sftp, folder: str) -> None:
    client, users = sftp.client, f"{folder}/users.csv"
    forbidden = [
        lambda: client.open(f"{folder}/new.csv", "wb"),
        lambda: client.open(users, "ab"),
        lambda: client.open(users, "r+b"),
        lambda: client.remove(users),
        lambda: client.mkdir(f"{folder}/sub"),
        lambda: client.rmdir(folder),
        lambda: client.rename(users, f"{folder}/outbox/users.csv"),
        lambda: client.posix_rename(f"{folder}/outbox/x", f"{folder}/x"),
        lambda: client.chmod(users, 0o600),
        lambda: client.truncate(users, 0),
        lambda: client.open(f"{folder}/outbox/../users.csv", "wb"),
    ]
    for act in forbidden:
        with pytest.raises(PermissionError):
            act()
    assert (sftp.root / DISTRICT / "hero" / "users.csv").read_bytes() == b"hello"

    with client.open(f"{folder}/outbox/a.csv", "wb") as file:
        file.write(b"result")
    client.posix_rename(f"{folder}/outbox/a.csv", f"{folder}/outbox/b.csv")
    assert client.listdir(f"{folder}/outbox") == ["b.csv"]
    client.remove(f"{folder}/outbox/b.csv")


def test_the_host_key_stays_and_stopping_is_final(tmp_path: Path) -> None:
    accounts = {"rollover": Account("secret", ".")}
    first = start(tmp_path / "root", accounts, tmp_path / "server")
    first.stop()
    first.stop()
    assert first.process.returncode == 0
    with pytest.raises(paramiko.SSHException):
        log_in(first, "rollover", "secret")
    second = start(tmp_path / "root", accounts, tmp_path / "server")
    try:
        assert second.host_key == first.host_key
    finally:
        second.stop()


def test_it_says_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "host_key").write_text("not a key")
    with pytest.raises(RuntimeError, match="KeyImportError"):
        start(tmp_path / "root", {}, tmp_path / "server")


def test_it_runs_by_itself(tmp_path: Path) -> None:
    accounts, address = tmp_path / "accounts.json", tmp_path / "address"
    accounts.write_text(json.dumps({"rollover": {"password": "secret", "folder": "."}}))
    options = {"root": tmp_path, "accounts": accounts, "host-key": tmp_path / "key", "address-file": address}
    arguments = [f"--{name}={path}" for name, path in options.items()]
    process = subprocess.Popen([sys.executable, "-m", "rollover_demo.sftp_server", *arguments])
    try:
        give_up = time.monotonic() + 30
        while not address.exists() and time.monotonic() < give_up:
            time.sleep(0.05)
        host, port = address.read_text().split()
        client = log_in(SftpServer(process, host, int(port), ""), "rollover", "secret")
        assert "accounts.json" in client.listdir("/")
        client.get_channel().get_transport().close()
    finally:
        process.terminate()
        assert process.wait(10) == 0

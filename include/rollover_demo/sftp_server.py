"""Runs a real SFTP server for the demo and the tests: password accounts, each in a folder of its own.

Like a vendor's server, it lets Rollover's account read everything and write only below an ``outbox``. Run it with
``python -m rollover_demo.sftp_server``, or from Python with :func:`start`.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import asyncssh

ROLLOVER = "rollover"
OUTBOX = "outbox"
HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
_WRITING = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC
_WRITING_56 = 0x2 | 0x4 | 0x100  # ACE4_WRITE_DATA, ACE4_APPEND_DATA, ACE4_WRITE_ATTRIBUTES
_DISPOSITION, _OPEN_EXISTING = 0x7, 0x2


@dataclass(frozen=True)
class Account:
    """A login and the folder it sees as ``/``, relative to the server's root."""

    password: str
    folder: str


class _Files(asyncssh.SFTPServer):
    """The account's folder as ``/``; for Rollover's account read-only but for outboxes."""

    def __init__(self, channel: Any, folder: Path, *, outbox_only: bool) -> None:
        super().__init__(channel, chroot=os.fsencode(folder))
        self._outbox_only = outbox_only

    def _may_write(self, *paths: bytes) -> None:
        for path in paths:
            parts = PurePosixPath(os.path.normpath(b"/" + path).decode(errors="replace")).parts
            if self._outbox_only and OUTBOX not in parts:
                raise asyncssh.SFTPPermissionDenied("Rollover writes only below an outbox")

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if pflags & _WRITING:
            self._may_write(path)
        return super().open(path, pflags, attrs)

    def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if desired_access & _WRITING_56 or flags & _DISPOSITION != _OPEN_EXISTING:
            self._may_write(path)
        return super().open56(path, desired_access, flags, attrs)

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self._may_write(path)
        return super().setstat(path, attrs)

    def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self._may_write(path)
        return super().lsetstat(path, attrs)

    def remove(self, path: bytes) -> Any:
        self._may_write(path)
        return super().remove(path)

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self._may_write(path)
        return super().mkdir(path, attrs)

    def rmdir(self, path: bytes) -> Any:
        self._may_write(path)
        return super().rmdir(path)

    def rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._may_write(oldpath, newpath)
        return super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        self._may_write(oldpath, newpath)
        return super().posix_rename(oldpath, newpath)

    def symlink(self, oldpath: bytes, newpath: bytes) -> Any:
        raise asyncssh.SFTPPermissionDenied("links could lead out of the account's folder")

    def link(self, oldpath: bytes, newpath: bytes) -> Any:
        raise asyncssh.SFTPPermissionDenied("links could lead out of the account's folder")


class _Login(asyncssh.SSHServer):
    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        account = self._accounts.get(username)
        return account is not None and hmac.compare_digest(account.password.encode(), password.encode())


async def serve(root: Path, accounts: dict[str, Account], host_key: Path, address_file: Path) -> None:
    """Serve until SIGTERM or SIGINT. Writes ``host port`` to the address file once it listens.

    A missing host key is made and kept, its public half beside it as ``<host key>.pub``.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for account in accounts.values():
        (root / account.folder).mkdir(parents=True, exist_ok=True)

    def files(channel: Any) -> _Files:
        user = channel.get_connection().get_extra_info("username")
        return _Files(channel, root / accounts[user].folder, outbox_only=user == ROLLOVER)

    server = await asyncssh.create_server(
        lambda: _Login(accounts),
        HOST,
        0,
        server_host_keys=[_host_key(host_key)],
        sftp_factory=files,
        allow_scp=False,
    )
    async with server:
        _write(address_file, f"{HOST} {server.get_port()}")
        await stop.wait()


def _host_key(path: Path) -> asyncssh.SSHKey:
    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        _write(path.with_name(f"{path.name}.pub"), key.export_public_key().decode())
        _write(path, key.export_private_key().decode(), mode=0o600)
    return asyncssh.read_private_key(path)


def _write(path: Path, content: str, *, mode: int = 0o644) -> None:
    """Write a file that appears under its name when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.touch(mode=mode)
    part.write_text(content)
    part.replace(path)


@dataclass(frozen=True)
class SftpServer:
    """A running server. ``host_key`` is the public key as ``known_hosts`` has it: ``ssh-ed25519 AAAA…``."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    host_key: str

    def stop(self) -> None:
        """Stop the server; does nothing when it has stopped already."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(root: Path, accounts: dict[str, Account], folder: Path) -> SftpServer:
    """Run the server as a child process on a free port, its key, accounts and log in `folder`.

    The host key is kept from run to run. Raises RuntimeError, with the log, if it does not come up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    accounts_file, host_key = folder / "accounts.json", folder / "host_key"
    _write(accounts_file, json.dumps({name: asdict(account) for name, account in accounts.items()}), mode=0o600)
    address_file = Path(tempfile.mkdtemp(dir=folder)) / "address"
    log = folder / "sftp_server.log"
    command = [sys.executable, "-m", "rollover_demo.sftp_server"]
    for option, path in (
        ("--root", root),
        ("--accounts", accounts_file),
        ("--host-key", host_key),
        ("--address-file", address_file),
    ):
        command += [option, str(path)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    give_up = time.monotonic() + START_SECONDS
    while not address_file.exists():
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            process.wait()
            raise RuntimeError(f"the SFTP server did not start: {log.read_text()}")
        time.sleep(0.02)
    host, port = address_file.read_text().split()
    address_file.unlink()
    address_file.parent.rmdir()
    public = " ".join(host_key.with_name("host_key.pub").read_text().split()[:2])
    return SftpServer(process, host, int(port), public)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder that the accounts' folders are in")
    parser.add_argument("--accounts", type=Path, required=True, help='JSON: {"user": {"password", "folder"}}')
    parser.add_argument("--host-key", type=Path, required=True, help="private key; made where it is missing")
    parser.add_argument("--address-file", type=Path, required=True, help="where to write 'host port'")
    options = parser.parse_args()
    accounts = {name: Account(**facts) for name, facts in json.loads(options.accounts.read_text()).items()}
    asyncio.run(serve(options.root.resolve(), accounts, options.host_key, options.address_file))


if __name__ == "__main__":
    main()

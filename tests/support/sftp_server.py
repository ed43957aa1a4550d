"""A real SFTP server for a session, and Rollover's client on it. Imported by the tests that need it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest

from rollover.sftp.transfer import Server
from rollover_demo.sftp_server import Account, SftpServer, start

DISTRICT = "springfield-il"
ACCOUNTS = {
    "rollover": Account(password="vendor-secret", folder="."),
    DISTRICT: Account(password="district-secret", folder=DISTRICT),
}


@dataclass(frozen=True)
class Sftp:
    """A running server, the folder on disk that Rollover sees as ``/``, and Rollover's client."""

    server: SftpServer
    root: Path
    client: paramiko.SFTPClient

    @property
    def login(self) -> Server:
        """How Rollover logs in to fetch."""
        return Server(self.server.host, self.server.port, "rollover", self.server.host_key, password="vendor-secret")


def log_in(server: SftpServer, user: str, password: str) -> paramiko.SFTPClient:
    """A client of an account; closing its channel's transport is the caller's."""
    transport = paramiko.Transport((server.host, server.port))
    transport.connect(username=user, password=password)
    client = paramiko.SFTPClient.from_transport(transport)
    assert client is not None
    return client


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SftpServer, Path]]:
    root = tmp_path_factory.mktemp("sftp")
    server = start(root, ACCOUNTS, tmp_path_factory.mktemp("sftp-server"))
    yield server, root
    server.stop()


@pytest.fixture
def sftp(sftp_server: tuple[SftpServer, Path]) -> Iterator[Sftp]:
    server, root = sftp_server
    client = log_in(server, "rollover", "vendor-secret")
    yield Sftp(server, root, client)
    channel = client.get_channel()
    assert channel is not None
    channel.get_transport().close()

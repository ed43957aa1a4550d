"""Runs OpenSSH's SFTP server as a child process, to test and measure against what most districts use.

It comes from the system (Debian's ``openssh-server``), runs by a configuration of its own, on a free port of this
machine, as whoever runs it, who is also the only one that can log in, with a key. The system's service is not touched.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import psutil

HOST = "127.0.0.1"
START_SECONDS = 15.0
STOP_SECONDS = 5.0
KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")
SEPARATION_FOLDER = Path("/run/sshd")
"""OpenSSH as Debian builds it wants this folder when root runs it."""

CONFIGURATION = """
Port {port}
ListenAddress {host}
{host_keys}
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp {options}
"""


def program() -> str | None:
    """Return the path of the server's program, or None if it is not installed."""
    return shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


@dataclass(frozen=True)
class OpenSsh:
    """A running server. ``host_keys`` are its public keys by type, as ``known_hosts`` has them."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    user: str
    host_keys: dict[str, str]
    key_file: Path
    """The private key that opens it."""
    log: Path

    def sessions(self) -> list[psutil.Process]:
        """The processes that serve connections."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def stop(self) -> None:
        """Stop the server and end its sessions; does nothing when it has stopped already."""
        if self.process.poll() is not None:
            return
        sessions = self.sessions()
        self.process.terminate()
        for session in sessions:
            if session.is_running():
                session.kill()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(folder: Path, *, denied: str = "") -> OpenSsh:
    """Run the server, with new keys, its configuration and log in `folder`.

    `denied` names requests of the SFTP protocol that the server refuses to everybody, root too (``"open,opendir"``).

    Raises FileNotFoundError if it is not installed, RuntimeError with its own words where it does not start.
    """
    sshd = program()
    if sshd is None:
        raise FileNotFoundError("OpenSSH's server is not installed (Debian: openssh-server)")
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
    host_keys = {kind: _new_key(folder / f"host_key_{kind}", kind) for kind in KEY_TYPES}
    user_key = folder / "user_key"
    (folder / "authorized_keys").write_text(_new_key(user_key, "ssh-ed25519") + "\n")
    port = _free_port()
    configuration, log = folder / "sshd_config", folder / "log"
    lines = "\n".join(f"HostKey {folder}/host_key_{kind}" for kind in KEY_TYPES)
    options = f"-P {denied}" if denied else ""
    configuration.write_text(
        CONFIGURATION.format(port=port, host=HOST, host_keys=lines, folder=folder, options=options)
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(configuration)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = OpenSsh(process, HOST, port, getpass.getuser(), host_keys, user_key, log)
    try:
        _wait_until_it_listens(server)
    except BaseException:
        server.stop()
        raise
    return server


def _new_key(path: Path, kind: str) -> str:
    """Make a key pair; return the public half as one line."""
    key = asyncssh.generate_private_key(kind)
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    return key.export_public_key().decode().strip()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


def _wait_until_it_listens(server: OpenSsh) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and server.process.poll() is None:
        try:
            socket.create_connection((server.host, server.port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"OpenSSH's server did not start: {server.log.read_text()[-2000:]}")

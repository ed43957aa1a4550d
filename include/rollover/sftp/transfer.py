"""Downloads many files at once over SFTP: one connection, many requests in flight.

paramiko, which lists folders and delivers to the outbox, waits for each answer and copies every byte several times in
Python; asyncssh does not, and it comes with Airflow's SFTP provider. ``bench/fetch.py`` measures both beside OpenSSH's
own client.
"""

from __future__ import annotations

import asyncio
import hashlib
import posixpath
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeVar

import asyncssh

from rollover.errors import Refused

FILES_AT_ONCE = 32
REQUESTS_PER_FILE = 8
"""Requests for blocks that a file has in flight: as many as fit in the 2 MiB window of the channel."""
BLOCK_BYTES = 255 * 1024
"""The largest answer of OpenSSH's server. It also limits memory: files at once x requests x block is 64 MiB."""
LEAST_BLOCK_BYTES = 32 * 1024
"""The block that every server supports, even without naming limits (draft-ietf-secsh-filexfer-02, section 3)."""
# What asyncssh has by default, in another order: with AES in the processor, as it is on every server of the last ten
# years, AES-GCM takes half the time of ChaCha20-Poly1305, and needs no separate checksum.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
)
OTHER_HOST_KEYS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
CONNECT_SECONDS = 30.0
"""From the first packet to a session that accepts requests, including the login."""
STALL_SECONDS = 60.0
"""How long a server may leave every request unanswered."""
GRACE_SECONDS = 1.0
"""Time to read answers that arrived while we were writing to storage."""
CLOSE_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """An SFTP server: where it is, how it is recognized, and how Rollover logs in."""

    host: str
    port: int
    user: str
    host_key: str
    """The public key that it must show, as in ``known_hosts``: ``ssh-ed25519 AAAA…``."""
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    """A private key itself, in any format of OpenSSH or PEM."""
    key_file: str | None = None
    """The path of a private key. Without key and password, the keys of the user's ``~/.ssh`` and agent are tried."""
    passphrase: str | None = field(default=None, repr=False)
    """The passphrase of the private key."""
    proxy_command: str | None = None
    connect_seconds: float = CONNECT_SECONDS


class Target(Protocol):
    """Receives the blocks of a file, in order."""

    def write(self, block: bytes, /) -> object: ...


@dataclass(frozen=True)
class Wanted:
    """A file on the server, its size in bytes as it was listed, and the target of its bytes."""

    path: str
    size: int
    target: Target


class Changed(Exception):
    """A file no longer exists, or its size is not the one that was listed."""


def download(server: Server, wanted: Sequence[Wanted]) -> list[str]:
    """Copy files from a server; return the SHA-256 of each, in order.

    Every target gets the bytes of its file in order, and only of a file of the size that was listed. After an error,
    some targets have a part of their file: the caller must discard it.

    Raises ConnectionError if the server cannot be reached, closes the connection, stops answering or fails (a retry may
    succeed). Raises :class:`Changed` if a file no longer exists or has another size. Raises Refused if a person must
    act: the host key is another one, or the login or a file is denied. Errors of a target pass through.
    """
    return asyncio.run(_download(server, wanted)) if wanted else []


async def _download(server: Server, wanted: Sequence[Wanted]) -> list[str]:
    async with _session(server) as sftp:
        return await _Download(sftp, wanted).run()


@asynccontextmanager
async def _session(server: Server) -> AsyncIterator[asyncssh.SFTPClient]:
    with _connecting():
        async with asyncio.timeout(server.connect_seconds):
            connection = await asyncssh.connect(server.host, server.port, **_options(server))
            try:
                sftp = await connection.start_sftp_client()
            except BaseException:
                connection.abort()
                raise
    try:
        yield sftp
    except BaseException:
        connection.abort()
        raise
    connection.close()
    try:
        await asyncio.wait_for(connection.wait_closed(), CLOSE_SECONDS)
    except (TimeoutError, asyncssh.Error, OSError):  # everything is here already
        connection.abort()


def _options(server: Server) -> dict[str, Any]:
    host_key = asyncssh.import_public_key(server.host_key)
    options: dict[str, Any] = {
        "config": None,  # nothing but the connection decides: no ~/.ssh/config, no other known host
        "known_hosts": ([host_key], [], []),
        # The named kind comes first. With the others after it, a server without it shows that its key is another.
        "server_host_key_algs": [*(kind.decode() for kind in host_key.sig_algorithms), *OTHER_HOST_KEYS],
        "username": server.user,
        "encryption_algs": CIPHERS,
        "compression_algs": None,  # costs more than it saves on a fast line; large sets come zipped
        "connect_timeout": server.connect_seconds,
        "login_timeout": server.connect_seconds,
        "keepalive_interval": STALL_SECONDS / 4,
        "gss_host": None,
        "proxy_command": server.proxy_command or (),
    }
    if server.password is not None:
        options["password"] = server.password
    if server.private_key is not None:
        options["client_keys"] = [asyncssh.import_private_key(server.private_key, server.passphrase)]
    elif server.key_file is not None:
        options["client_keys"] = [asyncssh.read_private_key(server.key_file, server.passphrase)]
    elif server.password is not None:
        options["client_keys"] = None
    if server.password is not None or "client_keys" in options:
        options["agent_path"] = None
    return options


@contextmanager
def _connecting() -> Iterator[None]:
    """Raise errors of our own if there is no session, since the libraries' messages may name the user."""
    try:
        yield
    except asyncssh.HostKeyNotVerifiable:
        raise Refused(
            "The SFTP server shows another host key than the connection names.",
            "ask its operator whether the key was changed; if so, put the new one into the connection's host_key.",
        ) from None
    except asyncssh.KeyExchangeFailed:
        raise Refused(
            "The SFTP server and Rollover have no cipher or key exchange in common.",
            "ask its operator to allow current ones.",
        ) from None
    except asyncssh.PermissionDenied:
        raise Refused(
            "The SFTP server does not let Rollover log in.",
            "fix the user, password or key of the connection, then clear this task.",
        ) from None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, FileNotFoundError):
        raise Refused(
            "The connection's private key or host key cannot be read.",
            "fix private_key, private_key_passphrase, key_file or host_key in the connection's extra.",
        ) from None
    except TimeoutError as error:
        raise ConnectionError("the SFTP server does not answer") from error
    except (asyncssh.Error, OSError) as error:
        raise ConnectionError(f"the SFTP server cannot be reached ({type(error).__name__})") from error


class _Download:
    """Downloads files over one session."""

    def __init__(self, sftp: asyncssh.SFTPClient, wanted: Sequence[Wanted]) -> None:
        self._sftp = sftp
        self._block = max(LEAST_BLOCK_BYTES, min(sftp.limits.max_read_len, BLOCK_BYTES))
        self._waiting = deque(enumerate(wanted))
        self._digests = [""] * len(wanted)
        self._answers = 0

    async def run(self) -> list[str]:
        at_once = min(FILES_AT_ONCE, len(self._waiting))
        files = {asyncio.create_task(self._copy_files()) for _ in range(at_once)}
        silence = asyncio.create_task(self._watch())
        try:
            while files:
                done, _ = await asyncio.wait({*files, silence}, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
                files -= done
        finally:
            for one in (*files, silence):
                one.cancel()
            await asyncio.gather(*files, silence, return_exceptions=True)
        return self._digests

    async def _copy_files(self) -> None:
        while self._waiting:
            number, wanted = self._waiting.popleft()
            with _reading(wanted):
                self._digests[number] = await self._copy(wanted)

    async def _copy(self, wanted: Wanted) -> str:
        """Copy one file, block after block. Ask for one byte more than was listed, to see whether it has grown."""
        file = await self._answer(self._sftp.open(wanted.path, "rb", block_size=0))
        digest, received = hashlib.sha256(), 0
        asked: deque[tuple[int, int, asyncio.Task[bytes]]] = deque()
        place, end = 0, wanted.size + 1
        try:
            while place < end or asked:
                while place < end and len(asked) < REQUESTS_PER_FILE:
                    size = min(self._block, end - place)
                    asked.append((place, size, asyncio.create_task(self._ask(file, size, place))))
                    place += size
                start, size, answer = asked.popleft()
                block = await answer
                # A server may answer with less than was asked for, and with nothing only at the end.
                while block and len(block) < min(size, wanted.size - start):
                    more = await self._ask(file, size - len(block), start + len(block))
                    block = block + more if more else b""
                received += len(block)
                if received < min(start + size, wanted.size) or received > wanted.size:
                    raise Changed
                # Not in a thread: on a machine with few cores, handing over costs more than it gains.
                digest.update(block)
                wanted.target.write(block)
        finally:
            for _, _, answer in asked:
                answer.cancel()
        await self._answer(file.close())
        return digest.hexdigest()

    async def _ask(self, file: asyncssh.SFTPClientFile, size: int, place: int) -> bytes:
        return await self._answer(_read(file, size, place))

    async def _answer(self, request: Awaitable[T]) -> T:
        answer = await request
        self._answers += 1
        return answer

    async def _watch(self) -> NoReturn:
        """Raise ConnectionError when the server has answered nothing for too long."""
        while True:
            before = self._answers
            await asyncio.sleep(STALL_SECONDS)
            if self._answers == before:
                await asyncio.sleep(GRACE_SECONDS)
            if self._answers == before:
                raise ConnectionError(f"the SFTP server has not answered for {STALL_SECONDS:.0f} seconds")


async def _read(file: asyncssh.SFTPClientFile, size: int, place: int) -> bytes:
    """Read one block; an empty one at the end of the file."""
    block = await file.read(size, place)
    assert isinstance(block, bytes)
    return block


@contextmanager
def _reading(wanted: Wanted) -> Iterator[None]:
    try:
        yield
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise Changed from error
    except asyncssh.SFTPPermissionDenied:
        raise Refused(
            f"The SFTP server does not let Rollover read {posixpath.basename(wanted.path)}.",
            "have the file's rights changed so that Rollover's account can read it, then clear this task.",
        ) from None
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError) as error:
        raise ConnectionError("the SFTP server closed the connection") from error
    except asyncssh.Error as error:
        raise ConnectionError(f"the SFTP server failed ({type(error).__name__})") from error

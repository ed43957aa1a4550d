"""The product database and the districts' SFTP servers, from Airflow's connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from sqlalchemy import URL, Engine

from rollover.config import District
from rollover.database.session import connect
from rollover.database.turns import turn
from rollover.errors import Refused
from rollover.settings import Settings
from rollover.sftp.outbox import SftpOutbox

if TYPE_CHECKING:
    import paramiko

    from rollover.sftp.transfer import Server

PRODUCT_DB = "product_db"
SFTP_CONNECT_SECONDS = 30
SFTP_STALL_SECONDS = 60.0
"""How long a server may leave a request unanswered."""
SFTP_TURN_SECONDS = 60.0
"""How long a task waits, with its worker, for a place at a server."""


def engine(*, patience: int | None = None, keep: int = 0) -> Engine:
    """The product database, from the Airflow connection ``product_db``; its host may be a socket folder.

    `patience` is after how many seconds a connection that is not made counts as failed; `keep`, how many are kept open.
    """
    said = BaseHook.get_connection(PRODUCT_DB)
    query = {str(key): str(value) for key, value in said.extra_dejson.items()}
    if patience is not None:
        query["connect_timeout"] = str(patience)
    host = said.host
    if host and host.startswith("/"):
        query, host = {"host": host, **query}, None
    url = URL.create("postgresql+psycopg", said.login, said.password, host, said.port, said.schema, query)
    return connect(url, keep=keep)


@contextmanager
def sftp(connection_id: str) -> Iterator[paramiko.SFTPClient]:
    """A session with a district's SFTP server, to list folders and to deliver to the outbox.

    Raises Refused if the connection names no host key or the server shows another one: whoever answers would get our
    password and could send any roster. Raises TimeoutError if the server falls silent.
    """
    hook = _sftp_hook(connection_id)
    hook.compress = False  # the hook's default is a third of the speed; large roster sets come zipped
    hook.conn_timeout = hook.conn_timeout or SFTP_CONNECT_SECONDS
    with hook.get_managed_conn() as client:
        channel = client.get_channel()
        if channel.get_transport().get_remote_server_key() != hook.host_key:
            # The worker's own known_hosts has another key, which the hook prefers.
            raise Refused(
                f"The server of the connection '{connection_id}' shows another host key than the connection names.",
                "ask its operator whether the key was changed; if so, put the new one into the connection's host_key.",
            )
        channel.settimeout(SFTP_STALL_SECONDS)
        yield client


@contextmanager
def sftp_in_turn(connection_id: str) -> Iterator[paramiko.SFTPClient]:
    """Like :func:`sftp`, when one of our places at that server is free: many districts may share one server.

    A place is for one task; it counts over all workers. Raises TimeoutError, so that the task is tried again later, if
    none is free for `SFTP_TURN_SECONDS`.
    """
    said, places = BaseHook.get_connection(connection_id), Settings().sftp_tasks_per_server
    server = f"SFTP server {said.host}:{said.port or 22}"
    with turn(engine(), server, places=places, wait_seconds=SFTP_TURN_SECONDS), sftp(connection_id) as client:
        yield client


def sftp_server(connection_id: str) -> Server:
    """A district's SFTP server, to fetch from. Raises Refused like :func:`sftp`."""
    from rollover.sftp.transfer import CONNECT_SECONDS, Server

    hook = _sftp_hook(connection_id)
    extra = hook.get_connection(connection_id).extra_dejson
    password = hook.password.strip() if hook.password else None  # as the hook does
    return Server(
        host=hook.remote_host,
        port=hook.port,
        user=hook.username,
        host_key=f"{hook.host_key.get_name()} {hook.host_key.get_base64()}",
        password=password,
        private_key=extra.get("private_key") or None,
        key_file=hook.key_file,
        passphrase=extra.get("private_key_passphrase") or (password if hook.key_file else None),
        proxy_command=hook.host_proxy_cmd,
        connect_seconds=hook.conn_timeout or CONNECT_SECONDS,
    )


def _sftp_hook(connection_id: str) -> Any:
    """Airflow's hook for a connection. Raises Refused if its extra has no ``host_key``."""
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    hook = SFTPHook(ssh_conn_id=connection_id)
    if hook.host_key is None or hook.no_host_key_check:
        raise Refused(
            f"The connection '{connection_id}' names no host key.",
            'add the server\'s public key to its extra: {"host_key": "ssh-ed25519 AAAA…"}.',
        )
    return hook


def outbox_of(district: District) -> SftpOutbox:
    """The outbox of a district, in which a step writes and removes files. Used as a context manager."""
    return SftpOutbox(lambda: sftp_in_turn(district.sftp_connection))

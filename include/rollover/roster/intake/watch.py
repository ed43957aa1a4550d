"""Watches the districts' SFTP folders for new drops that have settled, and for servers that do not answer."""

from __future__ import annotations

import logging
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import paramiko
from sqlalchemy import Engine

from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.sftp.drops import (
    Candidate,
    RemoteFile,
    Settling,
    candidates,
    known_fingerprints,
    list_folder,
    passed_over,
    record,
)
from rollover.tenant import Tenant

log = logging.getLogger(__name__)

UNREACHABLE = (OSError, EOFError, paramiko.SSHException, Refused)
"""Errors of a server, its connection or its host key; any other error is our own mistake."""
SERVERS_AT_ONCE = 8
"""A server that does not answer takes the whole patience of a connection: the others are looked at meanwhile."""

OpenSftp = Callable[[str], AbstractContextManager[paramiko.SFTPClient]]
FIRST_WAIT, LONGEST_WAIT = 15.0, 300.0
"""The first and the longest wait, in seconds, before a server that does not answer is asked again; it doubles each
time."""
KNOWN_SECONDS = 300.0
"""How long the watch uses a tenant's drops before it reads them again: another process may have recorded one."""


@dataclass(frozen=True, order=True)
class Place:
    """The folder in which a tenant's drops arrive."""

    connection: str
    folder: str
    tenant_id: str


@dataclass(frozen=True)
class Found:
    """A settled drop that the ledger does not know yet."""

    tenant_id: str
    folder: str
    candidate: Candidate

    def as_json(self) -> dict[str, Any]:
        """The drop as JSON, for the way from Airflow's trigger to the task that records it."""
        return {"tenant_id": self.tenant_id, "folder": self.folder, "candidate": asdict(self.candidate)}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Found:
        files = tuple(RemoteFile(**file) for file in said["candidate"]["files"])
        return cls(said["tenant_id"], said["folder"], Candidate(files, said["candidate"]["done"]))


def places(catalog: Catalog) -> tuple[Place, ...]:
    """The folders of every tenant."""
    return tuple(
        sorted(
            Place(district.sftp_connection, config.folder, Tenant(product, district.district).id)
            for district in catalog.districts.values()
            for product, config in district.products.items()
        )
    )


@dataclass
class _Silence:
    """A server that does not answer, and the time to ask it again."""

    until: float
    wait: float


@dataclass(frozen=True)
class _Known:
    """The fingerprints of a tenant's drops in the ledger, and when they were read."""

    fingerprints: frozenset[str]
    read_at: float


@dataclass
class Watch:
    """Watches all folders and remembers what it has seen. Keep it as long as the process lives.

    A new one would have to see each drop unchanged for `settle_seconds` again: in a week in which drops arrive all the
    time, a drop without a marker would never settle.
    """

    settle_seconds: float
    _settling: Settling = field(init=False)
    _known: dict[str, _Known] = field(default_factory=dict, init=False)
    _silent: dict[str, _Silence] = field(default_factory=dict, init=False)
    _folders: set[tuple[str, str]] = field(default_factory=set, init=False)
    _unreadable: set[Place] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self._settling = Settling(self.settle_seconds)

    def look(
        self, where: Iterable[Place], open_engine: Callable[[], Engine], open_sftp: OpenSftp, clock: float
    ) -> list[Found]:
        """Look at every folder once; returns the new drops that have settled.

        A server or folder that cannot be read is logged; the others are still read. The database is asked only about
        settled drops that were not known a few minutes before. `clock` is in seconds and monotonic. Raises what the
        database raises.
        """
        by_connection = defaultdict(list)
        where = tuple(where)
        self._folders = {(place.connection, posixpath.normpath(place.folder)) for place in where}
        for place in where:
            by_connection[place.connection].append(place)
        with ThreadPoolExecutor(SERVERS_AT_ONCE, "sftp-watch") as threads:
            looks = [
                threads.submit(self._look_at, connection, group, open_sftp, clock)
                for connection, group in by_connection.items()
            ]
            settled = [found for look in looks for found in look.result()]
        self._learn(settled, open_engine, clock)
        return [found for found in settled if not self._knows(found)]

    def _look_at(self, connection: str, group: list[Place], open_sftp: OpenSftp, clock: float) -> list[Found]:
        silence = self._silent.get(connection)
        if silence and clock < silence.until:
            return []
        found: list[Found] = []
        try:
            with open_sftp(connection) as sftp:
                for place in group:
                    found += self._settled_in(place, sftp, clock)
        except UNREACHABLE as error:
            wait = min(silence.wait * 2, LONGEST_WAIT) if silence else FIRST_WAIT
            self._silent[connection] = _Silence(clock + wait, wait)
            log.warning("SFTP %s does not answer (%s); next try in %.0f s", connection, _kind(error), wait)
            return found
        if self._silent.pop(connection, None):
            log.info("SFTP %s answers again", connection)
        return found

    def _settled_in(self, place: Place, sftp: paramiko.SFTPClient, clock: float) -> list[Found]:
        try:
            listed = list_folder(sftp, place.folder, sub_folders=True)
        except (FileNotFoundError, PermissionError) as error:
            if place not in self._unreadable:
                log.warning("folder of %s is not readable (%s): check its file", place.tenant_id, _kind(error))
            self._unreadable.add(place)
            return []
        self._unreadable.discard(place)
        others = passed_over(file for file in listed if not self._is_anothers(place, file.name))
        found = [*candidates(listed), *([others] if others else [])]
        settled = self._settling.observe(f"{place.connection}:{place.folder}", found, clock)
        return [Found(place.tenant_id, place.folder, candidate) for candidate in settled]

    def _is_anothers(self, place: Place, name: str) -> bool:
        """Whether a file below a tenant's folder belongs to another tenant's folder, which may be inside it."""
        path = posixpath.dirname(posixpath.join(place.folder, name))
        return (place.connection, path) in self._folders - {(place.connection, place.folder)}

    def _knows(self, found: Found) -> bool:
        known = self._known.get(found.tenant_id)
        return known is not None and found.candidate.fingerprint in known.fingerprints

    def _learn(self, settled: Iterable[Found], open_engine: Callable[[], Engine], clock: float) -> None:
        for tenant_id in [t for t, known in self._known.items() if clock - known.read_at >= KNOWN_SECONDS]:
            del self._known[tenant_id]
        unsure = {found.tenant_id for found in settled if not self._knows(found)}
        if not unsure:
            return
        engine = open_engine()
        for tenant_id in unsure:
            with tenant_session(engine, tenant_id) as connection:
                self._known[tenant_id] = _Known(frozenset(known_fingerprints(connection)), clock)


def record_all(engine: Engine, found: Iterable[Found]) -> list[str]:
    """Write drops to the ledger; returns the tenants that have a new import, each once, by name."""
    woken = set()
    for drop in found:
        with tenant_session(engine, drop.tenant_id) as connection:
            if record(connection, drop.tenant_id, drop.folder, drop.candidate) is not None:
                woken.add(drop.tenant_id)
    return sorted(woken)


def _kind(error: Exception) -> str:
    """The type of an error. Its text is left out, because it may contain a login."""
    return type(error).__name__

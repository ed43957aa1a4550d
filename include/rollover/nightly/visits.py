"""Visits tenants, each server's one after the other over one connection, and a few servers at once.

A failure holds up nobody: the other tenants are visited, and those that failed are named at the end.
"""

from __future__ import annotations

import logging
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from upath import UPath

from rollover.errors import ConfigError, Refused, ServerDown, StorageFailed, WorkLeft
from rollover.nightly.tonight import Night
from rollover.sftp.outbox import Outbox
from rollover.tenant import Tenant

log = logging.getLogger(__name__)

AT_ONCE = 4
"""The most servers that are connected to at the same time."""
SHOWN = 20
"""How many tenants a message names."""

T = TypeVar("T")
Work = Callable[[Tenant, Outbox], None]
"""What is done for a tenant. The outbox connects when it is first used."""


@dataclass(frozen=True)
class FailedVisit:
    """A tenant for which something is left to do, and why. `server` is the SFTP connection, if it was the reason."""

    tenant: Tenant
    error: Exception
    server: str | None

    def __str__(self) -> str:
        of_server = f" of the server '{self.server}'" if self.server else ""
        said = self.error.reason if isinstance(self.error, Refused) else _place(self.error)
        return f"{self.tenant}: {said}{of_server}"


def visit(night: Night, tenants: Iterable[Tenant], work: Work) -> list[FailedVisit]:
    """Do something for each tenant; returns those for which it failed.

    A server that fails is given up: its other tenants fail at once if they need it, and are not waited for.
    """
    by_server: dict[str, list[Tenant]] = defaultdict(list)
    for tenant in tenants:
        by_server[night.known.districts[tenant.district].sftp_connection].append(tenant)
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="visit") as pool:
        found = pool.map(lambda group: _visit_server(night, group[0], group[1], work), by_server.items())
        return [failed for of_server in found for failed in of_server]


def refuse_failed(failed: Sequence[FailedVisit], what: str) -> None:
    """Raise an error that names the tenants that failed, and their servers, unless there are none.

    Raises Refused if a retry cannot help any of them, else WorkLeft.
    """
    if not failed:
        return
    more = f"; and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    said = f"{what} failed for {len(failed)} of the tenants: {'; '.join(map(str, failed[:SHOWN]))}{more}."
    if all(isinstance(each.error, (Refused, ConfigError)) for each in failed):
        remedies = dict.fromkeys(each.error.remedy for each in failed if isinstance(each.error, Refused))
        raise Refused(said, " ".join([*remedies, "Then clear this task, or wait for the next night."]))
    raise WorkLeft(f"{said} The others are done. The next night does what is left.")


def _visit_server(night: Night, server: str, tenants: list[Tenant], work: Work) -> list[FailedVisit]:
    failed = []
    with night.outbox_of(night.known.districts[tenants[0].district]) as outbox:
        shared = _SharedOutbox(server, outbox)
        for tenant in tenants:
            try:
                work(tenant, shared)
            except Exception as error:
                is_servers = shared.failure is error or isinstance(error, ServerDown)
                failed.append(FailedVisit(tenant, error, server if is_servers else None))
                log.error("%s", failed[-1])
    return failed


class _SharedOutbox:
    """The outbox of several tenants of a server. After its connection has failed, it is not used again."""

    def __init__(self, server: str, outbox: Outbox) -> None:
        self._server, self._outbox = server, outbox
        self.failure: Exception | None = None

    def deliver(self, file: UPath, remote_path: str) -> None:
        self._ask(lambda: self._outbox.deliver(file, remote_path))

    def remove(self, remote_path: str) -> None:
        self._ask(lambda: self._outbox.remove(remote_path))

    def listing(self, remote_folder: str) -> list[str]:
        return self._ask(lambda: self._outbox.listing(remote_folder))

    def _ask(self, request: Callable[[], T]) -> T:
        if self.failure is not None:
            raise ServerDown(f"the SFTP server of '{self._server}' failed before") from None
        try:
            return request()
        except (FileNotFoundError, PermissionError, StorageFailed):
            raise  # it answered
        except Exception as error:
            self.failure = error
            raise


def _place(error: Exception) -> str:
    """The kind of an error and where it was raised. Its text is left out, because it may quote a value."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""

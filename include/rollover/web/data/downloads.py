"""Records downloads of personal data as evidence, and streams files.

A download is recorded before its first byte is sent: a person who got a part of a file has got personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import evidence
from rollover.storage import storage_path

DOWNLOADED = "downloaded"
"""The kind of evidence of a download of personal data."""
WAIT_SECONDS = 10.0
"""How long a download waits while a step or an import has the tenant's lock: then the person is asked to try again."""
CHUNK_BYTES = 1 << 20
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 120


def record(engine: Engine, tenant_id: str, what: str, by: str, facts: dict[str, Any], rollover_id: str | None) -> None:
    """Record that a person downloads personal data. `facts` say what exactly, without a personal value.

    Raises TenantBusy if a step or an import has the tenant's lock for longer than a person waits.
    """
    with tenant_session(engine, tenant_id, exclusive=True, wait_seconds=WAIT_SECONDS) as connection:
        evidence.record(connection, tenant_id, DOWNLOADED, {"what": what, "by": by, **facts}, rollover_id)


def chunks(path: UPath) -> Iterator[bytes]:
    """A file, piece by piece."""
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK_BYTES):
            yield piece


def stored(storage: UPath, path: str) -> UPath:
    """A file of storage by the path that the ledger has. Raises Refused if it is not below `storage`, or is gone."""
    found = storage_path(path)
    if ".." in found.parts or not str(found).startswith(f"{str(storage).rstrip('/')}/"):
        raise Refused("The file does not lie in the storage that these pages may read.", "report this.")
    if not found.is_file():
        raise Refused("The file is not in storage any more.", "restore it from the storage's versions.")
    return found


def safe_name(*parts: str) -> str:
    """A name for a downloaded file, of letters, digits, dots, dashes and underscores only."""
    name = UNSAFE.sub("-", "_".join(parts)).strip("-.")
    return name[-LONGEST_NAME:].lstrip("-.") or "file"

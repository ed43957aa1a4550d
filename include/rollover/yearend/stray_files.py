"""Compares folders with the ledger, both ways: files that nobody recorded, and recorded files that are missing."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select, text
from upath import UPath

from rollover.database.session import lock_tenant
from rollover.database.tables.ledger import artifacts, imports, rollovers
from rollover.errors import ProofFailed
from rollover.ledger.artifacts import OUTBOX, STORAGE
from rollover.ledger.rollovers import RolloverState
from rollover.sftp.outbox import Outbox, part_of
from rollover.storage import is_part, storage_path
from rollover.tenant import SEPARATOR, Tenant

ROOTS = ("archive", "exports", "certificates")
"""The folders of storage whose files are recorded; below each, ``<product>/<district>``."""
SHOWN = 20
"""How many files a message names."""

# What the ledger says is there: of plans that were run, and neither expired nor removed.
EXPECTED = """
    WITH run_plans AS (
        SELECT rollover_id, plan_no, coalesce(result -> 'stayed', '[]') AS stayed FROM ledger.steps WHERE step = 'erase'
    )
    SELECT a.path FROM ledger.archives a JOIN run_plans p USING (rollover_id, plan_no)
    JOIN ledger.rollovers r USING (rollover_id)
    WHERE NOT p.stayed @> jsonb_build_array(jsonb_build_array(a.school_id, a.table_name))
      AND NOT EXISTS (
          SELECT FROM ledger.archive_plans x
          WHERE x.kind = 'expire' AND x.school_year = r.school_year AND x.done_at > a.read_back_at
      )
    UNION ALL
    SELECT e.path FROM ledger.exports e JOIN run_plans p USING (rollover_id, plan_no) WHERE e.removed_at IS NULL
    UNION ALL
    SELECT path FROM ledger.certificates
    UNION ALL
    SELECT regexp_replace(path, '[.]json$', '.pdf') FROM ledger.certificates
"""


def strays(connection: Connection, tenant: Tenant, storage: UPath, outbox_folder: str, outbox: Outbox) -> list[str]:
    """What differs between a tenant's folders and its ledger, a sentence each; empty if nothing does.

    Looked at are ``archive``, ``exports``, ``certificates`` and ``imports`` in storage, and in the outbox the folders
    of the school years that files were recorded in; the server is asked only if there are such. A part file counts
    while no rollover of the tenant is running: then nobody writes it.
    """
    found = [f"nobody knows {path}" for path in _unknown_in_storage(connection, tenant, storage)]
    found += [f"nobody knows {path} on SFTP" for path in _unknown_in_outbox(connection, outbox_folder, outbox)]
    return found + [f"{path} is missing" for path in _missing(connection)]


def _missing(connection: Connection) -> list[str]:
    """The files that the ledger says are there, and that are not."""
    missing = [path for path in connection.scalars(text(EXPECTED)) if not storage_path(path).exists()]
    if not missing:
        return []
    # Whoever removes files says so when all of them are gone, and has the tenant's lock until then.
    lock_tenant(connection)
    return sorted(set(missing).intersection(connection.scalars(text(EXPECTED))))


def recorded_in_outbox(connection: Connection) -> set[str]:
    """Every path in the outbox that was ever recorded for the tenant."""
    return set(connection.scalars(select(artifacts.c.path).where(artifacts.c.place == OUTBOX)))


def refuse_strays(found: dict[str, list[str]], others: Iterable[str] = ()) -> None:
    """Raise ProofFailed with what :func:`strays` found, by tenant, unless it is nothing; `others` is said with it."""
    if not any(found.values()):
        return
    said = [f"{tenant_id}: {problem}" for tenant_id, problems in sorted(found.items()) for problem in problems]
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    raise ProofFailed(
        f"Folders and ledger differ: {'; '.join([*said[:SHOWN], *others])}{more}.",
        "find out who put a file there that nobody knows, and move it away: it may hold children's records. A missing "
        "file: restore it from the storage's versions. Then clear this task.",
    )


def _unknown_in_storage(connection: Connection, tenant: Tenant, storage: UPath) -> list[str]:
    was_running = _is_running(connection)
    # Listed first: a file that is written meanwhile is recorded before it is there.
    files = [
        str(path)
        for name in ROOTS
        if (folder := storage / name / tenant.product / tenant.district).exists()
        for path in folder.rglob("*")
        if path.is_file()
    ]
    known = set(connection.scalars(select(artifacts.c.path).where(artifacts.c.place == STORAGE)))
    found = _unknown(files, known, parts=not (was_running or _is_running(connection)))
    sets = storage / "imports"
    if sets.exists():
        of_tenant = {str(path): path.name for path in sets.glob(f"{tenant.id}{SEPARATOR}*")}
        query = select(imports.c.import_id).where(imports.c.import_id.in_(of_tenant.values()))
        recorded = set(connection.scalars(query))
        found += [path for path, import_id in of_tenant.items() if import_id not in recorded]
    return sorted(found)


def _unknown_in_outbox(connection: Connection, folder: str, outbox: Outbox) -> list[str]:
    was_running = _is_running(connection)
    query = select(artifacts.c.path, artifacts.c.removed_at).where(artifacts.c.place == OUTBOX)
    rows = connection.execute(query).all()
    years = {row.path.removeprefix(f"{folder}/").partition("/")[0] for row in rows if row.removed_at is None}
    found = [path for year in sorted(years) for path in outbox.listing(f"{folder}/{year}")]
    known = recorded_in_outbox(connection)
    if was_running or _is_running(connection):
        known |= {part_of(path) for path in known}
    return _unknown(found, known, parts=True)


def _is_running(connection: Connection) -> bool:
    """Whether a rollover of the tenant may be writing files now. Asked before and after files are listed: a rollover
    may begin or end in between."""
    return bool(
        connection.scalar(select(rollovers.c.rollover_id).where(rollovers.c.state == RolloverState.RUNNING).limit(1))
    )


def _unknown(files: Iterable[str], known: set[str], *, parts: bool) -> list[str]:
    folders = tuple(path for path in known if path.endswith("/"))
    return [path for path in files if (parts if is_part(path) else path not in known and not path.startswith(folders))]

"""The files that a rollover writes: recorded before they are written, and removed if their plan was never run.

A step's transaction may roll back after it wrote files to storage or put them into the outbox. So each path is
recorded in ``ledger.artifacts`` first, in a transaction of its own. A file then belongs to a plan that was run (a
receipt says so), or it was abandoned and is removed before the certificate, or nobody knows it, and the certificate is
refused.

The files of a roster import need no record here: they lie below ``imports/<import id>``, and the import is in the
ledger before its first file is fetched.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from upath import UPath

from rollover.database.session import tenant_session
from rollover.database.tables.ledger import artifacts, exports, steps
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import Step
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.storage import LOCAL, is_part, storage_path
from rollover.tenant import Tenant

log = logging.getLogger(__name__)

STORAGE, OUTBOX = "storage", "outbox"
YEARS = ("archive", "exports")
"""The folders of storage with a folder ``<product>/<district>/<school year>``."""
AT_ONCE = 5_000
"""How many paths are recorded in one statement."""

IS_ERASED = """
    SELECT EXISTS (
        SELECT FROM ledger.steps WHERE rollover_id = :rollover_id AND step = 'erase'
        AND plan_no = (SELECT max(plan_no) FROM ledger.plans WHERE rollover_id = :rollover_id)
    )
"""

# A plan was run when its erase was recorded. Of a plan that was ended early, what stayed went with a later plan.
BELONGING = """
    WITH run_plans AS (
        SELECT plan_no, coalesce(result -> 'stayed', '[]') AS stayed FROM ledger.steps
        WHERE rollover_id = :rollover_id AND step = 'erase'
    )
    SELECT 'storage' AS place, a.path FROM ledger.archives a JOIN run_plans p USING (plan_no)
    WHERE a.rollover_id = :rollover_id
        AND NOT p.stayed @> jsonb_build_array(jsonb_build_array(a.school_id, a.table_name))
    UNION ALL
    SELECT 'storage', s.result -> 'manifest' ->> 'path' FROM ledger.steps s JOIN run_plans p USING (plan_no)
    WHERE s.rollover_id = :rollover_id AND s.step = 'archive'
    UNION ALL
    SELECT place.name, place.path FROM ledger.exports e JOIN run_plans p USING (plan_no),
        LATERAL (VALUES ('storage', e.path), ('outbox', e.delivered_to)) AS place (name, path)
    WHERE e.rollover_id = :rollover_id AND e.removed_at IS NULL
    UNION ALL
    SELECT place.name, place.path FROM ledger.certificates c,
        LATERAL (VALUES
            ('storage', c.path),
            ('storage', regexp_replace(c.path, '[.]json$', '.pdf')),
            ('outbox', :outbox || '/certificate_' || regexp_replace(c.path, '^.*/', '')),
            ('outbox', :outbox || '/certificate_' || regexp_replace(c.path, '^.*/(.*)[.]json$', '\\1.pdf'))
        ) AS place (name, path)
    WHERE c.rollover_id = :rollover_id
"""


def intend(plan: FrozenPlan, place: str, paths: Iterable[UPath | str]) -> None:
    """Record files that a plan is about to write. Committed at once, whatever becomes of the step's own transaction.

    A path that ends in a slash stands for all files below that folder.
    """
    run = plan.run
    _record(run.engine, run.tenant, place, paths, rollover_id=run.id, plan_no=plan.number)


def intend_certificate(engine: Engine, tenant: Tenant, path: UPath) -> None:
    """Record the certificate of an archive's destruction, which is of no rollover, before it is written."""
    _record(engine, tenant, STORAGE, [path], rollover_id=None, plan_no=0)


def _record(
    engine: Engine, tenant: Tenant, place: str, paths: Iterable[UPath | str], *, rollover_id: str | None, plan_no: int
) -> None:
    whose = {"tenant_id": tenant.id, "rollover_id": rollover_id, "plan_no": plan_no, "place": place}
    rows = [{**whose, "path": path} for path in dict.fromkeys(map(str, paths))]
    if not rows:
        return
    with tenant_session(engine, tenant.id) as connection:
        for start in range(0, len(rows), AT_ONCE):
            statement = insert(artifacts).values(rows[start : start + AT_ONCE])
            again = {
                "plan_no": statement.excluded.plan_no,
                "intended_at": func.clock_timestamp(),
                "removed_at": None,
            }
            connection.execute(
                statement.on_conflict_do_update(index_elements=["tenant_id", "place", "path"], set_=again)
            )


def deliver(plan: FrozenPlan, outbox: Outbox, files: Iterable[tuple[UPath, str]]) -> None:
    """Put files into the outbox, each ``(file, remote path)``; all paths are recorded first."""
    files = list(files)
    intend(plan, OUTBOX, [remote for _, remote in files])
    for file, remote in files:
        outbox.deliver(file, remote)


def remove_abandoned(connection: Connection, run: Run, outbox: Outbox | None = None) -> int:
    """Remove the rollover's files that belong to no plan that was run; return how many there were.

    Files in the outbox are removed only if `outbox` is given. Safe to run again after a crash. Does nothing while the
    plan in force is not erased: its files, and those of an erase in parts, are still needed. The caller holds the
    tenant's lock, so nobody else writes there.
    """
    if not connection.scalar(text(IS_ERASED), {"rollover_id": run.id}):
        return 0
    belonging = _belonging(connection, run)
    removed = [path for path in _abandoned_in_storage(connection, run, belonging) if _unlink(storage_path(path))]
    _record_removed(run, STORAGE, _abandoned(connection, run, STORAGE, belonging))
    if outbox is not None:
        in_outbox = _abandoned(connection, run, OUTBOX, belonging)
        for path in in_outbox:
            outbox.remove(path)
        _record_removed(run, OUTBOX, in_outbox)
        never_run = ~exists().where(
            steps.c.rollover_id == run.id, steps.c.step == Step.ERASE, steps.c.plan_no == exports.c.plan_no
        )
        mine = (exports.c.rollover_id == run.id) & exports.c.removed_at.is_(None)
        connection.execute(update(exports).where(mine, never_run).values(removed_at=run.now))
        removed += in_outbox
    if removed:
        log.info("%s: %s files of plans that were never run are removed", run.id, len(removed))
    return len(removed)


def abandoned(connection: Connection, run: Run, place: str) -> list[str]:
    """Recorded files of the rollover, not removed yet, that belong to no plan that was run."""
    return _abandoned(connection, run, place, _belonging(connection, run))


def _abandoned(connection: Connection, run: Run, place: str, belonging: set[tuple[str, str]]) -> list[str]:
    """The recorded files, folders left out, that belong to no plan that was run."""
    recorded = _recorded(connection, run, place)
    return [path for path in recorded if (place, path) not in belonging and not path.endswith("/")]


def _record_removed(run: Run, place: str, paths: list[str]) -> None:
    """Record a removal. In a session of its own: the step may intend the same path again, and would wait for itself."""
    if not paths:
        return
    with tenant_session(run.engine, run.tenant.id) as connection:
        connection.execute(
            update(artifacts)
            .where(artifacts.c.rollover_id == run.id, artifacts.c.place == place)
            .where(artifacts.c.path == func.any(paths), artifacts.c.removed_at.is_(None))
            .values(removed_at=run.now)
        )


def unknown_files(connection: Connection, run: Run) -> list[str]:
    """Files below the year's folders in storage that no artifact of the tenant names, part files included."""
    known = set(connection.scalars(select(artifacts.c.path).where(artifacts.c.place == STORAGE)))
    folders = tuple(path for path in known if path.endswith("/"))
    return [
        path
        for path in map(str, _files_of_year(run))
        if is_part(path) or (path not in known and not path.startswith(folders))
    ]


def _abandoned_in_storage(connection: Connection, run: Run, belonging: set[tuple[str, str]]) -> Iterator[str]:
    """Files to remove: those of abandoned plans, and what killed writers left."""
    yield from _abandoned(connection, run, STORAGE, belonging)
    recorded = set(_recorded(connection, run, STORAGE))
    folders = tuple(path for path in recorded if path.endswith("/"))
    for path in map(str, _files_of_year(run)):
        abandoned = path.startswith(folders) and (STORAGE, path) not in belonging
        if is_part(path) or (abandoned and path not in recorded):
            yield path


def _recorded(connection: Connection, run: Run, place: str) -> list[str]:
    query = select(artifacts.c.path).where(
        artifacts.c.rollover_id == run.id, artifacts.c.place == place, artifacts.c.removed_at.is_(None)
    )
    return list(connection.scalars(query.order_by(artifacts.c.path)))


def _belonging(connection: Connection, run: Run) -> set[tuple[str, str]]:
    """Place and path of each file of a plan that was run."""
    outbox = f"{run.config.outbox}/{run.school_year}"
    found = connection.execute(text(BELONGING), {"rollover_id": run.id, "outbox": outbox})
    return {(place, path) for place, path in found if path is not None}


def _files_of_year(run: Run) -> Iterator[UPath]:
    for name in YEARS:
        folder = run.storage / name / run.tenant.product / run.tenant.district / run.school_year.key
        if folder.exists():
            yield from (path for path in folder.rglob("*") if path.is_file())


def _unlink(path: UPath) -> bool:
    """Delete a file, and its folder if that is empty then; return whether the file was there."""
    there = path.exists()
    path.unlink(missing_ok=True)
    if path.protocol in LOCAL:
        with suppress(OSError):
            Path(path.path).parent.rmdir()  # not UPath's own rmdir, which removes a folder with all that is in it
    return there

"""Lists the data of a tenant's year that is still kept when its certificate is issued: where, how much, and until when.

The words are in ``texts/still_kept.txt.j2``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, or_, select, text

from rollover.archive.restore import COPIED
from rollover.certificate.disposals import Disposal
from rollover.certificate.still_kept import StillKept
from rollover.config import Action
from rollover.database.tables import tables_of
from rollover.database.tables.ledger import evidence, exports, imports
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.ledger import rollovers
from rollover.roster.imports.model import REPORT_IS_THERE
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.texts import render
from rollover.yearend.residue import drops_on_sftp

MARKED = """
    SELECT count(*) AS rows, max(i.changed_at) AS last FROM {table} t JOIN ledger.imports i USING (import_id)
    WHERE t.status = 'tobedeleted'
"""
TO_UNDO = """
    SELECT count(*) AS rows, max(i.changed_at) AS last FROM roster.history h JOIN ledger.imports i USING (import_id)
"""


def described(kind: str, where: str, number: int, unit: str, until: str | None, **values: object) -> StillKept:
    """A thing that is still there, with the words of the template for its kind."""
    what, ends = render("still_kept.txt.j2", kind=kind, **values).split("\n")
    return StillKept(what, where, number, unit, until, ends)


def still_kept(connection: Connection, run: Run, done: list[Disposal], outbox: Outbox, at: datetime) -> list[StillKept]:
    """List everything of the year that is still kept when the certificate is issued (`at`).

    Kept and reset data classes are listed with their rows now. It names no person.
    """
    found = [
        _exports(connection, run, at),
        _import_reports(connection, run),
        *_marked(connection, run),
        _held(run, sum(line.rows for line in done[-1].held)),
        _archives(connection, run, sum(file.expired_at is None for disposal in done for file in disposal.archives)),
        *_copies(connection, run),
        _drops(connection, run, outbox),
        *_kept_classes(connection, run),
        _backups(run, done[-1].erased_at),
    ]
    return [kept for kept in found if kept is not None]


def kept_by_ledger(
    connection: Connection, run: Run, *, held_rows: int, archived_files: int, erased_at: datetime, at: datetime
) -> list[StillKept]:
    """List what is still kept of a year by the ledger alone, as of now. The time of exports counts from `at`.

    Unlike :func:`still_kept`, it neither counts live rows nor lists the district's server.
    """
    found = [
        _exports(connection, run, at),
        _import_reports(connection, run),
        _held(run, held_rows),
        _archives(connection, run, archived_files),
        *_copies(connection, run),
        _backups(run, erased_at),
    ]
    return [kept for kept in found if kept is not None]


def _exports(connection: Connection, run: Run, at: datetime) -> StillKept | None:
    query = select(func.count()).where(exports.c.rollover_id == run.id, exports.c.removed_at.is_(None))
    if not (files := connection.scalar(query)):
        return None
    tenant, days = run.tenant, run.product.exports_kept_days_of(run.config)
    return described(
        "exports",
        f"storage: exports/{tenant.product}/{tenant.district}; the district's SFTP: {run.config.outbox}",
        files,
        "files",
        _day(at + timedelta(days=days)),
        days=days,
    )


def _import_reports(connection: Connection, run: Run) -> StillKept | None:
    """Reports about roster files of the year: their lists of findings name the ids of people."""
    row = imports.c
    reports, last = connection.execute(
        select(func.count(), func.max(row.changed_at)).where(
            or_(row.school_year.is_(None), row.school_year <= run.school_year.key), REPORT_IS_THERE
        )
    ).one()
    if not reports:
        return None
    days = run.product.grace_days_of(run.config)
    return described(
        "import_reports",
        f"the district's SFTP: {run.config.outbox}/imports",
        reports,
        "reports",
        _day(last + timedelta(days=days)),
        days=days,
    )


def _marked(connection: Connection, run: Run) -> Iterator[StillKept]:
    days = run.product.grace_days_of(run.config)
    rows, last = 0, None
    for table in ROSTER_TABLES:
        found = connection.execute(text(MARKED.format(table=table.fullname))).one()
        rows += found.rows
        last = max(filter(None, (last, found.last)), default=None)
    if rows and last:
        yield described(
            "marked",
            "database: schema roster",
            rows,
            "rows",
            _day(last + timedelta(days=days)),
            days=days,
        )
    found = connection.execute(text(TO_UNDO)).one()
    if found.rows and found.last:
        yield described(
            "to_undo",
            "database: roster.history",
            found.rows,
            "rows",
            _day(found.last + timedelta(days=days)),
            days=days,
        )


def _held(run: Run, rows: int) -> StillKept | None:
    if not rows:
        return None
    return described("held", f"database: schema {run.product.product}", rows, "rows", None)


def _archives(connection: Connection, run: Run, files: int) -> StillKept | None:
    if not files:
        return None
    expires_on = run.product.archive_expires_on(run.config, rollovers.load(connection, run).reset_date)
    return described(
        "archives",
        f"storage: archive/{run.tenant.product}/{run.tenant.district}/{run.school_year}",
        files,
        "files",
        expires_on.isoformat() if expires_on else None,
        expires=bool(expires_on),
    )


def _copies(connection: Connection, run: Run) -> Iterator[StillKept]:
    """Schemas that the archived year was restored into and that are still there."""
    into = evidence.c.facts["into"].astext
    copied = select(into).where(evidence.c.kind == COPIED, evidence.c.rollover_id == run.id).distinct()
    there = text("SELECT nspname FROM pg_namespace WHERE nspname = ANY(:names)")
    names = list(connection.scalars(copied))
    for name in connection.scalars(there, {"names": names}):
        yield described("copy", f"database: schema {name}", 1, "schemas", None)


def _drops(connection: Connection, run: Run, outbox: Outbox) -> StillKept | None:
    files = drops_on_sftp(connection, run, outbox)
    if not files:
        return None
    return described("drops", f"the district's SFTP: {run.config.folder}", len(files), "files", None)


def _kept_classes(connection: Connection, run: Run) -> Iterator[StillKept]:
    for name in run.product.classes(Action.KEEP):
        tables = tables_of(run.product.product, name)
        rows = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables)
        if rows:
            where = f"database: schema {run.product.product}"
            yield described("data_class", where, rows, "rows", None, data_class=name)


def _backups(run: Run, erased_at: datetime) -> StillKept:
    days = run.backup_days
    until = _day(erased_at + timedelta(days=days)) if days else None
    return described("backups", "the deployment's backups", 0, "not counted", until, days=days)


def _day(at: datetime) -> str:
    return at.date().isoformat()

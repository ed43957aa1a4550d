"""Finds archives past their retention, what blocks their disposal, and what is disposed of with a year.

The retention counts from the year's reset date, by `archive_kept_years` of the product or the district file. A year
stays while a hold may concern it, while its rollover is not certified, and while it has live rows: it was restored, or
rows came late. A rollover must erase those first.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, exists, func, or_, select
from upath import UPath

from rollover.archive import manifest as manifests
from rollover.archive.restore import COPIED
from rollover.archive.tables import archived_tables
from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.database.session import tenant_session
from rollover.database.tables.base import is_activity
from rollover.database.tables.ledger import archive_plans, archives, rollovers
from rollover.database.tables.ledger import evidence as evidence_table
from rollover.errors import Refused
from rollover.ledger import disposal_plans, holds
from rollover.ledger import due as ledger_due
from rollover.ledger.disposal_plans import EXPIRE, Content
from rollover.ledger.due import Kind
from rollover.ledger.rollovers import RolloverState
from rollover.run import Run
from rollover.tenant import SEPARATOR

log = logging.getLogger(__name__)

AT_ONCE = 500
"""The most questions in a day. Airflow maps a task to 1,024 at most."""


def due(engine: Engine, known: Catalog, storage: UPath, now: datetime) -> list[str]:
    """Return the archived years past their retention, as rollover ids, oldest first.

    One query says which years are archived. Only a tenant with a year past its retention is opened; the log names the
    years that have to stay all the same, and why. At most `AT_ONCE` are returned; the others wait.
    """
    found, listed = [], {tenant.id: tenant for tenant in known.tenants}
    for each in ledger_due.read(engine, Kind.ARCHIVED_YEAR):
        if (tenant := listed.get(each.tenant_id)) is None:
            continue
        assert each.at is not None and each.about is not None
        district, product = known.districts[tenant.district], known.products[tenant.product]
        run = Run(engine, tenant, SchoolYear.parse(each.about), district, product, storage, now)
        if _why_not_over(run, each.at.astimezone(UTC).date()) is not None:
            continue
        with tenant_session(engine, tenant.id) as connection:
            why = _why_kept(connection, run)
        if why is None:
            found.append(run.id)
        else:
            log.info("the archive of %s stays: %s", run.id, why)
    if len(found) > AT_ONCE:
        log.warning("%s archived years are due: %s of them wait", len(found), len(found) - AT_ONCE)
    return sorted(found, key=lambda rollover_id: (rollover_id.rpartition(SEPARATOR)[2], rollover_id))[:AT_ONCE]


def archived_years(connection: Connection) -> list[str]:
    """Return the school years of the session's tenant that have an archive, oldest first."""
    ends = (
        select(archive_plans.c.school_year, func.max(archive_plans.c.done_at).label("at"))
        .where(archive_plans.c.kind == EXPIRE)
        .group_by(archive_plans.c.school_year)
        .subquery()
    )
    query = (
        select(rollovers.c.school_year)
        .distinct()
        .join(archives, archives.c.rollover_id == rollovers.c.rollover_id)
        .outerjoin(ends, ends.c.school_year == rollovers.c.school_year)
        .where(or_(ends.c.at.is_(None), archives.c.read_back_at > ends.c.at))
        .order_by(rollovers.c.school_year)
    )
    return list(connection.scalars(query))


def _why_not_over(run: Run, reset_date: date) -> str | None:
    """Return why the rule keeps an archived year; None if it is past its retention."""
    expires = run.product.archive_expires_on(run.config, reset_date)
    if expires is None:
        return "the rule keeps it for good"
    if run.now.astimezone(ZoneInfo(run.district.time_zone)).date() < expires:
        return f"it expires on {expires}"
    return None


def _why_kept(connection: Connection, run: Run) -> str | None:
    """Return why an archived year has to stay; None if it may be disposed of."""
    rollover = _rollover(connection, run)
    if (why := _why_not_over(run, rollover.reset_date)) is not None:
        return why
    if rollover.state != RolloverState.CERTIFIED:
        return "the rollover of the year is not certified"
    if held := holds_on(connection, run.school_year.key):
        return "; ".join(map(str, held))
    live = [
        table.fullname
        for table in archived_tables(run.product)
        if is_activity(table) and connection.scalar(select(exists().where(table.c.school_year == run.school_year.key)))
    ]
    return f"rows of the year are live in {', '.join(live)}: they go by a rollover first" if live else None


def holds_on(connection: Connection, school_year: str | None) -> list[holds.Hold]:
    """Return the open holds that may concern an archived year, or any year if none is given.

    A student's hold is on every year of the tenant: the people that an archive names are not looked up.
    """
    query = select(archives.c.school_id).join(rollovers, rollovers.c.rollover_id == archives.c.rollover_id)
    if school_year is not None:
        query = query.where(rollovers.c.school_year == school_year)
    held = set(connection.scalars(query))
    return [hold for hold in holds.in_force(connection) if hold.school_id is None or hold.school_id in held]


def _rollover(connection: Connection, run: Run) -> Any:
    columns = (rollovers.c.reset_date, rollovers.c.state)
    return connection.execute(select(*columns).where(rollovers.c.rollover_id == run.id)).one()


def draft(connection: Connection, run: Run) -> Content:
    """Return what an expiry of the year would erase now. Raises Refused if the year has to stay."""
    if run.school_year.key not in archived_years(connection):
        raise Refused(
            f"The ledger has no archive of {run.school_year} of {run.tenant}.", "see `rollover archive list`."
        )
    if why := _why_kept(connection, run):
        raise Refused(f"The archive of {run.id} stays: {why}.", "nothing to do: archive_expiry checks it every day.")
    reset_date, receipts = _rollover(connection, run).reset_date, _receipts(connection, run)
    found = listing(manifests.folder_of(run))
    own = {table.fullname for table in archived_tables(run.product)}
    by_school: dict[str, dict[str, int]] = {}
    for path in sorted(found.keys() & receipts.keys()):
        receipt = receipts[path]
        school = by_school.setdefault(receipt.school_id, {"files": 0, "rows": 0, "bytes": 0})
        school["files"] += 1
        school["rows"] += receipt.rows if receipt.table_name in own else 0
        school["bytes"] += found[path]
    copies = select(evidence_table.c.facts["into"].astext).where(
        evidence_table.c.rollover_id == run.id, evidence_table.c.kind == COPIED
    )
    return {
        "reset_date": reset_date.isoformat(),
        "kept_years": run.product.archive_kept_years_of(run.config),
        "expires_on": str(run.product.archive_expires_on(run.config, reset_date)),
        "rows": sum(school["rows"] for school in by_school.values()),
        "schools": [{"school": school_id, **counts} for school_id, counts in sorted(by_school.items())],
        "files": [
            {
                "path": path,
                "bytes": size,
                "sha256": receipts[path].sha256 if path in receipts else None,
                "key_id": receipts[path].key_id if path in receipts else None,
            }
            for path, size in sorted(found.items())
        ],
        "gone": sorted(receipts.keys() - found.keys()),
        "copies": sorted(set(connection.scalars(copies))),
    }


def _receipts(connection: Connection, run: Run) -> dict[str, Row[Any]]:
    """Return the receipts of the year's files, by their path below the year's folder: the storage may have moved."""
    before = disposal_plans.expired(connection, run.school_year.key)
    query = select(archives).where(archives.c.rollover_id == run.id)
    if before is not None:
        query = query.where(archives.c.read_back_at > before.done_at)
    below = f"/{run.tenant.product}/{run.tenant.district}/{run.school_year}/"
    return {row.path.rpartition(below)[2]: row for row in connection.execute(query)}


def listing(folder: UPath) -> dict[str, int]:
    """Return the size of every file below a folder by its relative path, as the storage lists it now."""
    folder.fs.invalidate_cache()
    root = folder.path.rstrip("/")
    found = folder.fs.find(root, detail=True)
    return {name.removeprefix(root).lstrip("/"): int(about["size"]) for name, about in found.items()}

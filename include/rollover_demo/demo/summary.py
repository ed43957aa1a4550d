"""Summarizes each rollover from the ledger and the database, as JSON and as a table."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from rollover.database.tables.ledger import exports, imports, notices, plan_lines, plans, rollovers, steps
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.ledger.plans import PlanAction
from rollover.tenant import Tenant

ACTIONS = ("archived", "erased", "reset", "kept")


def summary(owner: Engine) -> list[dict[str, Any]]:
    """Return one entry per rollover, by tenant and school year."""
    with owner.connect() as connection:
        found = connection.execute(select(rollovers).order_by(rollovers.c.tenant_id, rollovers.c.school_year))
        return [_entry(connection, dict(row)) for row in found.mappings()]


def _entry(connection: Connection, rollover: dict[str, Any]) -> dict[str, Any]:
    tenant = Tenant.parse(rollover["tenant_id"])
    run = rollover["rollover_id"]
    number = connection.scalar(select(func.max(plans.c.plan_no)).where(plans.c.rollover_id == run)) or 0
    finished = rollover["finished_at"]
    return {
        "tenant": tenant.id,
        "district": tenant.district,
        "product": tenant.product,
        "school_year": rollover["school_year"],
        "reset_date": rollover["reset_date"].isoformat(),
        "current": rollover["is_current"],
        "state": rollover["state"],
        **_rows(connection, run, number),
        "kept_unchanged": _kept_unchanged(connection, run, number, rollover["is_current"]),
        "exports": _exports(connection, run, number),
        "notices": _notices(connection, tenant.id, rollover["school_year"]),
        "drops": _drops(connection, tenant.id) if rollover["is_current"] else [],
        "roster": _roster(connection, tenant.id) if rollover["is_current"] else {},
        "seconds": round((finished - rollover["started_at"]).total_seconds(), 1) if finished else None,
    }


def _rows(connection: Connection, run: str, number: int) -> dict[str, dict[str, int]]:
    """The rows per data class, as the steps counted them when they were done; what is kept, as planned."""
    results = _results(connection, run, number)
    kept = (
        select(plan_lines.c.data_class, func.sum(plan_lines.c.rows))
        .where(plan_lines.c.rollover_id == run, plan_lines.c.plan_no == number, plan_lines.c.action == PlanAction.KEEP)
        .group_by(plan_lines.c.data_class)
        .order_by(plan_lines.c.data_class)
    )
    return {
        "archived": results.get("erase", {}).get("archived", {}),
        "erased": results.get("erase", {}).get("erased", {}),
        "reset": results.get("reset", {}).get("rows", {}),
        "kept": {data_class: int(rows) for data_class, rows in connection.execute(kept)},
    }


def _kept_unchanged(connection: Connection, run: str, number: int, current: bool) -> bool:
    """Whether every step that changes data proved, in its own transaction, that it left the kept rows alone."""
    results = _results(connection, run, number)
    proofs = ("erase", "reset") if current else ("erase",)
    return all(results.get(step, {}).get("kept_unchanged") is True for step in proofs)


def _results(connection: Connection, run: str, number: int) -> dict[str, dict[str, Any]]:
    query = select(steps.c.step, steps.c.result).where(steps.c.rollover_id == run, steps.c.plan_no.in_((0, number)))
    return {row.step: row.result for row in connection.execute(query)}


def _exports(connection: Connection, run: str, number: int) -> list[dict[str, Any]]:
    query = select(exports.c.report, exports.c.rows, exports.c.sha256, exports.c.delivered_to).where(
        exports.c.rollover_id == run, exports.c.plan_no == number
    )
    return [dict(row) for row in connection.execute(query.order_by(exports.c.report)).mappings()]


def _notices(connection: Connection, tenant_id: str, year: str) -> dict[str, int]:
    """How many mails were sent, by kind."""
    columns = notices.c
    query = select(columns.kind, func.count()).where(
        columns.tenant_id == tenant_id, columns.school_year == year, columns.sent_at.isnot(None)
    )
    rows = connection.execute(query.group_by(columns.kind).order_by(columns.kind))
    return {row.kind: row[1] for row in rows}


def mails(entries: list[dict[str, Any]]) -> str:
    """Return how many mails were sent by kind, as a line."""
    sent: Counter[str] = Counter()
    for entry in entries:
        sent.update(entry["notices"])
    return ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(sent.items())) or "none"


def _drops(connection: Connection, tenant_id: str) -> list[dict[str, Any]]:
    query = select(imports.c.import_id, imports.c.state, imports.c.school_year, imports.c.reason)
    found = connection.execute(query.where(imports.c.tenant_id == tenant_id).order_by(imports.c.found_at))
    return [dict(row) for row in found.mappings()]


def _roster(connection: Connection, tenant_id: str) -> dict[str, int]:
    counts = {}
    for table in ROSTER_TABLES:
        query = select(func.count()).select_from(table).where(table.c.tenant_id == tenant_id)
        counts[table.name] = connection.scalar(query.where(table.c.status == "active")) or 0
    return counts


def table(entries: list[dict[str, Any]]) -> str:
    """Return the entries as text, one line each."""
    head = ("tenant", "year", "state", "archived", "erased", "reset", "kept", "unchanged", "exports", "drops", "s")
    rows = [
        (
            entry["tenant"],
            entry["school_year"],
            entry["state"],
            *(f"{sum(entry[name].values()):,}" for name in ACTIONS),
            "yes" if entry["kept_unchanged"] else "NO",
            str(len(entry["exports"])),
            ", ".join(drop["state"] for drop in entry["drops"]) or "-",
            f"{entry['seconds']:.0f}" if entry["seconds"] is not None else "-",
        )
        for entry in entries
    ]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]
    )

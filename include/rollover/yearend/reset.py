"""Start the new year: points to zero, notifications off, schedules hidden. Current year only."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, literal, select, update
from sqlalchemy import func as f

from rollover.config import Action
from rollover.database.held import not_held
from rollover.database.tables import hero, tables_of
from rollover.database.tables.directory import tenants
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import Reset
from rollover.run import Run
from rollover.yearend.kept import kept_unchanged

log = logging.getLogger(__name__)

STAMPS = ("as_of", "switched_at")
"""Columns that say when a row that is reset was changed last."""


def reset(connection: Connection, plan: FrozenPlan) -> Reset:
    """Reset every data class that the product file resets, and move the tenant to its next school year.

    Rows that are already as they should be count too: they were checked.
    """
    counts: dict[str, int] = {}
    run, reset_at = plan.run, plan.rollover.reset_at
    with kept_unchanged(connection, run) as kept:
        if run.product.product == "hero":
            _enter_resets(connection, run, reset_at)
        for name in run.product.classes(Action.RESET):
            values = run.product.data_classes[name].set or {}
            for table in tables_of(run.product.product, name):
                counts[name] = counts.get(name, 0) + _reset_table(connection, table, values, reset_at)
    connection.execute(update(tenants).values(current_school_year=run.school_year.next.key))
    log.info("reset: %s; the current school year is now %s", counts, run.school_year.next)
    return Reset(rows=counts, kept_unchanged=True, kept=kept, current_school_year=run.school_year.next.key)


def _reset_table(connection: Connection, table: Table, values: dict[str, Any], reset_at: datetime) -> int:
    stamp = {name: reset_at for name in STAMPS if name in table.c}
    return connection.execute(update(table).where(not_held(table)).values(**values, **stamp)).rowcount


def _enter_resets(connection: Connection, run: Run, reset_at: datetime) -> None:
    """An entry of the new year, as of the reset date, for each student who had points left.

    A balance is the sum since the last reset entry, so a redemption that arrives late with a date before the
    reset cannot make it negative. Entry ids of resets are negative: the product's own are not.
    """
    balances, entries = hero.point_balances, hero.points_ledger
    rows = select(
        balances.c.tenant_id,
        literal(run.school_year.next.key),
        balances.c.school_id,
        -f.row_number().over(order_by=balances.c.student_id),
        balances.c.student_id,
        literal("reset"),
        literal(0),
        literal(reset_at),
    ).where(balances.c.balance != 0, not_held(balances))
    columns = [
        "tenant_id",
        "school_year",
        "school_id",
        "entry_id",
        "student_id",
        "kind",
        "points",
        "entered_at",
    ]
    connection.execute(insert(entries).from_select(columns, rows))

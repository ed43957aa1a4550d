"""Proves that a change leaves every kept and every held row of the tenant as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from rollover.config import Action
from rollover.database.checksums import RowsChecksum, checksums_by_school
from rollover.database.tables import product_tables, tables_of
from rollover.errors import ProofFailed
from rollover.ledger.results import BeforeAndAfter, Rows
from rollover.run import Run
from rollover.yearend.plan import held_lines


@contextmanager
def kept_unchanged(connection: Connection, run: Run) -> Iterator[dict[str, BeforeAndAfter]]:
    """Prove that a block leaves every kept and every held row of the tenant as it was; else everything rolls back.

    After the block, what was yielded holds the proof: each kept table's rows before and after.
    """
    proof: dict[str, BeforeAndAfter] = {}
    before = _kept(connection, run)
    yield proof
    after = _kept(connection, run)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    if changed:
        raise ProofFailed(
            f"{', '.join(changed)} of {run.tenant} would have changed, but is kept or held.", "report this."
        )
    proof |= {name: BeforeAndAfter(before=_whole(before[name]), after=_whole(after[name])) for name in sorted(before)}


def _whole(by_school: dict[str, RowsChecksum]) -> Rows:
    """Sum the rows and checksums of a table over its schools."""
    found = by_school.values()
    return Rows(rows=sum(each.rows for each in found), checksum=str(sum(int(each.checksum) for each in found)))


def _kept(connection: Connection, run: Run) -> dict[str, dict[str, RowsChecksum]]:
    classes = run.product.classes(Action.KEEP)
    tables = [table for name in classes for table in tables_of(run.product.product, name)]
    kept = {t.fullname: dict(checksums_by_school(connection, t, run.school_year.key)) for t in tables}
    for line in held_lines(connection, run, product_tables(run.product.product)):
        kept.setdefault(line.table_name, {})[line.school_id] = line.rows_checksum
    return kept

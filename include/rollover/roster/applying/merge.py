"""Makes the live roster like the set: only rows that differ are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Table, exists, select, text
from upath import UPath

from rollover.database.tables import ledger
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.errors import ProofFailed, Refused
from rollover.roster.applying import history
from rollover.roster.applying.bulk import NewRows, add, all_rows, chosen_keys, chosen_rows, planner, send
from rollover.roster.applying.provision import provision
from rollover.roster.applying.rename import rename_people
from rollover.roster.columnar import columnar, local_copy
from rollover.roster.comparing.compare import LIVE_SCHOOL_YEAR
from rollover.roster.comparing.diff import Counts, write_differences, written_counts
from rollover.roster.imports import Decision, Import, ImportDetails, ImportState
from rollover.roster.imports.details import Applied, Changes
from rollover.roster.imports.files import diff_file, staged_file
from rollover.roster.imports.roster_version import bump_version
from rollover.roster.staged import ROW_HASH, key_columns, value_columns
from rollover.roster.validating.validate import validate_again
from rollover.tenant import Tenant

# Of those who were students until now; whoever left in an earlier year has no grade of last year.
GRADE_NOW = "CASE WHEN status = 'active' AND role = 'student' THEN grade END"
REMEMBER_GRADES = f"""
    UPDATE roster.people SET last_year_grade = {GRADE_NOW} WHERE last_year_grade IS DISTINCT FROM {GRADE_NOW}
"""
KEEP_GRADES = f"""
    INSERT INTO roster.history (tenant_id, import_id, table_name, before)
    SELECT tenant_id, :import_id, 'roster.people',
           jsonb_build_object('sourced_id', jsonb_agg(sourced_id), 'last_year_grade', last_year_grade)
    FROM roster.people
    WHERE last_year_grade IS DISTINCT FROM {GRADE_NOW}
    GROUP BY tenant_id, last_year_grade
"""
# Rows are found by the primary key and changed in their place (see history.FOUND).
BUT_BY_KEY = ("nestloop", "mergejoin", "seqscan", "bitmapscan")
ADDITIONS = ("added", "returned")
REST = ("changed", "removed")


def merge(connection: Connection, tenant_id: str, found: Import, storage: UPath) -> ImportDetails:
    """Merge a set by its decision, and provision accounts for it; returns ``changes`` and ``applied``.

    The caller holds the tenant's lock. Raises ProofFailed if the number of changed rows is not the expected one.
    """
    product = Tenant.parse(tenant_id).product
    renamed: dict[str, int] = {}
    if found.decision is Decision.APPROVE_WITH_ID_MAP:
        _begin(connection)
        renamed = _rename(connection, product, found, storage)
        differences = write_differences(connection, found.import_id, storage)
    else:
        written = written_counts(connection, found.import_id, storage)
        differences = written or write_differences(connection, found.import_id, storage)
    changes = differences
    left_out: Changes = {}
    if found.decision is Decision.ADDITIONS_ONLY:
        changes = {name: {**each, **dict.fromkeys(REST, 0)} for name, each in differences.items()}
        left_out = {name: {change: each[change] for change in REST} for name, each in differences.items()}
    applied = Applied(left_out=left_out, renamed=renamed, provisioned={})
    details = ImportDetails(changes=changes, applied=applied)
    if not details.has_changed_the_roster:
        return details
    if found.decision is not Decision.APPROVE_WITH_ID_MAP:
        _begin(connection)
    if _begins_a_year(connection, found):
        connection.execute(text(KEEP_GRADES), {"import_id": found.import_id})
        connection.execute(text(REMEMBER_GRADES))
    with columnar() as duck, planner(connection, *BUT_BY_KEY), ExitStack() as files:
        tables = [
            files.enter_context(_opened(connection, duck, table, changes[table.name], found.import_id, storage))
            for table in ROSTER_TABLES
        ]
        _add(connection, tables, found.import_id)
        for each in tables:
            each.change()
    provisioned = provision(connection, product, found.import_id)
    return ImportDetails(changes=changes, applied=applied.model_copy(update={"provisioned": provisioned}))


def _rename(connection: Connection, product: str, found: Import, storage: UPath) -> dict[str, int]:
    """Give re-keyed people their new ids; returns the rows that were changed, by table."""
    renamed = rename_people(connection, product, found.import_id)
    # What the set does not say of these people is live under their new ids only now.
    if validate_again(connection, found, storage, renamed=True).state != found.state:
        raise Refused(
            f"The set of {found.import_id} does not hold together with the new ids.",
            "ask for a new drop, and decide about that one without the id map.",
        )
    return renamed


def _begin(connection: Connection) -> None:
    """Increment the roster version and remove the old history: the import before this one cannot be undone any more."""
    history.forget(connection)
    bump_version(connection)


def _begins_a_year(connection: Connection, found: Import) -> bool:
    rows = ledger.imports.c
    query = select(exists().where(rows.state == ImportState.APPLIED, rows.school_year == found.school_year))
    live = connection.scalar(text(LIVE_SCHOOL_YEAR))
    return live not in (None, found.school_year) and not connection.scalar(query)


@contextmanager
def _opened(
    connection: Connection,
    duck: duckdb.DuckDBPyConnection,
    table: Table,
    counts: Counts,
    import_id: str,
    storage: UPath,
) -> Iterator[_TableMerge]:
    with (
        local_copy(staged_file(storage, import_id, table.name)) as staged,
        local_copy(diff_file(storage, import_id, table.name)) as difference,
    ):
        yield _TableMerge(connection, duck, table, counts, import_id, staged, difference)


def _add(connection: Connection, tables: list[_TableMerge], import_id: str) -> None:
    adding = [each for each in tables if each.counts["added"]]
    rows = add(connection, (each.new_rows() for each in adding), {"status": "active", "import_id": import_id})
    for each in adding:
        each.prove("added", rows.get(each.table.name, 0), each.counts["added"])


@dataclass(frozen=True)
class _TableMerge:
    """One roster table, its staged rows and their differences. `counts` is how many of these are merged."""

    connection: Connection
    duck: duckdb.DuckDBPyConnection
    table: Table
    counts: Counts
    import_id: str
    staged: Path
    difference: Path

    def new_rows(self) -> NewRows:
        all_are_new = pq.read_metadata(self.staged).num_rows == self.counts["added"]
        rows = all_rows(self.duck, self.table, self.staged) if all_are_new else self._chosen(["added"])
        return NewRows(self.table, self._columns, rows)

    def change(self) -> None:
        """Change the rows that are live."""
        counts = self.counts
        changing = [change for change in ("returned", "changed") if counts[change]]
        if changing:
            self.prove("changed", self._change(changing), sum(counts[change] for change in changing))
        if counts["removed"]:
            self.prove("removed", self._remove(), counts["removed"])

    def _change(self, changes: list[str]) -> int:
        values = [name for name in self._columns if name not in key_columns(self.table)]

        def update(incoming: Table) -> int:
            return history.change_rows(self.connection, self.import_id, self.table, incoming, values)

        return send(self.connection, self.table, self._columns, self._chosen(changes), update)

    def _remove(self) -> int:
        def mark(incoming: Table) -> int:
            return history.remove_rows(self.connection, self.import_id, self.table, incoming)

        keys = chosen_keys(self.duck, self.table, self.difference, ["removed"])
        return send(self.connection, self.table, key_columns(self.table), keys, mark)

    @property
    def _columns(self) -> list[str]:
        return [*value_columns(self.table), ROW_HASH]

    def _chosen(self, changes: list[str]) -> Iterator[pa.RecordBatch]:
        return chosen_rows(self.duck, self.table, self.staged, self.difference, changes)

    def prove(self, change: str, done: int, expected: int) -> None:
        if done != expected:
            raise ProofFailed(
                f"{self.import_id}: {done} rows of {self.table.fullname} were {change}, not {expected}.",
                "report this; nothing was changed.",
            )

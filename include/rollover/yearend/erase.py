"""Erase exactly the rows of the frozen plan, and prove in the same transaction that nothing else changed.

Law 2: what was archived goes only if the rows that go are the archived ones. Law 8: what is kept has the same
checksum before and after. While rows are deleted, the plan is drawn up again over the very rows that the deleting
transaction sees; it commits only if that plan has the hash of the frozen one. A plan that is too large for one
transaction is erased in parts. Each part is proved in the same way and recorded as evidence; the last one proves that
the parts together are the plan.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import Connection, Table, func, select

from rollover.archive.keys import Keys, unreadable
from rollover.database.checksums import where_clause
from rollover.database.session import snapshot_of, tenant_session
from rollover.database.tables import metadata
from rollover.database.tables.base import is_activity
from rollover.database.tables.ledger import evidence as evidence_table
from rollover.errors import ProofFailed, Refused
from rollover.ledger import evidence, receipts, rollovers
from rollover.ledger.plans import FrozenPlan, Line, PlanAction, in_force
from rollover.ledger.receipts import ArchiveReceipt
from rollover.ledger.results import BeforeAndAfter, Erased, ErasedPart, Step
from rollover.ledger.steps import PLAN_AGAIN, finish, require
from rollover.run import Run
from rollover.yearend.kept import kept_unchanged
from rollover.yearend.plan import needs_approval, still_holds

log = logging.getLogger(__name__)

PART_ROWS = 10_000_000
"""How many rows go in one transaction at most, unless one school's rows of one table are more."""
EMPTIED_FROM = 1_000_000
"""A partition of at least so many rows is emptied at once if it has no others; fewer rows are deleted."""
COMPARING_WAITS = "60s"
"""How long the comparison with the plan waits for a lock that somebody else has on a table."""


def erase_all_but_the_last_part(run: Run) -> None:
    """Erase all but the last part of a plan, each in a transaction of its own; :func:`erase` takes the last.

    Does nothing if the plan is one part, as most are, or is done. Safe to run again after a crash. Raises as
    :func:`erase` does; the parts before stay erased, as the plan says.
    """
    with tenant_session(run.engine, run.tenant.id, exclusive=True) as connection:
        if plan := _due(connection, run):
            _empty_partitions(connection, plan)
    more = True
    while more:
        with tenant_session(run.engine, run.tenant.id, isolation="REPEATABLE READ", exclusive=True) as connection:
            plan = _due(connection, run)
            more = plan is not None and _erase_a_part(connection, plan)


def erase(connection: Connection, plan: FrozenPlan) -> Erased:
    """Delete the archived rows and the rows to be erased that are still there.

    Needs a REPEATABLE READ transaction: proof and deletion see the same rows. Raises ProofFailed, with nothing
    changed, if rows were added, changed or removed since the plan, a subscription or a hold now says otherwise, a
    report has no receipt, or an archived or exported file is no longer as it was written.
    """
    gone = _parts_of(connection, plan.run, plan.number)
    left = _left(plan, gone)
    deleted, kept = _delete_proved(connection, plan, left, left)
    result = _erased(plan.going, kept)
    for part in gone:
        for name, rows in part.deleted.items():
            deleted[name] = deleted.get(name, 0) + rows
    if deleted != result.deleted:
        raise ProofFailed(f"The parts of {plan.run.id} are together not its plan.", "report this.")
    return result


def end_partly_erased(connection: Connection, run: Run) -> None:
    """End the erasure of a plan that was erased in part: the next plan takes the rest."""
    parts = _parts_of(connection, run, rollovers.plan_number(connection, run))
    if parts and not rollovers.is_done(connection, run, Step.ERASE):
        plan = in_force(connection, run)
        left = _left(plan, parts)
        went = _erased((line for line in plan.going if line not in left), parts[-1].kept)
        stayed = [(line.school_id, line.table_name) for line in left]
        finish(connection, run, went.model_copy(update={"stayed": stayed}), 0)


def has_begun(connection: Connection, run: Run, plan_no: int) -> bool:
    """Whether parts of a plan are gone."""
    return bool(_parts_of(connection, run, plan_no))


def _parts_of(connection: Connection, run: Run, plan_no: int) -> list[ErasedPart]:
    """The evidence of the parts of a plan that are gone, in order."""
    facts = evidence_table.c.facts
    query = select(facts).where(
        evidence_table.c.rollover_id == run.id,
        evidence_table.c.kind == evidence.ERASE_PART,
        facts["plan_no"].as_integer() == plan_no,
    )
    return [ErasedPart.model_validate(part) for part in connection.scalars(query.order_by(facts["part"].as_integer()))]


def _due(connection: Connection, run: Run) -> FrozenPlan | None:
    """The plan in force, if its erase is not done."""
    if rollovers.is_done(connection, run, Step.ERASE):
        return None
    require(connection, run, Step.ERASE)
    return in_force(connection, run)


def _left(plan: FrozenPlan, gone: Iterable[ErasedPart]) -> list[Line]:
    """The lines that are still to be erased, beside the parts that are gone."""
    done = {line for part in gone for line in part.lines}
    return [line for line in plan.going if (line.school_id, line.table_name) not in done]


def _delete_proved(
    connection: Connection, plan: FrozenPlan, left: list[Line], some: list[Line]
) -> tuple[dict[str, int], dict[str, BeforeAndAfter]]:
    """Delete the rows of some of the lines that are left, and prove that they are the planned ones and nothing else
    changes. Returns how many went, by table, and the kept tables before and after."""
    _check_kept_elsewhere(connection, plan, left)
    with kept_unchanged(connection, plan.run) as kept, _compared(connection, plan, left):
        deleted = _delete(connection, plan.run, some)
    return deleted, kept


def _check_kept_elsewhere(connection: Connection, plan: FrozenPlan, left: list[Line]) -> None:
    """Raise unless the plan is approved, and what is kept elsewhere of the rows that go is there and whole."""
    run = plan.run
    if plan.approved_by is None and needs_approval(plan):
        raise Refused(f"The plan of {run.id} is not approved.", PLAN_AGAIN)
    archives = receipts.of_archives(connection, plan)
    wrong = receipts.missing(connection, plan) + receipts.damaged(receipts.of_files(connection, plan))
    wrong += unreadable(archives, Keys(run.archive_keys))
    if wrong:
        raise ProofFailed(f"{run.id} cannot erase what is kept nowhere else: {'; '.join(wrong)}.", PLAN_AGAIN)
    archived = {(receipt.school_id, receipt.table_name): receipt for receipt in archives}
    for line in left:
        if line.action == PlanAction.ARCHIVE:
            _check_archived(line, archived.get((line.school_id, line.table_name)))


def _compare(connection: Connection, plan: FrozenPlan, left: list[Line]) -> None:
    """Draw the plan up again. Raises ProofFailed if it is not the one in force."""
    if not still_holds(connection, plan, left):
        raise ProofFailed(
            f"The data, a subscription or a hold of {plan.run.id} changed since its plan {plan.number} was frozen.",
            PLAN_AGAIN,
        )


@contextmanager
def _compared(connection: Connection, plan: FrozenPlan, left: list[Line]) -> Iterator[None]:
    """Compare the rows that this transaction sees with the plan while a block deletes them: in another session with
    the same snapshot. Raises ProofFailed if they differ, even if the block failed, too."""
    run, snapshot = plan.run, snapshot_of(connection)

    def compare() -> None:
        with tenant_session(run.engine, run.tenant.id, isolation="REPEATABLE READ", snapshot=snapshot) as same:
            # Another session may wait for the block and keep this one waiting: PostgreSQL sees no deadlock there.
            waits = func.set_config("lock_timeout", COMPARING_WAITS, True)
            # To hash a row takes about as long as to delete it: one core is enough, and another is left to the block.
            same.execute(select(waits, func.set_config("max_parallel_workers_per_gather", "0", True)))
            _compare(same, plan, left)

    with ThreadPoolExecutor(1) as aside:
        comparing = aside.submit(compare)
        try:
            yield
        except Exception:
            if isinstance(wrong := comparing.exception(), ProofFailed):
                raise wrong from None
            raise
        comparing.result()


def _erase_a_part(connection: Connection, plan: FrozenPlan) -> bool:
    """Erase the first part of what is left; returns whether there was more than one."""
    gone = _parts_of(connection, plan.run, plan.number)
    left = _left(plan, gone)
    part = _first_part(left)
    if len(part) == len(left):
        return False
    _, kept = _delete_proved(connection, plan, left, part)
    _record_part(connection, plan, part, kept, number=len(gone) + 1)
    return True


def _first_part(lines: list[Line]) -> list[Line]:
    rows, part = 0, list[Line]()
    for line in sorted(lines, key=lambda line: (line.table_name, line.school_id)):
        rows += line.rows
        if part and rows > PART_ROWS:
            break
        part.append(line)
    return part


def _empty_partitions(connection: Connection, plan: FrozenPlan) -> None:
    """Empty the year's partitions of large tables in which all rows are the plan's.

    Such a partition is locked first, and its rows compared with the plan while nobody else can change them. Needs a
    READ COMMITTED transaction: what others committed before the lock counts. If the lock is not granted within a
    few seconds, the rows are deleted instead.
    """
    run, gone = plan.run, _parts_of(connection, plan.run, plan.number)
    left = _left(plan, gone)
    large = {name for name in _tables(left) if sum(_rows_of(left, name)) >= EMPTIED_FROM}
    held = {line.table_name for line in plan.lines_of(PlanAction.HOLD)}
    alone = sorted(name for name in large - held if is_activity(metadata.tables[name]))
    locked = [name for name in alone if _locked_alone(connection, run, name)]
    if not locked:
        return
    _check_kept_elsewhere(connection, plan, left)
    _compare(connection, plan, left)
    part = [line for line in left if line.table_name in locked]
    with kept_unchanged(connection, run) as kept:
        for name in locked:
            connection.execute(select(func.ledger.empty_partition(name, run.school_year.key)))
            log.info("%s: the partition of %s is emptied", name, run.school_year)
    _record_part(connection, plan, part, kept, number=len(gone) + 1)


def _locked_alone(connection: Connection, run: Run, table: str) -> bool:
    is_alone = select(func.ledger.lock_partition(table, run.school_year.key))
    return bool(connection.scalar(is_alone))


def _delete(connection: Connection, run: Run, lines: list[Line]) -> dict[str, int]:
    """Delete the rows of some lines of the plan, which are known to be the planned ones; returns how many, by table."""
    gone = {}
    for name in _tables(lines):
        schools = [line.school_id for line in lines if line.table_name == name]
        planned = sum(_rows_of(lines, name))
        deleted = _delete_rows(connection, metadata.tables[name], school_year=run.school_year.key, schools=schools)
        if deleted != planned:
            raise ProofFailed(
                f"{name} of {run.id}: {planned} rows were planned, {deleted} would have gone.", PLAN_AGAIN
            )
        log.info("%s: %s rows of %s schools deleted", name, deleted, len(schools))
        gone[name] = deleted
    return gone


def _delete_rows(connection: Connection, table: Table, *, school_year: str, schools: Collection[str]) -> int:
    """Delete the rows of some schools that are not held; returns how many there were."""
    where, bound = where_clause(table, school_year=school_year, held=False)
    sql = f"DELETE FROM {table.fullname} t WHERE {where} AND t.school_id = ANY(%(schools)s)"  # noqa: S608
    return connection.exec_driver_sql(sql, {**bound, "schools": list(schools)}).rowcount


def _record_part(
    connection: Connection, plan: FrozenPlan, part: list[Line], kept: dict[str, BeforeAndAfter], *, number: int
) -> None:
    lines = [(line.school_id, line.table_name) for line in part]
    rows = _erased(part, kept).model_dump(exclude={"stayed"})
    gone = ErasedPart(plan_no=plan.number, part=number, lines=lines, **rows)
    evidence.record(connection, plan.run.tenant.id, evidence.ERASE_PART, gone.model_dump(mode="json"), plan.run.id)


def _erased(lines: Iterable[Line], kept: dict[str, BeforeAndAfter]) -> Erased:
    """What went with some lines of a plan."""
    archived, erased, deleted = Counter[str](), Counter[str](), Counter[str]()
    for line in lines:
        (archived if line.action == PlanAction.ARCHIVE else erased)[line.data_class] += line.rows
        deleted[line.table_name] += line.rows
    return Erased(archived=archived, erased=erased, deleted=deleted, kept_unchanged=True, kept=kept)


def _tables(lines: list[Line]) -> list[str]:
    return sorted({line.table_name for line in lines})


def _rows_of(lines: list[Line], table: str) -> list[int]:
    return [line.rows for line in lines if line.table_name == table]


def _check_archived(line: Line, receipt: ArchiveReceipt | None) -> None:
    if receipt is None or receipt.rows_checksum != line.rows_checksum:
        raise ProofFailed(f"{line.table_name} of school {line.school_id} is not archived as planned.", PLAN_AGAIN)

"""Failures of tasks about one tenant, as the ledger has them: the step, the kind of error, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from rollover.database.tables.ledger import failures
from rollover.errors import ConfigError, Refused, RolloverError


@dataclass(frozen=True)
class Failed:
    """Where a task failed: in the step of a rollover, or of a roster import. One of the two ids is given.

    Without `failed_at` it is the time of the database, by which the steps are dated, too.
    """

    step: str
    run_id: str
    failed_at: datetime | None = None
    rollover_id: str | None = None
    import_id: str | None = None


def record(connection: Connection, tenant_id: str, where: Failed, error: BaseException | None) -> None:
    """Record a failure. The text of an error of our own is kept; another's may quote a value, so only its kind is.

    Without an error the task's process was killed, or nobody knows.
    """
    is_refusal = isinstance(error, (Refused, ConfigError))
    reason = error.reason if isinstance(error, Refused) else str(error) if isinstance(error, RolloverError) else None
    connection.execute(
        insert(failures).values(
            tenant_id=tenant_id,
            rollover_id=where.rollover_id,
            import_id=where.import_id,
            step=where.step,
            run_id=where.run_id,
            error_class="Killed" if error is None else type(error).__name__,
            is_refusal=is_refusal,
            reason=reason,
            remedy=error.remedy if isinstance(error, Refused) else None,
            waits_for=error.waits_for if isinstance(error, RolloverError) else RolloverError.waits_for,
            failed_at=where.failed_at or func.clock_timestamp(),
        )
    )


def is_recorded(connection: Connection, run_id: str, since: datetime | None) -> bool:
    """Whether the session's tenant has a failure in a DAG run, since that run was last started."""
    query = select(failures.c.failure_id).where(failures.c.run_id == run_id)
    if since is not None:
        query = query.where(failures.c.failed_at >= since)
    return connection.scalar(query.limit(1)) is not None

"""Notices to people, as the ledger has them: which was due to which role, when it was sent, and what could not be sent.

A row is written before its notice is sent, and completed after: whatever is killed when, no notice is forgotten, and
one that is recorded as sent is never sent again. No name and no address is kept, only the role.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime

from sqlalchemy import Connection, any_, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, insert

from rollover.database.tables.ledger import notices


@dataclass(frozen=True, order=True)
class Key:
    """What is sent once: a kind of notice about one thing, to one role of a tenant, through one channel.

    `about` is a reset date, an import, a plan or a failure.
    """

    tenant_id: str
    kind: str
    about: str
    role: str
    channel: str


@dataclass(frozen=True)
class Recorded:
    """A notice in the ledger. `recipients` is the number of addresses it went to; see :attr:`state`."""

    tenant_id: str
    school_year: str
    kind: str
    about: str
    role: str
    channel: str
    decided_at: datetime
    reset_date: date | None
    subject: str | None
    text_sha256: str | None
    recipients: int | None
    sent_at: datetime | None
    attempts: int
    error_class: str | None
    failed_at: datetime | None
    withdrawn_at: datetime | None

    @property
    def state(self) -> str:
        """``sent``; ``withdrawn``: no longer true before it could be sent; ``failed``: tried again; ``pending``."""
        if self.sent_at is not None:
            return "sent"
        if self.withdrawn_at is not None:
            return "withdrawn"
        return "failed" if self.failed_at is not None else "pending"


KEY = tuple(notices.c[field.name] for field in fields(Key))


def known(connection: Connection, abouts: Iterable[str]) -> dict[Key, bool]:
    """The notices about some things, and those that are still to be sent; the value says whether one was sent."""
    is_wanted = notices.c.about == any_(literal(sorted(set(abouts)), ARRAY(TEXT)))
    is_open = notices.c.sent_at.is_(None) & notices.c.withdrawn_at.is_(None)
    query = select(*KEY, notices.c.sent_at.isnot(None).label("is_sent")).where(or_(is_wanted, is_open))
    return {Key(*row[:-1]): row.is_sent for row in connection.execute(query)}


def listed(connection: Connection, tenant_ids: Iterable[str]) -> list[Recorded]:
    """The notices of some tenants, by tenant, newest first."""
    wanted = notices.c.tenant_id == any_(literal(sorted(tenant_ids), ARRAY(TEXT)))
    query = select(*(notices.c[field.name] for field in fields(Recorded))).where(wanted)
    query = query.order_by(notices.c.tenant_id, notices.c.notice_id.desc())
    return [Recorded(**row) for row in connection.execute(query).mappings()]


def earlier_reset_date(connection: Connection, key: Key, school_year: str) -> date | None:
    """The last other reset date of a school year that this role was notified of; None if there is none."""
    columns = notices.c
    query = select(columns.reset_date).where(
        columns.role == key.role,
        columns.channel == key.channel,
        columns.school_year == school_year,
        columns.reset_date.isnot(None),
        columns.sent_at.isnot(None),
        columns.about != key.about,
    )
    found: date | None = connection.scalar(query.order_by(columns.sent_at.desc()).limit(1))
    return found


def begin(connection: Connection, key: Key, school_year: str, reset_date: date | None, now: datetime) -> int | None:
    """Record that a notice is about to be sent; returns its number, or None if it was sent already.

    `reset_date` is the date that follows from silence. Each call counts as an attempt.
    """
    values = {field.name: getattr(key, field.name) for field in fields(Key)}
    values |= {"school_year": school_year, "reset_date": reset_date, "decided_at": now, "attempts": 1}
    again = {"attempts": notices.c.attempts + 1, "reset_date": reset_date, "withdrawn_at": None}
    query = insert(notices).values(**values)
    query = query.on_conflict_do_update(index_elements=KEY, set_=again, where=notices.c.sent_at.is_(None))
    number: int | None = connection.scalar(query.returning(notices.c.notice_id))
    return number


def record_sent(
    connection: Connection, notice_id: int, *, subject: str, text_sha256: str, recipients: int, now: datetime
) -> None:
    """Record that a notice was sent, to how many addresses, and what it said."""
    said = {"subject": subject, "text_sha256": text_sha256, "recipients": recipients, "sent_at": now}
    connection.execute(update(notices).where(notices.c.notice_id == notice_id).values(**said))


def record_failed(connection: Connection, notice_id: int, error_class: str, now: datetime) -> None:
    """Record that a notice could not be sent. Of the error only its kind: its text may quote an address."""
    failed = {"error_class": error_class, "failed_at": now}
    connection.execute(update(notices).where(notices.c.notice_id == notice_id).values(**failed))


def withdraw(connection: Connection, key: Key, now: datetime) -> None:
    """Record that a notice that could not be sent is no longer true. One that was sent stays as it is."""
    is_it = [notices.c[field.name] == getattr(key, field.name) for field in fields(Key)]
    connection.execute(update(notices).where(*is_it, notices.c.sent_at.is_(None)).values(withdrawn_at=now))


def lock(connection: Connection) -> bool:
    """Take the lock of whoever sends notices, until the end of the transaction; False if another has it."""
    return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended("ledger.notices", 0)))))

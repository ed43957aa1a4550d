"""Sends what is due, each notice once, and records what was sent and what could not be.

A notice is written to the ledger before it is sent, and completed after. Killed before the sending, it is sent by the
next run. Killed between the sending and the record, it is sent a second time, which SMTP cannot exclude: both copies
have the same Message-ID.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine

from rollover.config import Catalog
from rollover.database.session import tenant_session, without_values
from rollover.ledger import notices
from rollover.notify.addresses import MAIL, Addresses
from rollover.notify.channel import Channel, ChannelDown
from rollover.notify.due import NEWS, Notice, candidates, outdated
from rollover.notify.kinds import Role
from rollover.notify.message import Details, Message, write
from rollover.season.read import read_recent, season_session

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Post:
    """What sending needs: the ledger, the district files, the channels, and who is reached by them.

    `site` is the address of Airflow's pages, for links.
    """

    engine: Engine
    catalog: Catalog
    addresses: Addresses
    channels: Mapping[str, Channel]
    site: str | None = None


def send_due(post: Post, now: datetime) -> dict[str, int]:
    """Send every notice that is due as of `now`. Returns the number of those sent, failed and withdrawn.

    A notice that cannot be sent stops no other; one of a channel that is down is recorded as failed without trying.
    Does nothing if another process is sending.
    """
    done: Counter[str] = Counter()
    with _alone(post.engine) as is_alone:
        if not is_alone:
            log.warning("another run sends notices: nothing is done here")
            return dict(done)
        states = read_recent(post.engine, post.catalog, now, now - NEWS).states
        wanted = candidates(states, post.catalog, post.addresses, now)
        with season_session(post.engine) as connection:
            known = notices.known(connection, {each.event.about for each in wanted})
        down: dict[str, str] = {}
        for notice in wanted:
            if not known.get(notice.key, False):
                done[_send(post, notice, down, now)] += 1
        for key in outdated(wanted, known):
            with tenant_session(post.engine, key.tenant_id) as connection:
                notices.withdraw(connection, key, now)
            done["withdrawn"] += 1
    return dict(done)


@contextmanager
def _alone(engine: Engine) -> Iterator[bool]:
    """Whether nobody else sends notices until the end of the block. The lock ends with its transaction, in which
    nothing else is done."""
    with without_values(), engine.begin() as connection:
        yield notices.lock(connection)


def _send(post: Post, notice: Notice, down: dict[str, str], now: datetime) -> str:
    """Send one notice; returns ``sent``, ``failed`` or ``already``. `down` has the channels that do not work, and
    the kind of the error of each."""
    key, year, reset_date = notice.key, notice.state.school_year, notice.event.reset_date
    with tenant_session(post.engine, key.tenant_id) as connection:
        number = notices.begin(connection, key, year, reset_date, now)
        moved_from = notices.earlier_reset_date(connection, key, year) if reset_date else None
    if number is None:
        return "already"
    error_class = down.get(key.channel)
    if error_class is None:
        try:
            message = write(notice, _details(post, notice, moved_from, now))
            recipients = post.channels[key.channel].send(message, now)
        except ChannelDown as error:
            error_class = down[key.channel] = str(error)
        except Exception as error:
            error_class = type(error).__name__
    if error_class is not None:
        return _record_failed(post, notice, number, error_class, now)
    _record_sent(post, number, message, recipients, now)
    return "sent"


def _details(post: Post, notice: Notice, moved_from: date | None, now: datetime) -> Details:
    district = post.catalog.districts[notice.state.tenant.district]
    is_mail = notice.channel == MAIL
    return Details(
        district=district,
        product=post.catalog.products[notice.state.tenant.product],
        to=post.addresses.of(district, notice.role) if is_mail else (),
        reply_to=() if notice.role.is_ours or not is_mail else post.addresses.of(district, Role.CUSTOMER_SUCCESS),
        site=post.site,
        moved_from=moved_from,
        now=now,
    )


def _record_failed(post: Post, notice: Notice, number: int, error_class: str, now: datetime) -> str:
    key = notice.key
    with tenant_session(post.engine, key.tenant_id) as connection:
        notices.record_failed(connection, number, error_class, now)
    log.warning("%s of %s to its %s could not be sent: %s", key.kind, key.tenant_id, key.role, error_class)
    return "failed"


def _record_sent(post: Post, number: int, message: Message, recipients: int, now: datetime) -> None:
    with tenant_session(post.engine, message.notice.state.tenant.id) as connection:
        notices.record_sent(
            connection,
            number,
            subject=message.subject,
            text_sha256=message.text_sha256,
            recipients=recipients,
            now=now,
        )

"""Riverside with contacts, a mail server that keeps what it gets, and what sending needs."""

from __future__ import annotations

import email
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from upath import UPath

from rollover.config import Catalog
from rollover.database.tables import ledger
from rollover.notify.addresses import MAIL, Addresses
from rollover.notify.mail import Login, MailChannel
from rollover.notify.send import Post, send_due
from rollover.run import Run
from rollover_demo.mail_server import HOST, MailServer
from tests.support.small_district import district, hero_world, run_of

CONTACTS = tuple(
    {"role": role, "name": name, "email": f"{role.replace('_', '-')}@riverside.example"}
    for role, name in (
        ("district_it", "Ada Lovett"),
        ("privacy_officer", "Grace Hopkins"),
        ("customer_success", "Casey Success"),
        ("data_engineer", "Dana Engineer"),
    )
)
NAMES = [each["name"] for each in CONTACTS]
SENDER = "Rollover <rollover@vendor.example>"
SITE = "https://airflow.vendor.example/team"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MailServer]:
    server = MailServer(tmp_path / "mail").start()
    yield server
    server.stop()


@dataclass
class Office:
    """Sends what is due about one tenant, and shows what came of it."""

    run: Run
    owner: Engine
    server: MailServer
    addresses: Addresses
    port: int
    site: str | None = SITE
    channel: Callable[[Callable[[], Login]], Any] = MailChannel
    logins: int = 0

    def log_in(self) -> Login:
        self.logins += 1
        return Login(smtplib.SMTP(HOST, self.port, timeout=5), SENDER)

    @property
    def catalog(self) -> Catalog:
        run = self.run
        return Catalog({run.district.district: run.district}, {run.product.product: run.product}, ())

    def send(self, now: datetime) -> dict[str, int]:
        with self.channel(self.log_in) as mail:
            post = Post(self.run.engine, self.catalog, self.addresses, {MAIL: mail}, self.site)
            return send_due(post, now)

    def mails(self) -> list[EmailMessage]:
        """Every mail that has arrived, in order."""
        paths = sorted(self.server.folder.iterdir())
        return [email.message_from_bytes(path.read_bytes(), policy=default) for path in paths]

    def kinds(self) -> list[tuple[str, str]]:
        """The kind and the role of every mail that has arrived, in order."""
        found = (mail["X-Rollover-Notice"].split("; ") for mail in self.mails())
        return [(kind, role) for kind, _, role in found]

    def rows(self) -> list[Any]:
        with self.owner.connect() as connection:
            return list(connection.execute(select(ledger.notices).order_by(ledger.notices.c.notice_id)))


@pytest.fixture
def office(owner: Engine, engine: Engine, storage: UPath, server: MailServer) -> Office:
    hero_world(owner)
    run = replace(run_of(engine, storage), district=district(contacts=CONTACTS))
    return Office(run, owner, server, Addresses(), server.port)

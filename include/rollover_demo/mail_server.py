"""Runs a mail server that delivers nothing: it takes every mail and writes it to a folder, for the demo and the tests.

It listens on 127.0.0.1 only, in a thread of this process.
"""

from __future__ import annotations

import email
import re
from email.policy import default
from itertools import count
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from rollover_demo.airflow import free_ports

HOST = "127.0.0.1"
NOTICE = "X-Rollover-Notice"
TAKEN = "250 OK"


class MailServer:
    """A mail server whose mails are files: ``0001-certified-hero__springfield-il-district_it.eml``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._numbers = count(1)
        (self.port,) = free_ports(1)
        self._controller = Controller(self, hostname=HOST, port=self.port)

    def start(self) -> MailServer:
        self._controller.start()
        return self

    def stop(self) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Write one mail. aiosmtpd calls it, one mail at a time."""
        content = envelope.original_content or b""
        notice = email.message_from_bytes(content, policy=default)[NOTICE] or "mail"
        name = re.sub(r"\W+", "-", f"{next(self._numbers):04}-{notice}")
        (self.folder / f"{name}.eml").write_bytes(content)
        return TAKEN

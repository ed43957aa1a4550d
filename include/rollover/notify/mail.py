"""Sends notices by SMTP: one mail per notice, to all addressees of its role, in plain text and HTML."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from rollover.notify.addresses import MAIL, Addressee
from rollover.notify.channel import ChannelDown, NoAddress
from rollover.notify.message import Message
from rollover.texts.filters import clean


@dataclass(frozen=True)
class Login:
    """An open session with the mail server, and the sender's address."""

    client: smtplib.SMTP
    sender: str


class MailChannel:
    """Mail. The session is opened for the first notice and kept for the others. Used as a context manager."""

    name = MAIL

    def __init__(self, connect: Callable[[], Login]) -> None:
        self._connect = connect
        self._login: Login | None = None

    def __enter__(self) -> MailChannel:
        return self

    def __exit__(self, *_: object) -> None:
        if self._login is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._login.client.quit()
            self._login = None

    def send(self, message: Message, now: datetime) -> int:
        """Send a notice; returns how many addresses the server took.

        Raises NoAddress if the role has none, ChannelDown if the server cannot be reached, and SMTPException if it
        takes no address, or not the text.
        """
        if not message.to:
            raise NoAddress
        login = self._logged_in()
        mail = as_mail(message, login.sender, now)
        to = [each.email for each in message.to]
        try:
            refused = login.client.send_message(mail, from_addr=parseaddr(login.sender)[1], to_addrs=to)
        except OSError as error:  # those of smtplib, too
            if login.client.sock is None or not isinstance(error, smtplib.SMTPException):
                self._login = None
            if isinstance(error, smtplib.SMTPException) and not isinstance(error, smtplib.SMTPServerDisconnected):
                raise  # it refuses this mail, and may take the next one
            raise ChannelDown(type(error).__name__) from None
        return len(to) - len(refused)

    def _logged_in(self) -> Login:
        if self._login is None:
            try:
                self._login = self._connect()
            except Exception as error:  # of smtplib, ssl, the network, or Airflow's hook
                raise ChannelDown(type(error).__name__) from None
        return self._login


def as_mail(message: Message, sender: str, now: datetime) -> EmailMessage:
    """A notice as a mail. Its Message-ID is the same for every attempt, so that a second copy can be recognized."""
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"], mail["From"] = message.subject, sender
    mail["To"] = [_address(each) for each in message.to]
    if message.reply_to:
        mail["Reply-To"] = [_address(each) for each in message.reply_to]
    mail["Date"], mail["Message-ID"] = format_datetime(now), f"<{message.identity}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Rollover-Notice"] = f"{message.notice.event.kind}; {message.notice.state.tenant}; {message.notice.role}"
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail


def _address(addressee: Addressee) -> Address:
    return Address(display_name=clean(addressee.name) if addressee.name else "", addr_spec=addressee.email)

"""The channels of notices, from Airflow's connections: SMTP for mail, Apprise for Slack and other chats."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from rollover.adapter import connections, runs
from rollover.errors import Refused, RolloverError
from rollover.notify.addresses import CHAT, MAIL, Addresses
from rollover.notify.channel import Channel
from rollover.notify.mail import Login, MailChannel
from rollover.notify.send import Post
from rollover.settings import Settings

if TYPE_CHECKING:
    from apprise import Apprise

    from rollover.notify.message import Message

MAIL_CONNECTIONS = ("rollover_mail", "smtp_default")
"""The first of these connections that exists is the mail server."""
CHAT_CONNECTION = "rollover_apprise"


class NotTaken(RolloverError):
    """A chat did not take a message."""


class NoSender(Refused):
    """The connection of the mail server names no sender."""


@contextmanager
def post() -> Iterator[Post]:
    """What sending needs. Without a connection of a channel nothing is due on it."""
    channels: dict[str, Channel] = {}
    chat_roles: frozenset[str] = frozenset()
    with ExitStack() as stack:
        mail = next((each for each in MAIL_CONNECTIONS if _exists(each)), None)
        if mail is not None:
            channels[MAIL] = stack.enter_context(MailChannel(lambda: log_in(mail)))
        if _exists(CHAT_CONNECTION):
            channels[CHAT] = chat = ChatChannel(CHAT_CONNECTION)
            chat_roles = chat.roles
        team = {str(role): mails for role, mails in Settings().team_mail.items()}
        yield Post(
            engine=connections.engine(),
            catalog=runs.catalog(),
            addresses=Addresses(MAIL in channels, team, chat_roles),
            channels=channels,
            site=conf.get("api", "base_url", fallback=None),
        )


def log_in(connection_id: str) -> Login:
    """A session with the mail server of a connection. Raises NoSender if the connection names none."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    sender = BaseHook.get_connection(connection_id).extra_dejson.get("from_email")
    if not sender:
        raise NoSender(
            f"The connection '{connection_id}' names no sender.", 'add it to its extra: {"from_email": "…@…"}.'
        )

    class OneTry(SmtpHook):
        """A server that says nothing costs its time once: the next run tries again."""

        smtp_retry_limit = 0

    hook = OneTry(smtp_conn_id=connection_id)
    try:
        hook.get_conn()
    except AirflowException as error:
        raise error.__context__ or error from None
    # The hook's own method sends no plain text, and tries again after errors that may come after the delivery.
    return Login(cast(smtplib.SMTP, hook._smtp_client), sender)


class ChatChannel:
    """Slack and others: the services of an Apprise connection, each with the roles that it is for as its tags."""

    name = CHAT

    def __init__(self, connection_id: str) -> None:
        self._services = _services(connection_id)
        self._failed: set[str] = set()

    @property
    def roles(self) -> frozenset[str]:
        """The roles that have a service."""
        return frozenset(tag for service in self._services for tag in service.tags)

    def send(self, message: Message, now: datetime) -> int:
        """Send a notice to the services of its role; returns their number.

        Raises NotTaken if one fails. Those of that role are left alone then: each notice would take as long as they do.
        """
        role = message.notice.role.value
        if role in self._failed or not self._services.notify(body=message.text, title=message.subject, tag=role):
            self._failed.add(role)
            raise NotTaken
        return sum(role in service.tags for service in self._services)


def _services(connection_id: str) -> Apprise:
    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise

    hook, services = AppriseHook(apprise_conn_id=connection_id), Apprise()
    hook.set_config_from_conn(conn=hook.get_connection(connection_id), apprise_obj=services)
    return services


def _exists(connection_id: str) -> bool:
    try:
        connection: Any = BaseHook.get_connection(connection_id)
    except AirflowNotFoundException:
        return False
    return connection is not None

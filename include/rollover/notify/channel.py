"""Defines what a channel is: a way by which notices reach people."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from rollover.errors import RolloverError
from rollover.notify.message import Message


class ChannelDown(RolloverError):
    """A channel cannot be used now; trying the next notice would only take time. The message is the error's kind."""


class NoAddress(RolloverError):
    """The district file names nobody for the role."""


class Channel(Protocol):
    """A way to send notices. `name` is what the ledger calls it."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message, now: datetime) -> int:
        """Send a notice; returns how many addresses it went to. Raises ChannelDown if there is no point in another."""

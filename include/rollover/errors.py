"""Defines the errors of Rollover. Messages name district, file, row, column or rule; never a personal value."""

from __future__ import annotations

from typing import ClassVar


class RolloverError(Exception):
    """Base of everything Rollover raises on purpose."""

    waits_for: ClassVar[str] = "data_engineer"
    """Who has to act: ``data_engineer``, ``district_it`` or ``customer_success``."""


class ConfigError(RolloverError):
    """A district or product file is wrong. The message is ready to print."""


class Refused(RolloverError):
    """A step must stop: something is unknown, stale, contradictory or on hold. Retrying cannot help.

    ``reason`` says what happened and where; ``remedy`` says how to continue.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} To go on: {remedy}")
        self.reason = reason
        self.remedy = remedy


class TenantBusy(Refused):
    """A step, an import or a command works on the tenant, and did not end in time."""


class WorkLeft(RolloverError):
    """Work on several tenants failed for some of them; the others are done. A retry does what is left."""


class ServerDown(RolloverError, ConnectionError):
    """A district's server failed before, so it is not asked again for a while."""


class SubscriptionUnclear(Refused):
    """What a school has subscribed to is unknown, stale or contradictory."""

    waits_for = "customer_success"


class ProofFailed(Refused):
    """What was done is not what should have been done. The transaction was rolled back."""


class StorageFailed(Refused):
    """Storage is full or denies access. Somebody must make room, or grant access."""


class DatabaseFailed(RolloverError):
    """PostgreSQL refused something. The message has kind, table and constraint, since its own text may quote a row."""


class NotRead(RolloverError):
    """A library failed to read a file. The message has only the kind, since the library's text may quote a value."""


class DatabaseUnavailable(DatabaseFailed, ConnectionError):
    """The connection broke, or another transaction was in the way. A retry may succeed."""

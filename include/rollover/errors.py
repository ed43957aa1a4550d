"""The ways a step says no. Messages name district, file, row, column or rule; never a personal value."""

from __future__ import annotations


class RolloverError(Exception):
    """Base of everything Rollover raises on purpose."""


class ConfigError(RolloverError):
    """A district or product file is wrong. The message is ready to print."""


class Refused(RolloverError):
    """A step must not go on: something is unknown, stale, contradictory or held. Retrying cannot help.

    ``reason`` says what and where; ``remedy`` says how to go on.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} To go on: {remedy}")
        self.reason = reason
        self.remedy = remedy


class ProofFailed(Refused):
    """What was done does not equal what was to be done; the transaction was rolled back."""


class StorageFailed(Refused):
    """Storage is full, or does not let us in: somebody must make room, or let us."""


class DatabaseFailed(RolloverError):
    """PostgreSQL refused something. Reported by kind, table and constraint: its own text may quote a row."""


class NotRead(RolloverError):
    """A library failed on what a file holds. Reported by kind: its own text may quote a value."""


class DatabaseUnavailable(DatabaseFailed, ConnectionError):
    """The connection broke, or another transaction was in the way: the same again may succeed."""

"""What state a tenant is in, as values: what `rollover status` shows as a line, a table or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class LastRollover:
    """The rollover that began last."""

    school_year: str
    state: str

    def __str__(self) -> str:
        return f"{self.school_year} {self.state}"


@dataclass(frozen=True)
class OpenPause:
    """Why the nightly sync does not run."""

    since: datetime
    by: str
    reason: str

    def __str__(self) -> str:
        return f"sync paused since {_time(self.since)} by {self.by}: {self.reason}"


@dataclass(frozen=True)
class ImportSummary:
    """A drop: when it reached its state, its school year, the dates of its files as the district's server has them, and
    its numbers of rows, errors and warnings (None before it is read)."""

    import_id: str
    state: str
    changed_at: datetime
    school_year: str | None
    files_from: datetime | None
    files_to: datetime | None
    rows: int | None
    errors: int | None
    warnings: int | None
    reason: str | None

    def __str__(self) -> str:
        text = f"{_time(self.changed_at)}, {self.school_year or 'year unknown'}"
        if self.files_to is not None:
            first = f"{_time(self.files_from)} to " if self.files_from and self.files_from != self.files_to else ""
            text += f", files of {first}{_time(self.files_to)}"
        if self.rows is not None:
            text += f", {self.rows:,} rows, {self.errors:,} errors, {self.warnings:,} warnings"
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(frozen=True)
class ImportInReview:
    """A roster import that waits for a person: since when, and why."""

    import_id: str
    since: datetime
    reason: str | None

    def __str__(self) -> str:
        return (
            f"roster import in review since {_time(self.since)}: {self.import_id}, {self.reason}; answer in Airflow "
            "(Browse, Required Actions) or by `rollover roster decide`"
        )


@dataclass(frozen=True)
class UnreadFiles:
    """The last files that were passed over, since no roster is read from them; their names are not shown."""

    files: int
    found_at: datetime

    def __str__(self) -> str:
        found = f"found {_time(self.found_at)}"
        return f"{self.files} files on SFTP are not read ({found}): see findings.csv in the outbox"


@dataclass(frozen=True)
class TenantStatus:
    """Where a tenant is; None for what it does not have.

    `newest_drop` is None if the newest one is live. `holds` are sentences, without a student. `waiting` is the number
    of drops that wait to be applied.
    """

    current_school_year: str | None
    rollover: LastRollover | None
    pause: OpenPause | None
    holds: list[str]
    last_import: ImportSummary | None
    newest_drop: ImportSummary | None
    in_review: list[ImportInReview]
    unread: UnreadFiles | None
    waiting: int

    def __str__(self) -> str:
        year = self.current_school_year
        first = (
            f"current school year {year}" if year else "not in the directory",
            f"rollover of {self.rollover}" if self.rollover else "no rollover yet",
            str(self.pause or "nightly sync: on"),
            *self.holds,
            f"last import: {self.last_import or 'none'}",
        )
        return "; ".join([*first, *self._about_drops])

    @property
    def waiting_for(self) -> list[str]:
        """What waits for somebody, or stands out, a sentence each."""
        return [*self.holds, *self._about_drops]

    @property
    def _about_drops(self) -> list[str]:
        newest = self.newest_drop
        texts = [f"newest drop: {newest.state.replace('_', ' ')}, {newest}"] if newest else []
        texts += map(str, self.in_review)
        texts += [str(self.unread)] if self.unread else []
        if self.waiting:
            texts.append(f"{self.waiting} {'drop waits' if self.waiting == 1 else 'drops wait'} to be applied")
        return texts


def _time(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

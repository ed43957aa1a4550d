"""The state of a tenant as values, which `rollover status` shows as a line, a table or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rollover.calendar import utc_minute


@dataclass(frozen=True)
class LastRollover:
    """The rollover that began last."""

    school_year: str
    state: str

    def __str__(self) -> str:
        return f"{self.school_year} {self.state}"


@dataclass(frozen=True)
class OpenPause:
    """The current pause of the nightly sync: since when, by which person or rollover, and why."""

    since: datetime
    by: str
    reason: str

    def __str__(self) -> str:
        return f"sync paused since {utc_minute(self.since)} by {self.by}: {self.reason}"


@dataclass(frozen=True)
class ImportSummary:
    """A drop: its state and since when, its school year, the dates of its files on the district's server, and its
    numbers of rows, errors and warnings (None before it is read)."""

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
        from rollover.texts.filters import count

        text = f"{utc_minute(self.changed_at)}, {self.school_year or 'year unknown'}"
        if self.files_to is not None:
            first = f"{utc_minute(self.files_from)} to " if self.files_from and self.files_from != self.files_to else ""
            text += f", files of {first}{utc_minute(self.files_to)}"
        if self.rows is not None:
            text += f", {count(self.rows, 'row')}"
            text += f", {count(self.errors or 0, 'error')}, {count(self.warnings or 0, 'warning')}"
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(frozen=True)
class ImportInReview:
    """A roster import in review: since when, and why."""

    import_id: str
    since: datetime
    reason: str | None

    def __str__(self) -> str:
        return (
            f"roster import in review since {utc_minute(self.since)}: {self.import_id}, {self.reason}; answer in "
            "Airflow (Browse, Required Actions) or by `rollover roster decide`"
        )


@dataclass(frozen=True)
class UnreadFiles:
    """The last files that were ignored, because no roster is read from them; their names are not shown."""

    files: int
    found_at: datetime

    def __str__(self) -> str:
        from rollover.texts.filters import count

        verb = "is" if self.files == 1 else "are"
        found = f"{count(self.files, 'file')} on SFTP {verb} not read (found {utc_minute(self.found_at)})"
        return f"{found}: see findings.csv in the outbox"


@dataclass(frozen=True)
class TenantStatus:
    """The state of a tenant. A field is None if there is no such thing.

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
        """Everything that waits for a person or needs attention, a sentence each."""
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

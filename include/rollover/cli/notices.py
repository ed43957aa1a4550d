"""``rollover notices``: lists who was notified of what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rollover.calendar import utc_minute
from rollover.cli.command import LOOK, Cell, Lines, Sheet, Tabular, command
from rollover.cli.context import Context
from rollover.cli.parameters import AnyTenant

if TYPE_CHECKING:
    from rollover.ledger.notices import Recorded

app = typer.Typer()
COLOURS = {"sent": "green", "failed": "red", "pending": "yellow", "withdrawn": ""}
Unsent = Annotated[bool, typer.Option("--unsent", help="Only those that are still to be sent.")]


@dataclass(frozen=True)
class Notice:
    """A notice to one role. `state` is sent, failed (it is tried again), pending, or withdrawn (no longer true before
    it could be sent). `reset_date` is the date that follows from silence, as the text said it; `error` is the kind of
    the last failure."""

    tenant: str
    school_year: str
    kind: str
    about: str
    role: str
    channel: str
    state: str
    reset_date: date | None
    subject: str | None
    text_sha256: str | None
    recipients: int | None
    sent_at: datetime | None
    attempts: int
    error: str | None
    failed_at: datetime | None

    @classmethod
    def of(cls, found: Recorded) -> Notice:
        return cls(
            tenant=found.tenant_id,
            school_year=found.school_year,
            kind=found.kind,
            about=found.about,
            role=found.role,
            channel=found.channel,
            state=found.state,
            reset_date=found.reset_date,
            subject=found.subject,
            text_sha256=found.text_sha256,
            recipients=found.recipients,
            sent_at=found.sent_at,
            attempts=found.attempts,
            error=found.error_class,
            failed_at=found.failed_at,
        )

    @property
    def is_open(self) -> bool:
        return self.state in ("failed", "pending")

    @property
    def result(self) -> str:
        if self.sent_at is not None:
            return f"sent {utc_minute(self.sent_at)}"
        if self.state == "failed" and self.failed_at is not None:
            tried = f"{self.attempts} {'attempt' if self.attempts == 1 else 'attempts'}"
            return f"not sent: {self.error}, {tried}, the last {utc_minute(self.failed_at)}"
        return self.state

    def __str__(self) -> str:
        return f"{self.tenant} {self.school_year}: {self.kind} to {self.role} by {self.channel}: {self.result}"


@dataclass(frozen=True)
class Notices(Tabular):
    """The notices of the tenants that were named, newest first of each."""

    notices: list[Notice]

    def sheet(self) -> Sheet:
        return Sheet(
            ("Tenant", "Year", "Notice", "About", "Role", "By", "Result"),
            [
                (
                    *(each.tenant, each.school_year, each.kind.replace("_", " "), each.about),
                    *(each.role.replace("_", " "), each.channel, Cell(each.result, COLOURS[each.state])),
                )
                for each in self.notices
            ],
        )


@app.command("notices", rich_help_panel=LOOK, epilog="Example: rollover notices springfield-il --unsent")
@command
def notices(context: Context, tenant: AnyTenant = None, unsent: Unsent = False) -> Lines[Notices]:
    """List who was notified of what and when, and what could not be sent."""
    from rollover.ledger.notices import listed
    from rollover.season.read import season_session

    wanted = [each.id for each in context.tenants(tenant)]
    with season_session(context.engine) as connection:
        found = [Notice.of(each) for each in listed(connection, wanted)]
    shown = [each for each in found if each.is_open] if unsent else found
    yield from map(str, shown)
    return Notices(shown)

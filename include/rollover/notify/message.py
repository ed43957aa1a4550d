"""Writes a notice: its subject and its text, as plain text and as HTML, from the templates ``texts/notice_*``.

A kind's template has the subject in its first line, then paragraphs. The two frames (``notice.txt.j2`` and
``notice.html.j2``) show the same paragraphs and the same facts, so that both forms say the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from rollover.config import District, Product
from rollover.config.models import Action
from rollover.notify.addresses import Addressee
from rollover.notify.due import Notice
from rollover.notify.kinds import DAYS_BEFORE, Kind, Role
from rollover.season.deadlines import Alarm
from rollover.season.phases import STOPPED
from rollover.texts import filters, render

SUBJECT_WIDTH = 150
"""Characters of a subject at most: a reason may be long, and is in the text too."""
PARAGRAPHS = re.compile(r"\n\s*\n")
SENTENCES = {
    Kind.FILES_MISSING: (Alarm.FILES_MISSING,),
    Kind.ROSTER_REJECTED: (Alarm.DROP_REJECTED, Alarm.FILES_NOT_READ),
    Kind.ROSTER_IN_REVIEW: (Alarm.ROSTER_IN_REVIEW, Alarm.REVIEW_OVERDUE),
    Kind.STEP_FAILED: (Alarm.IMPORT_FAILED,),
}
"""The alarms whose sentence a notice repeats, as pages and commands show it."""


@dataclass(frozen=True)
class Message:
    """What is sent. `text_sha256` is the hash of the plain text, which the ledger keeps."""

    notice: Notice
    to: tuple[Addressee, ...] = field(repr=False)
    reply_to: tuple[Addressee, ...] = field(repr=False)
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)

    @property
    def text_sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def identity(self) -> str:
        """The same for every attempt to send a notice, and for no other notice."""
        key = self.notice.key
        parts = (key.tenant_id, key.kind, key.about, key.role, key.channel)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Details:
    """What a text needs besides the notice itself. `moved_from` is the reset date of an earlier notice."""

    district: District
    product: Product
    to: tuple[Addressee, ...]
    reply_to: tuple[Addressee, ...]
    site: str | None
    moved_from: date | None
    now: datetime


def write(notice: Notice, details: Details) -> Message:
    """Write a notice. Its only personal values are the names of its addressees."""
    state, kind, config = notice.state, notice.event.kind, details.district.uses(notice.state.tenant.product)
    today = details.now.astimezone(ZoneInfo(details.district.time_zone)).date()
    values = {
        "notice": notice,
        "state": state,
        "is_ours": notice.role.is_ours,
        "sentence": _sentence(notice),
        "days": (state.dates.reset_date - today).days if kind in DAYS_BEFORE else None,
        "moved_from": details.moved_from,
        "archives": bool(details.product.classes(Action.ARCHIVE_OR_ERASE)),
        "folder": config.folder,
        "outbox": config.outbox,
        "names_nobody": all(Role(each.role).is_ours for each in details.district.contacts),
    }
    first, *paragraphs = PARAGRAPHS.split(render(kind.template, **values))
    paragraphs = [filters.one_line(each) for each in paragraphs if each.strip()]
    about = f"{state.district_name} · {state.product_name} {state.school_year}: {first}"
    subject = filters.clean(about, SUBJECT_WIDTH)
    frame = {
        **values,
        "subject": subject,
        "names": ", ".join(filters.clean(each.name) for each in details.to if each.name),
        "paragraphs": paragraphs,
        "facts": facts_of(notice),
        "link": link_of(notice, details.site),
    }
    text, html = render("notice.txt.j2", **frame), render("notice.html.j2", **frame)
    return Message(notice, details.to, details.reply_to, subject, f"{text}\n", f"{html}\n")


def facts_of(notice: Notice) -> list[tuple[str, str]]:
    """The facts below the text. Why a rollover stopped is for our own team; the district gets what it has to do."""
    state = notice.state
    facts = [
        ("District", filters.clean(state.district_name)),
        ("Product", state.product_name),
        ("School year", state.school_year),
    ]
    if notice.event.reset_date is not None:
        facts.append(("Reset date", str(notice.event.reset_date)))
    if notice.role.is_ours or state.phase not in STOPPED:
        facts.append(("State", state.summary))
    return facts


def link_of(notice: Notice, site: str | None) -> str | None:
    """The page in Airflow where to go on. A district has no login, and gets none."""
    if site is None or not notice.role.is_ours:
        return None
    tenant, kind, failure = notice.state.tenant, notice.event.kind, notice.event.failure
    page = f"dags/{quote(tenant.dag_id)}"
    if kind in (Kind.APPROVAL_WAITING, Kind.ROSTER_IN_REVIEW):
        page = "required_actions"
    elif failure is not None and failure == notice.state.facts.failure:
        page += f"/runs/{quote(failure.run_id, safe='')}"
    elif failure is not None:
        page = "dags/roster_import"
    return f"{site.rstrip('/')}/{page}"


def _sentence(notice: Notice) -> str:
    """The season's sentence about what this notice is about, or else the line about the whole state."""
    state = notice.state
    wanted = SENTENCES.get(notice.event.kind, ())
    if notice.event.failure is not None and notice.event.failure == state.facts.failure:
        return state.summary
    said = dict(zip(state.alarms, state.sentences, strict=True))
    return next((said[alarm] for alarm in wanted if alarm in said), state.summary)

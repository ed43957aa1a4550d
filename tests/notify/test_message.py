"""The texts of the notices, as people read them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from rollover.lint import load_catalog
from rollover.notify.addresses import MAIL, Addressee, Addresses
from rollover.notify.due import Notice, events
from rollover.notify.kinds import DAYS_BEFORE, ROLES, Kind, Role
from rollover.notify.mail import as_mail
from rollover.notify.message import Details, Message, write
from rollover.season.phases import STOPPED, Phase
from rollover.season.state import TenantState
from tests.notify.conftest import CONTACTS, SENDER, SITE
from tests.notify.test_due import CASES, LOS_ANGELES, before_reset
from tests.season.test_state_texts import FAILURE, NOW, PHASES, RESET, state_with
from tests.support.examples import check_example
from tests.support.small_district import PRODUCTS, district

PRODUCT = load_catalog(PRODUCTS / "none", PRODUCTS).products["hero"]
BEFORE = datetime(2026, 6, 28, 18, tzinfo=UTC)
IMPORT_FAILED = {**RESET, "new_roster": None, "import_failure": {**FAILURE, "step": "stage", "remedy": None}}


def state_of(kind: Kind) -> TenantState:
    return before_reset() if kind in DAYS_BEFORE else state_with(CASES[kind][0])


def message(
    state: TenantState, role: Role, *, kind: Kind | None = None, moved_from: date | None = None, **more: Any
) -> Message:
    """The first notice of a state, or the first of a kind, to one role."""
    now = BEFORE if kind in DAYS_BEFORE else NOW
    found = [each for each in events(state, LOS_ANGELES, now) if kind is None or each.kind is kind]
    own = district(**{"contacts": CONTACTS, **more})
    to = Addresses().of(own, role)
    details = Details(own, PRODUCT, to, (), SITE, moved_from, now)
    return write(Notice(state, found[0], role, MAIL), details)


def shown(found: Message) -> str:
    return f"Subject: {found.subject}\n\n{found.text}"


@pytest.mark.parametrize(("kind", "role"), [(kind, role) for kind in CASES for role in ROLES[kind]])
def test_each_notice_has_its_example(kind: Kind, role: Role) -> None:
    name = kind.template.removesuffix(".txt.j2")
    check_example(f"{name}--to_{role}.txt", shown(message(state_of(kind), role, kind=kind)))


@pytest.mark.parametrize("role", ROLES[Kind.RESET_IN_4_WEEKS])
def test_the_notice_before_a_reset_has_its_example(role: Role) -> None:
    found = message(before_reset(), role, kind=Kind.RESET_IN_2_WEEKS)
    assert "in 10 days" in found.subject
    check_example(f"notice_reset--to_{role}.txt", shown(found))


def test_the_other_forms_have_their_examples() -> None:
    moved = {"kind": Kind.RESET_IN_2_WEEKS, "moved_from": date(2026, 7, 1)}
    check_example("notice_reset--moved.txt", shown(message(before_reset(), Role.DISTRICT_IT, **moved)))
    nobody = {"kind": Kind.RESET_IN_2_WEEKS, "contacts": CONTACTS[2:]}
    check_example("notice_reset--nobody_notified.txt", shown(message(before_reset(), Role.CUSTOMER_SUCCESS, **nobody)))
    imported = message(state_with(IMPORT_FAILED), Role.DATA_ENGINEER, kind=Kind.STEP_FAILED)
    check_example("notice_step_failed--of_an_import.txt", shown(imported))
    check_example("notice--html.html", message(before_reset(), Role.DISTRICT_IT, **moved).html)


@pytest.mark.parametrize(("days", "words"), [(1, "tomorrow"), (7, "in 7 days"), (14, "in 14 days"), (28, "in 28 days")])
def test_the_days_are_those_of_the_districts_calendar(days: int, words: str) -> None:
    now = datetime(2026, 7, 9, 3, tzinfo=UTC) - timedelta(days=days)  # the evening before, in Los Angeles
    state = before_reset()
    event = next(events(state, LOS_ANGELES, now))
    own = district(contacts=CONTACTS)
    found = write(Notice(state, event, Role.DISTRICT_IT, MAIL), Details(own, PRODUCT, (), (), None, None, now))
    assert found.subject.endswith(f"resets on Wednesday, July 8, 2026, {words}")


class Text(HTMLParser):
    """The text of a page, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


@pytest.mark.parametrize("kind", [Kind.RESET_IN_2_WEEKS, *CASES])
def test_both_forms_say_the_same(kind: Kind) -> None:
    found = message(state_of(kind), ROLES[kind][0], kind=kind)
    page, plain = Text(found.html).words, found.text.split()
    assert [word for word in plain if word.rstrip(":") not in page and word not in page and SITE not in word] == []
    assert len(plain) > 50


def test_a_product_that_archives_nothing_says_so() -> None:
    product = load_catalog(PRODUCTS / "none", PRODUCTS).products["imagine_math"]
    state = before_reset()
    event = next(events(state, LOS_ANGELES, BEFORE))
    details = Details(district(contacts=CONTACTS), product, (), (), None, None, BEFORE)
    text = " ".join(write(Notice(state, event, Role.DISTRICT_IT, MAIL), details).text.split())
    assert "Then the data of the year is erased for good." in text and "archived" not in text


def test_names_with_markup_are_only_text() -> None:
    evil = '<script>alert("x")</script> & Söhne\r\nBcc: all@evil.example'
    contacts = [{"role": "district_it", "name": evil, "email": "it@riverside.example"}]
    state = replace(before_reset(), district_name=evil)
    found = message(state, Role.DISTRICT_IT, kind=Kind.RESET_IN_2_WEEKS, contacts=contacts)
    page = Text(found.html)
    assert "script" not in page.tags and "&lt;script&gt;" in found.html
    mail = as_mail(found, SENDER, NOW)
    assert mail["Bcc"] is None and len(mail["To"].addresses) == 1
    assert "\n" not in found.subject and "Bcc: all@evil.example" not in mail.as_string().splitlines()


def test_the_district_is_not_sent_why_a_rollover_stopped() -> None:
    for phase in STOPPED:
        facts = {**PHASES[phase][0], "newest_drop": CASES[Kind.ROSTER_REJECTED][0]["newest_drop"]}
        state = state_with(facts)
        assert state.phase is phase
        theirs, ours = (
            message(state, role, kind=Kind.ROSTER_REJECTED) for role in (Role.DISTRICT_IT, Role.CUSTOMER_SUCCESS)
        )
        assert state.summary not in theirs.text.replace("\n" + " " * 14, " ")
        assert "dana" not in theirs.text and "State:" not in theirs.text and "Airflow" not in theirs.text
        assert "State:" in ours.text


def test_links_go_where_the_work_is() -> None:
    def link(facts: dict[str, Any], kind: Kind) -> str:
        text = message(state_with(facts), Role.DATA_ENGINEER, kind=kind).text
        return text.partition("Open in Airflow: ")[2].partition("\n")[0]

    failed = {**PHASES[Phase.REFUSED][0], "failure": {**FAILURE, "run_id": "scheduled__2026-07-08T08:00:00+00:00"}}
    run = "scheduled__2026-07-08T08%3A00%3A00%2B00%3A00"
    assert link(failed, Kind.STEP_FAILED) == f"{SITE}/dags/rollover__hero__riverside-ca/runs/{run}"
    assert link(IMPORT_FAILED, Kind.STEP_FAILED) == f"{SITE}/dags/roster_import"
    assert link(CASES[Kind.APPROVAL_WAITING][0], Kind.APPROVAL_WAITING) == f"{SITE}/required_actions"
    assert link(CASES[Kind.CERTIFIED][0], Kind.CERTIFIED) == f"{SITE}/dags/rollover__hero__riverside-ca"


def test_a_mail_has_two_forms_no_attachment_and_an_id_of_its_own() -> None:
    found = message(before_reset(), Role.DISTRICT_IT, kind=Kind.RESET_IN_2_WEEKS)
    found = replace(found, reply_to=(Addressee("success@vendor.example", "Casey"),))
    mail = as_mail(found, SENDER, NOW)
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert not list(mail.iter_attachments())
    assert str(mail["To"]) == "Ada Lovett <district-it@riverside.example>"
    assert str(mail["Reply-To"]) == "Casey <success@vendor.example>"
    assert mail["Message-ID"].endswith("@vendor.example>")
    others = [
        message(before_reset(), role, kind=Kind.RESET_IN_2_WEEKS) for role in (Role.DISTRICT_IT, Role.CUSTOMER_SUCCESS)
    ]
    others += [message(before_reset(date(2026, 7, 9)), Role.DISTRICT_IT, kind=Kind.RESET_IN_2_WEEKS)]
    ids = [as_mail(each, SENDER, NOW)["Message-ID"] for each in others]
    assert ids[0] == mail["Message-ID"] and len(set(ids)) == 3


def test_neither_names_nor_addresses_are_in_what_python_prints() -> None:
    found = message(before_reset(), Role.DISTRICT_IT, kind=Kind.RESET_IN_2_WEEKS)
    printed = f"{found!r} {found.to!r} {Addresses(team={'data_engineer': ('dana@vendor.example',)})!r}"
    assert "Lovett" not in printed and "@" not in printed

"""Status, page, note and mail say the same of every state in which a tenant can be."""

from __future__ import annotations

from datetime import date
from html import unescape
from typing import Any

import pytest
from sqlalchemy import Engine

from rollover.cli.status import Year
from rollover.config import Catalog
from rollover.lint import load_catalog
from rollover.notify.addresses import MAIL, Addressee
from rollover.notify.due import Event, Notice
from rollover.notify.kinds import Kind, Role
from rollover.notify.message import Details, write
from rollover.season.deadlines import Alarm
from rollover.season.phases import Phase
from rollover.season.run_note import of_rollover
from rollover.season.state import TenantState
from tests.season.test_state_texts import ALARMS, NOW, PHASES, state_with
from tests.support.made_season import put
from tests.support.small_district import PRODUCTS, YEAR, district
from tests.web.conftest import ADMIN, Browser

HERO = "hero__riverside-ca"
CASES = [(phase, n) for phase, cases in PHASES.items() for n in range(len(cases))]


@pytest.fixture
def known() -> Catalog:
    """Riverside, whose new year begins when the made states say so."""
    products = load_catalog(PRODUCTS / "none", PRODUCTS).products
    first_day = {YEAR.next.key: {"first_day": date(2026, 8, 1)}}
    return Catalog({"riverside-ca": district(school_years=first_day)}, products, ())


def mail_about(state: TenantState) -> str:
    """The text of a mail to our own team about a state; any kind has the line about the state."""
    own = district(school_years={YEAR.next.key: {}})
    product = load_catalog(PRODUCTS / "none", PRODUCTS).products["hero"]
    to = (Addressee("Dana", "dana@vendor.example"),)
    notice = Notice(state, Event(Kind.CERTIFIED, "this"), Role.DATA_ENGINEER, MAIL)
    return write(notice, Details(own, product, to, (), None, None, NOW)).text


def page_about(browser: Browser, given: dict[str, Any], owner: Engine) -> str:
    put(owner, HERO, YEAR.key, **given)
    answer = browser(ADMIN).get(f"/tenants/{HERO}?year={YEAR.key}")
    assert answer.status_code == 200
    return words(unescape(answer.text))


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_phase_is_among_the_cases() -> None:
    assert {phase for phase, _ in CASES} == set(Phase)


@pytest.mark.parametrize(("phase", "n"), CASES)
def test_the_line_about_a_state_is_the_same_everywhere(phase: Phase, n: int, browser: Browser, owner: Engine) -> None:
    given = PHASES[phase][n]
    line = state_with(given).summary
    assert Year.of(state_with(given)).summary == line
    assert of_rollover(state_with(given), None, []).startswith(line)
    assert words(line) in words(mail_about(state_with(given)))
    assert words(line) in page_about(browser, given, owner)


OF_DROPS = (Alarm.DROP_REJECTED, Alarm.FILES_NOT_READ)
"""The page of a tenant reads the drop itself, too, which a made state does not have: see test_tenant.py."""


@pytest.mark.parametrize("alarm", [alarm for alarm in ALARMS if alarm not in OF_DROPS])
def test_the_sentence_about_an_alarm_is_the_same_everywhere(alarm: Alarm, browser: Browser, owner: Engine) -> None:
    state = state_with(ALARMS[alarm])
    (sentence,) = [said for said, each in zip(state.sentences, state.alarms, strict=True) if each is alarm]
    assert sentence in of_rollover(state, None, [])
    assert words(sentence).replace("`", "") in page_about(browser, ALARMS[alarm], owner).replace("`", "")

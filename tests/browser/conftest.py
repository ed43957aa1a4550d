"""A running demo of two districts, and a real browser in which its people are logged in.

The demo waits where a person has to decide: the tests decide, on the pages. Screenshots go to ``var/browser``.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import text

from rollover.settings import HOME
from rollover_demo.demo.season import Season
from rollover_demo.demo.services import USERS, Services, prepared, running
from rollover_demo.seed.season import demo_year, season
from rollover_demo.seed.specs import DistrictSpec, FirstDrop

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SPRINGFIELD, RIVERBEND = "hero__springfield-il", "hero__riverbend-mo"
DANA, HARPER, RAY = "dana", "harper", "ray"
"""Dana may do everything, Harper has the rights to Springfield only, Ray may read."""
PEOPLE = {**USERS, HARPER: "user", RAY: "viewer"}
DROPS: dict[str, FirstDrop] = {"springfield-il": "broken", "riverbend-mo": "half"}
"""What is wrong with the first files of each district's new year: a file is missing, or a school."""
AUTH_MANAGER = "tests.support.district_auth.DistrictAuthManager"
"""Only named: who imports Airflow before tests/dags has set up its home gets another database."""
SHOTS = HOME / "var" / "browser"
SMALLER = 6
"""The demo's schools have so many times more students."""
SERIOUS = ("serious", "critical")


@dataclass
class Stage:
    """The running demo, and how the tests wait for what happens in it."""

    services: Services
    year: str
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.services.airflow.url}/rollover"

    def token(self, user: str) -> str:
        """What Airflow gives a user who logs in."""
        login = {"username": user, "password": self.services.airflow.password}
        answer = httpx.post(f"{self.services.airflow.url}/auth/token", json=login, timeout=30)
        return str(answer.raise_for_status().json()["access_token"])

    def rows(self, query: str, **values: Any) -> list[Any]:
        """Rows of the product database, past row-level security."""
        with self.services.owner.connect() as connection:
            return list(connection.execute(text(query), values))

    def wait_for(self, what: str, check: Callable[[], Any], timeout: float = 240) -> Any:
        """Ask until the answer is true. Raises TimeoutError naming what did not happen."""
        return self.services.api.wait_for(what, check, timeout=timeout, poll=0.5)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The demo of Springfield and Riverbend, up to the two approvals, which wait."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (Debian package)")
    folder = tmp_path_factory.mktemp("browser")
    specs = [_smaller(s) for s in season(demo_year(datetime.now(UTC).date())) if s.id in DROPS]
    more = {"AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER, "PYTHONPATH": str(HOME)}
    with (
        prepared(folder, specs) as (server, owner),
        running(folder, specs, server, owner, users=PEOPLE, more=more) as services,
    ):
        happening = Season(services, print, answer_approvals=False)
        happening.begin()
        stage = Stage(services, specs[0].year.key)
        uploading = threading.Thread(target=_play, args=(happening, stage))
        uploading.start()
        try:
            stage.wait_for("both plans are asked about", lambda: len(stage.rows(OPEN)) == len(specs))
            yield stage
        finally:
            stage.stopped.set()
            uploading.join()


OPEN = "SELECT about FROM ledger.questions WHERE kind = 'plan' AND answered_at IS NULL"


def _play(happening: Season, stage: Stage) -> None:
    """Upload as the districts' IT does, until the tests are over. Nobody answers questions here."""
    while not stage.stopped.is_set():
        happening.upload()
        time.sleep(1)


def _smaller(spec: DistrictSpec) -> DistrictSpec:
    """The district's Hero, with fewer students, and with the first drop that the tests want."""
    (hero,) = (tenant for tenant in spec.tenants if tenant.tenant.product == "hero")
    schools = tuple(replace(school, students=school.students // SMALLER) for school in hero.schools)
    return replace(spec, tenants=(replace(hero, schools=schools, first_drop=DROPS[spec.id]),))


@pytest.fixture(scope="session")
def chromium(stage: Stage) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS])
        yield browser
        browser.close()


Opened = Callable[..., Any]


@pytest.fixture
def open_as(stage: Stage, chromium: Browser) -> Opened:
    """Opens a page in which a person is logged in (None: nobody); errors of the page fail the test."""

    @contextmanager
    def opened(user: str | None, *, width: int = 1400, scheme: Any = "light") -> Iterator[Page]:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        if user is not None:
            context.add_cookies([{"name": "_token", "value": stage.token(user), "url": stage.services.airflow.url}])
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
        try:
            yield page
        finally:
            context.close()
        assert errors == []

    return opened


def shoot(page: Page, name: str) -> Path:
    """A screenshot of the whole page, to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    return path


def barriers(page: Page) -> list[str]:
    """What keeps people from using the page, of serious or critical impact, as axe finds it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in SERIOUS
    ]

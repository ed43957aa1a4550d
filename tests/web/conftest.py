"""A host of the tests' own for the pages: three people, two districts, and answers that are only remembered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from upath import UPath

from rollover.archive.keys import Keys
from rollover.config import Catalog
from rollover.lint import load_catalog
from rollover.season.facts import OpenQuestion
from rollover.tenant import Tenant
from rollover.web.app import create_app
from rollover.web.host import Host, NotAnswered, Right, Visitor
from tests.support.small_district import PRODUCTS, district

NOW = datetime(2026, 7, 20, 12, tzinfo=UTC)
RIVERSIDE, HILLSIDE = "riverside-ca", "hillside-wa"
ADMIN, CLERK, READER = "ada", "cleo", "ray"
"""`ada` may do everything, `cleo` everything about Riverside, `ray` may read everything."""


@dataclass(frozen=True)
class Person(Visitor):
    """A person who says in a header who it is."""

    login: str

    @property
    def id(self) -> str:
        return self.login

    @property
    def name(self) -> str:
        return self.login.title()

    def look_up(self, tenants: Collection[Tenant], right: Right) -> Iterable[Tenant]:
        if self.login == "broken":
            raise RuntimeError("the authorization cannot be loaded")
        if self.login == CLERK:
            return [tenant for tenant in tenants if tenant.district == RIVERSIDE]
        return tenants if self.login == ADMIN or right is Right.READ else []


def person_of(request: Request) -> Visitor:
    login = request.headers.get("x-login")
    if login is None:
        raise HTTPException(401)
    return Person(login)


TEXT = """**18 rows will be erased for good.**

- *Approve*: exactly these rows go.
- *Reject*: nothing is erased.

| School | Rows |
|---|---:|
| North \\<b\\> | 18 |
"""


@dataclass
class Airflow:
    """What the pages answered, and what Airflow has against it."""

    answers: list[tuple[str, int, tuple[str, ...], str]] = field(default_factory=list)
    refuses: str | None = None
    answered: dict[int, str] = field(default_factory=dict)
    text: str | None = TEXT

    def answer(self, who: Visitor, question: OpenQuestion, options: Sequence[str], reason: str) -> None:
        if self.refuses:
            raise NotAnswered(self.refuses)
        self.answers.append((who.id, question.question_id, tuple(options), reason))

    def answered_by(self, questions: Sequence[OpenQuestion]) -> dict[int, str]:
        return self.answered

    def text_of(self, question: OpenQuestion) -> str | None:
        return self.text


@pytest.fixture
def airflow() -> Airflow:
    return Airflow()


@pytest.fixture
def known() -> Catalog:
    """Riverside, Hillside, and all products."""
    products = load_catalog(Path("/nonexistent"), PRODUCTS).products
    return Catalog({name: district(name) for name in (RIVERSIDE, HILLSIDE)}, products, ())


@pytest.fixture
def host(engine: Engine, airflow: Airflow, known: Catalog, storage: UPath, tmp_path: Path) -> Host:
    return Host(
        visitor=person_of,
        engine=lambda: engine,
        catalog=lambda: known,
        answer=airflow.answer,
        answered_by=airflow.answered_by,
        text_of=airflow.text_of,
        secret=lambda: "a secret of the tests",
        clock=lambda: NOW,
        districts=tmp_path,
        storage=storage,
        keys=Keys(None),
        backup_days=None,
    )


Browser = Callable[[str | None], TestClient]


@pytest.fixture
def browser(host: Host) -> Iterator[Browser]:
    """A browser in which a person is logged in, or nobody."""
    app = create_app(host)

    def of(login: str | None) -> TestClient:
        return TestClient(app, headers={"x-login": login} if login else {}, follow_redirects=False)

    yield of

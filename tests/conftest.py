"""A real PostgreSQL for the whole session, and a fresh database for each test that asks for one."""

from __future__ import annotations

import gc
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before it is imported: three workers share two cores

import pytest
from sqlalchemy import URL, Engine
from upath import UPath

from rollover.database import migrate
from rollover.database.session import connect
from rollover_demo.postgres import LOGIN, PostgresServer
from tests.support.memory_folder import short_folder

TEMPLATE = "rollover_template"
PERSONS = ("dana", "kim")
"""Personal logins: `dana` and `kim` are two people."""
LONGEST = ("test_end_to_end.py", "test_killed.py", "test_restarted.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that the other worker does all the rest meanwhile."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """What is imported by now stays: to look through it for garbage again and again takes 8% of the tests' time."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of our own, with a migrated template database; gone afterwards."""
    folder = short_folder("rollover-test-")
    server = PostgresServer(folder / "pg", durable=False)
    server.create(TEMPLATE)
    migrate.upgrade(connect(server.url(TEMPLATE)))
    server.create_login()
    for name in PERSONS:
        server.create_person(name)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Fresh databases, each made while the test before it runs."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._aside = ThreadPoolExecutor(max_workers=1)
        self._next = self._aside.submit(self._create)

    def take(self) -> str:
        name = self._next.result()
        self._next = self._aside.submit(self._create)
        return name

    def drop(self, name: str) -> None:
        self._aside.submit(self._server.drop, name)

    def close(self) -> None:
        self._aside.shutdown()

    def _create(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._server.create(name, template=TEMPLATE)
        return name


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> Iterator[Databases]:
    ready = Databases(postgres)
    yield ready
    ready.close()


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """The name of a fresh, migrated, empty database."""
    name = databases.take()
    yield name
    databases.drop(name)


@pytest.fixture
def owner(postgres: PostgresServer, database: str) -> Iterator[Engine]:
    """A superuser's engine: for seeding, and for looking past row-level security."""
    with pooled(postgres.url(database)) as engine:
        yield engine


@pytest.fixture
def engine(postgres: PostgresServer, database: str) -> Iterator[Engine]:
    """The engine the product works with: a login that owns nothing."""
    with pooled(postgres.url(database, user=LOGIN)) as engine:
        yield engine


@pytest.fixture
def login_of(postgres: PostgresServer, database: str) -> Callable[[str], str]:
    """The URL with which a person of `PERSONS`, or another login, runs commands."""
    return lambda name: postgres.url(database, user=name).render_as_string(hide_password=False)


@contextmanager
def pooled(url: URL) -> Iterator[Engine]:
    """An engine whose connections are used again, which saves a test's time."""
    engine = connect(url, keep=5)
    yield engine
    engine.dispose()


@pytest.fixture
def storage(tmp_path: Path) -> UPath:
    """As in production, with a protocol: such a path is another class than a plain one."""
    return UPath(f"file://{tmp_path}/storage")

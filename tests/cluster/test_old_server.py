"""A PostgreSQL that is too old for the product database is refused by name, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from rollover.database import migrate
from rollover.database.session import connect
from rollover.errors import Refused
from tests.cluster.servers import POSTGRES, Postgres

VERSION = int(POSTGRES.parent.name) if POSTGRES else None
pytestmark = [
    pytest.mark.skipif(VERSION is None, reason="needs Debian's postgresql"),
    pytest.mark.skipif((VERSION or 0) >= migrate.OLDEST, reason=f"Debian's postgresql is new enough: {VERSION}"),
]


def test_it_is_refused_before_anything_is_created(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "old")
    server.start()
    try:
        engine = connect(server.url("postgres"))
        with pytest.raises(Refused, match=f"is PostgreSQL {VERSION}; {migrate.OLDEST} is the oldest"):
            migrate.upgrade(engine)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'rollover%'")) == 0
            assert connection.scalar(text("SELECT count(*) FROM pg_namespace WHERE nspname = 'ledger'")) == 0
    finally:
        server.stop()

"""Imports whose files are in S3: every step reads them by copies on its own disk, which are gone after it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from upath import UPath

from rollover.roster.review.answers import Answer
from rollover.storage import TEMPORARY, storage_path
from tests.cluster.servers import S3, reached
from tests.roster.conftest import District
from tests.support.roster.small_set import Rows, as_files, whole_set

NAMES = "SELECT sourced_id, given_name, status FROM roster.people ORDER BY sourced_id"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[UPath]:
    server = S3(tmp_path / "s3")
    server.start()
    try:
        with reached(server):
            yield storage_path(server.url)
    finally:
        server.stop()


def test_a_first_set_and_a_changed_one_become_live_and_leave_no_copy(
    district: District, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    import_whole(district, whole_set())
    before = district.rows(NAMES)
    changed = whole_set()
    renamed, leaves = changed["users"][-1], changed["users"][-2]
    renamed["givenName"] = "Another"
    changed["users"].remove(leaves)
    changed["enrollments"] = [row for row in changed["enrollments"] if row["userSourcedId"] != leaves["sourcedId"]]
    import_whole(district, changed)
    after = {sourced_id: (name, status) for sourced_id, name, status in district.rows(NAMES)}
    assert len(after) == len(before) > 2
    assert after[renamed["sourcedId"]] == ("Another", "active")
    assert after[leaves["sourcedId"]][1] != "active"
    assert list(tmp_path.glob(f"{TEMPORARY}*")) == []


def import_whole(district: District, rows: Rows) -> None:
    import_id = district.upload(as_files(rows))
    if district.go_on(import_id)["state"] == "in_review":
        district.decide(import_id, Answer.APPROVE)
    assert district.found(import_id).state == "ready"
    assert district.apply(import_id)["state"] == "applied"

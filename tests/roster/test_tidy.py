"""What is left of a set once it is done with: the ledger's row, and no file."""

from __future__ import annotations

from rollover import pause
from rollover.database.session import tenant_session
from rollover.roster.files import import_folder
from rollover.roster.tidy import tidy
from tests.roster.conftest import District
from tests.roster.sets import as_files, whole_set


def test_sets_that_are_done_with_are_removed_and_the_others_stay(district: District) -> None:
    done = district.take(as_files(whole_set()))["import_id"]
    assert district.apply(done)["applied"] is True
    waiting = district.upload({**as_files(whole_set()), "extra.csv": b"x\n"})
    district.fetch(waiting)
    assert import_folder(district.storage, done).exists()

    with tenant_session(district.engine, district.tenant_id) as connection:
        pause.begin(connection, district.tenant_id, by="a rollover", reason="test")
    assert tidy(district.engine, district.tenant_id, district.storage) == 0, "a rollover still needs the files"
    with tenant_session(district.engine, district.tenant_id) as connection:
        pause.end(connection, by="a person")

    assert tidy(district.engine, district.tenant_id, district.storage) == 1
    assert not import_folder(district.storage, done).exists()
    assert import_folder(district.storage, waiting).exists()
    assert tidy(district.engine, district.tenant_id, district.storage) == 0

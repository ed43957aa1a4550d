"""What a certificate names as still kept, in stored examples."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.database.session import tenant_session
from rollover.ledger import holds
from rollover.ledger.rollovers import load
from rollover.yearend.still_kept import described, kept_by_ledger
from tests.support import certified
from tests.support.examples import check_example
from tests.support.small_district import hero_world, run_of


@pytest.mark.parametrize(
    ("case", "kind", "values"),
    [
        ("exports", "exports", {"days": 60}),
        ("import_reports", "import_reports", {"days": 30}),
        ("marked", "marked", {"days": 30}),
        ("to_undo", "to_undo", {"days": 30}),
        ("held", "held", {}),
        ("archives", "archives", {"expires": True}),
        ("archives_for_good", "archives", {"expires": False}),
        ("copy", "copy", {}),
        ("drops", "drops", {}),
        ("data_class", "data_class", {"data_class": "student_accounts"}),
        ("backups", "backups", {"days": 35}),
        ("backups_unknown", "backups", {"days": None}),
    ],
)
def test_each_kind_has_its_words(case: str, kind: str, values: dict[str, object]) -> None:
    kept = described(kind, "somewhere", 1, "rows", None, **values)
    check_example(f"still_kept--{case}.txt", f"{kept.what}\n{kept.ends}")


def test_the_ledger_alone_says_what_the_certificate_says(owner: Engine, engine: Engine, storage: UPath) -> None:
    hero_world(owner)
    run = replace(run_of(engine, storage), backup_days=35)
    with tenant_session(engine, run.tenant.id, exclusive=True) as connection:
        holds.place(connection, run.tenant.id, holds.INSPECTION, reason="asked", by="kim", student_id="n1")
    certified.until_resumed(run)
    signed = certified.certificate_of(run)
    (disposal,) = signed["disposals"]
    with tenant_session(engine, run.tenant.id) as connection:
        issued = load(connection, run).finished_at
        assert issued is not None
        found = kept_by_ledger(
            connection,
            run,
            held_rows=sum(line["rows"] for line in disposal["held"]),
            archived_files=len(disposal["archives"]),
            erased_at=issued,
            at=issued,
        )
    wanted = [asdict(kept) for kept in found]
    assert len(wanted) == 4, "exports, held rows, archive, backups"
    assert [kept for kept in signed["still_kept"] if kept in wanted] == wanted

"""What a certificate names as still kept, in stored examples."""

from __future__ import annotations

import pytest

from rollover.yearend.still_kept import described
from tests.support.examples import check_example


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

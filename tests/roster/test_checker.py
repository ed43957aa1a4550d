"""What is found in sets with random defects, against a second opinion that knows nothing of the product."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rollover.roster.formats import FORMATS
from tests.support.roster.generated_sets import as_files, made
from tests.support.roster.random_defects import RandomDefects, spoiled_files
from tests.support.roster.read_set import Taken, take
from tests.support.roster.standard_checker import OPTIONAL, READ, STANDARD, check
from tests.support.sampling import cases, others_slow

SEEDS, SEEDS_OF_KINDS = cases(16, 100), 100
# The checker's words, and the codes that say the same.
KINDS = {
    "missing value": ("value_missing",),
    "filled in a full set": ("bulk_filled", "status_deleted", "status_other"),
    "date": ("date_format", "bad_date"),
    "enumeration": ("value_spelling", "bad_value"),
    "year": ("year_format", "bad_year"),
    "identity form": ("id_characters", "id_length"),
    "grades": ("grade_spelling", "grade_unknown", "grades_several"),
    "identity twice": ("duplicate", "repeated"),
    "row twice": ("repeated",),
    "rows differ": ("rows_differ",),
    "dangling reference": ("reference", "depends_on_rejected", "optional_reference"),
    "number of fields": ("field_count",),
    "missing column": ("column_missing",),
    "missing column!": ("column_missing",),
    "unknown column": ("column_unknown",),
    "column order": ("column_order",),
    "missing file": ("file_missing", "file_not_in_manifest"),
    "file lost": ("file_missing",),
    "file not in manifest": ("file_not_in_manifest",),
    "file not named": ("manifest_file",),
    "empty file": ("empty_file",),
    "order of dates": ("session_dates", "enrollment_dates"),
    "no role": ("role_missing", "depends_on_rejected"),
    "primary role twice": ("primary_role",),
    "no primary role": ("primary_role_missing",),
    "no role at the primary org": ("primary_org",),
    "course year": ("course_year",),
    "session year": ("session_year",),
    "session outside its parent": ("session_parent",),
    "agent role": ("agent_role",),
    "enrollment role": ("enrollment_role",),
    "enrollment school": ("enrollment_school",),
    "primary student": ("primary_student",),
    "primary twice": ("primary_twice",),
    "outside the term": ("enrollment_term",),
    "too many contacts": ("contacts_many",),
    "contact without id": ("contact_id_missing",),
}
# Codes of the set as a whole, which follow from others; and what no standard demands.
FOLLOWS = {"no_valid_rows", "district_kept_out", "username_twice"}

Place = tuple[str, int | None, str | None]


def by_place(found: Mapping[Place, set[str]] | set[tuple[Place, str]]) -> dict[Place, set[str]]:
    places: dict[Place, set[str]] = {}
    for place, word in found:
        places.setdefault(place, set()).add(word)
    return places


def disagreements(taken: Taken, files: dict[str, bytes]) -> list[str]:
    ours = by_place({((f.file, f.row, f.column), f.code) for f in taken.findings.kept if f.code not in FOLLOWS})
    theirs = by_place({((file, row, column), kind) for file, row, column, kind in check(dict(files))})
    refused = bool(taken.refused - FOLLOWS)
    reported = []
    for place in ours.keys() | theirs.keys():
        if refused and (place[1] or 1) > 1:
            continue  # of a set that is refused whole, its rows do not matter
        codes, kinds = ours.get(place, set()), theirs.get(place, set())
        reported += [f"{place}: we do not find {kind}" for kind in kinds if not codes & set(KINDS[kind])]
        reported += [
            f"{place}: only we find {code}" for code in codes if not any(code in KINDS[kind] for kind in kinds)
        ]
    return sorted(reported)


@pytest.mark.parametrize("spec", FORMATS)
def test_both_find_nothing_in_a_whole_set(spec: str) -> None:
    files = as_files(spec, made(spec))
    assert check(dict(files)) == set()
    assert take(files).codes == {}


@pytest.mark.parametrize("seed", others_slow(range(SEEDS)))
@pytest.mark.parametrize("spec", FORMATS)
def test_both_find_the_same_defects_at_the_same_places(spec: str, seed: int) -> None:
    rows = made(spec, seed=seed)
    RandomDefects(spec, rows, seed).spoil(1 + seed % 15)
    files = spoiled_files(spec, rows, seed)
    assert disagreements(take(files), files) == []


def test_every_kind_of_defect_is_met() -> None:
    """The random sets have every kind in them, but for those that need more than one wrong thing."""
    met = set()
    for spec in FORMATS:
        for seed in range(SEEDS_OF_KINDS):
            rows = made(spec, seed=seed)
            RandomDefects(spec, rows, seed).spoil(1 + seed % 15)
            met |= {kind for *_, kind in check(spoiled_files(spec, rows, seed))}
    rare = {"too many contacts", "empty file", "session outside its parent", "no role at the primary org", "file lost"}
    assert set(KINDS) - met <= rare


@pytest.mark.parametrize("spec", FORMATS)
def test_the_formats_are_those_of_the_standard(spec: str) -> None:
    standard, product = STANDARD[spec], FORMATS[spec]
    read = {file.name for file in product.files}
    assert read == {name for name in READ[spec.split("_")[0]] if name in standard["files"]}
    assert {file.name for file in product.files if not file.required} == OPTIONAL & read
    if spec != "clever":
        assert set(product.unread) == set(standard["files"]) - read
    for file in product.files:
        columns = standard["files"][file.name]
        names = [name for name, _, _ in columns]
        assert (list(file.header) == names) if product.fixed_order else (set(file.header) == set(names))
        required = {name for name, required, _ in columns if required == "yes"}
        assert {column.name for column in file.columns if column.required} == required
        for column in file.columns:
            if column.name in file.bulk_is_blank:
                continue
            assert column.refers_to == standard["refs"].get(file.name, {}).get(column.name)
            values = standard["enums"].get(file.name, {}).get(column.name)
            if values and set(values) != {"true", "false"}:
                assert set(column.values) == set(values)

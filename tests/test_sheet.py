"""Tables for people: whole or not at all, and no cell runs as a formula, whichever of the three ways writes it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import Engine
from upath import UPath

from rollover.sheet import FORMULA_SIGNS, ROWS_AT_ONCE, defused, defused_sql, streamed, write_sheet

RISKY = [*(f"{sign}1" for sign in FORMULA_SIGNS), *FORMULA_SIGNS, "=\u0301"]
HARMLESS = ["", " =1", "1+1", "a=b", "'=1", "Zoë", "é="]


@pytest.mark.parametrize("cell", ["=cmd()", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_sheet_is_whole_and_runs_no_formula(tmp_path: Path, cell: str) -> None:
    target = UPath(f"file://{tmp_path}/sheet.csv")
    assert write_sheet(target, ["a", "b"], [[cell, -1], ['José, "Pep"', None]]) == 2
    with (tmp_path / "sheet.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert list(csv.reader(stream)) == [["a", "b"], [f"'{cell}", "-1"], ['José, "Pep"', ""]]

    def broken() -> Any:
        yield ["x", 1]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_sheet(UPath(f"file://{tmp_path}/other.csv"), ["a", "b"], broken())
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.csv"]


def test_a_streamed_sheet_is_the_written_one(tmp_path: Path) -> None:
    rows = [[f"=row {n}", n, 'José, "Pep"'] for n in range(2 * ROWS_AT_ONCE + 1)]
    write_sheet(UPath(tmp_path / "sheet.csv"), ["a", "b", "c"], rows)
    pieces = list(streamed(["a", "b", "c"], iter(rows)))
    assert len(pieces) == 4, "the header, and three parts"
    assert b"".join(pieces) == (tmp_path / "sheet.csv").read_bytes()


def test_python_and_both_databases_follow_the_same_rule(owner: Engine) -> None:
    cells = [*RISKY, *HARMLESS]
    expected = [*(f"'{cell}" for cell in RISKY), *HARMLESS]
    assert [defused(cell) for cell in cells] == expected
    query = f"SELECT {defused_sql('cell')} FROM unnest({{cells}}) AS t (cell)"
    with owner.connect() as connection:
        found = connection.exec_driver_sql(query.format(cells="%(cells)s::text[]"), {"cells": cells})
        assert list(found.scalars()) == expected
    with duckdb.connect() as duck:
        rows = duck.execute(query.format(cells="$cells::text[]"), {"cells": cells}).fetchall()
    assert [said for (said,) in rows] == expected

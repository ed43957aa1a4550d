"""The search for personal values finds what it is to find, however it was written, and nothing else."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine, text

from tests.support.personal_values import Secrets, places

PEOPLE = pl.DataFrame(
    {
        "given_name": ["Zoë", "Anne-Marie"],
        "middle_name": [None, "Lee"],
        "family_name": ["O'Zebrowski", "Hill"],
        "sourced_id": ["S1010001", "S1010002"],
        "username": ["zzebrowski1010001", "ahill1010002"],
        "email": ["zoe@mail.example", None],
        "identifier": ["1010001", "1002"],
        "birth_date": [date(2014, 3, 5), None],
    }
)
SECRETS = Secrets.of(PEOPLE)


@pytest.mark.parametrize(
    "content",
    [
        "Zoë was here",
        "ZEBROWSKI, ZOË",
        "row: ('S1010001', 5)",
        "task__S1010001.",
        "exports/S1010001.pdf is missing",
        "mail to zoe@mail.example.",
        "user=zzebrowski1010001;",
        "number 1010001 is missing",
        "born 2014-03-05T00:00:00",
        "born 3/5/2014, in spring",
        "03/05/2014",
        "5.3.2014",
        "March 5, 2014",
        "datetime.date(2014, 3, 5)",
        "20140305",
        json.dumps({"said": "line\nZoë"}),
        json.dumps(json.dumps({"said": "a\nMarie"})),
        f"(1,\\x{'Key (name)=(Zoë)'.encode().hex()})",
        "Anne-Marie",
        "x" * 5_000_000 + "\n" + "y" * 5_000_000 + " Zoë",
    ],
)
def test_a_planted_value_is_found(content: str) -> None:
    assert SECRETS.found_in(content)


@pytest.mark.parametrize(
    "content",
    ["Zoology on the hillside", "S10100011", "2014-03-06", "5/3/2015", "1002 rows", "120140305"],
)
def test_what_only_looks_like_it_is_not(content: str) -> None:
    assert SECRETS.found_in(content) == set()


def test_every_file_and_every_table_is_a_place(owner: Engine, tmp_path: Path) -> None:
    (tmp_path / "logs" / "deep").mkdir(parents=True)
    (tmp_path / "logs" / "deep" / "attempt=1.txt").write_text("Zoë")
    with owner.begin() as connection:
        connection.execute(text("CREATE SCHEMA other CREATE TABLE notes (id int, content jsonb, raw bytea)"))
        connection.execute(text("INSERT INTO other.notes VALUES (1, '{\"a\": \"S1010001\"}', 'Hill')"))
    hits = {place: SECRETS.found_in(content) for place, content in places(owner, tmp_path)}
    assert {place: found for place, found in hits.items() if found} == {
        "logs/deep/attempt=1.txt": {"zoë"},
        "table other.notes": {"s1010001", "hill"},
    }
    assert len(hits) > 30

"""A file holds every value exactly, and a file that does not is reported from one that does."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    Time,
    insert,
    select,
)

from rollover.archive import parquet
from rollover.archive.form import Content
from rollover.archive.sent import LINE, blocks, content_of
from rollover.database.checksums import NOTHING, RowsChecksum, rows_checksum
from rollover.database.tables import metadata
from rollover.errors import ProofFailed
from tests.support.sampling import cases

SCHOOL = 'north, "old"'

# One column of each type that a table of the archive has.
EVERY_TYPE = Table(
    "every_type",
    MetaData(),
    Column("school_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("number", BigInteger),
    Column("small", Integer),
    Column("score", Numeric(5, 2)),
    Column("at", DateTime(timezone=True)),
    Column("day", Date),
    Column("bell", Time),
    Column("yes", Boolean),
    Column("said", Text),
    PrimaryKeyConstraint("school_id", "key"),
    prefixes=["TEMPORARY"],
)

words = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12) | st.sampled_from(
    ["", " ", '"', '""', ",", "\n", "\r\n", "\\N", "\\.", "NULL", "null", "t", "1", "é\u2028", "\ufeff", "'"]
)
whole = datetime(1900, 1, 1), datetime(2200, 1, 1)
values = st.fixed_dictionaries(
    {
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "small": st.none() | st.integers(-(2**31), 2**31 - 1),
        "score": st.none() | st.decimals(Decimal("-999.99"), Decimal("999.99"), places=2),
        "at": st.none() | st.datetimes(*whole, timezones=st.just(UTC)),
        "day": st.none() | st.dates(date(1, 1, 1), date(9999, 12, 31)),
        "bell": st.none() | st.times(),
        "yes": st.none() | st.booleans(),
        "said": st.none() | words,
    }
)
rows_of_a_table = st.dictionaries(words, values, min_size=1, max_size=6).map(
    lambda found: [{"school_id": SCHOOL, "key": key, **row} for key, row in found.items()]
)


@pytest.fixture
def connection(owner: Engine) -> Any:
    with owner.connect() as connection:
        EVERY_TYPE.create(connection)
        yield connection


def fill(connection: Connection, rows: list[dict[str, Any]]) -> None:
    connection.exec_driver_sql("TRUNCATE every_type")
    connection.execute(insert(EVERY_TYPE), [{"school_id": SCHOOL, **row} for row in rows])


def written(connection: Connection, school_id: str = SCHOOL) -> tuple[Content, bytes]:
    [(school, content, stream)] = written_apart(connection, school_id)
    assert school == school_id
    return content, stream


def written_apart(connection: Connection, *schools: str) -> list[tuple[str, Content, bytes]]:
    streams = {school: io.BytesIO() for school in schools}
    writers = {school: parquet.Writer(EVERY_TYPE, {"school_id": school}, streams[school]) for school in schools}
    sent = dict.fromkeys(schools, NOTHING)
    for block in blocks(connection, EVERY_TYPE, schools, "t.school_id = ANY(%(s)s)", {"s": list(schools)}):
        writers[block.school_id].add(block.lines)
        sent[block.school_id] += block.rows_checksum
    for school, found in sent.items():
        assert found == rows_checksum(connection, EVERY_TYPE, "t.school_id = %(school)s", {"school": school})
    return [(school, writers[school].close(), streams[school].getvalue()) for school in schools]


several = settings(
    max_examples=cases(40, 2000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@several
@given(rows_of_a_table)
def test_every_value_comes_back(connection: Connection, rows: list[dict[str, Any]]) -> None:
    fill(connection, rows)
    sent, content = written(connection)
    assert parquet.read(EVERY_TYPE, io.BytesIO(content)).content == sent
    assert sent.rows == len(rows)
    assert pq.read_table(io.BytesIO(content)).to_pylist() == rows, "as any reader of Parquet sees it"

    connection.exec_driver_sql("CREATE TEMPORARY TABLE put_back (LIKE every_type)")
    connection.exec_driver_sql(f"ALTER TABLE put_back ADD {LINE} bigint GENERATED ALWAYS AS IDENTITY")
    parquet.copy_in(connection, EVERY_TYPE, io.BytesIO(content), "put_back")
    assert content_of(connection, EVERY_TYPE, "put_back") == sent
    live = rows_checksum(connection, EVERY_TYPE)
    assert rows_checksum(connection, EVERY_TYPE, relation="put_back") == live
    connection.exec_driver_sql(f"ALTER TABLE put_back DROP {LINE}")
    unlike = connection.exec_driver_sql("SELECT count(*) FROM (TABLE put_back EXCEPT TABLE every_type) d").scalar()
    assert unlike == 0
    connection.exec_driver_sql("DROP TABLE put_back")


@several
@given(rows_of_a_table, st.data())
def test_another_value_is_another_content_and_checksum(
    connection: Connection, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    fill(connection, rows)
    sent, _ = written(connection)
    live = rows_checksum(connection, EVERY_TYPE)
    row = data.draw(st.sampled_from(rows))
    name = data.draw(st.sampled_from([column.name for column in list(EVERY_TYPE.columns)[2:]]))
    value = data.draw(values.map(lambda found: found[name]).filter(lambda found: found != row[name]))
    changed = [{**other, name: value} if other is row else other for other in rows]
    fill(connection, changed)
    assert rows_checksum(connection, EVERY_TYPE) != live
    assert written(connection)[0] != sent
    # A file of these rows but for one value, as a bad writer would leave it.
    schema = parquet.arrow_schema(EVERY_TYPE)
    stream = io.BytesIO()
    in_order = sorted(changed, key=lambda found: found["key"].encode())
    pq.write_table(pa.Table.from_pylist(in_order, schema=schema), stream)
    assert parquet.read(EVERY_TYPE, stream).content != sent


def test_rows_that_exchange_a_value_have_another_checksum(connection: Connection) -> None:
    def found(*rows: tuple[str, int, str]) -> RowsChecksum:
        fill(connection, [{"key": key, "small": small, "said": said} for key, small, said in rows])
        return rows_checksum(connection, EVERY_TYPE)

    live = found(("a", 1, "x"), ("b", 2, "y"))
    assert found(("b", 2, "y"), ("a", 1, "x")) == live, "in another order"
    assert found(("a", 2, "x"), ("b", 1, "y")) != live
    assert found(("a", 1, "y"), ("b", 2, "x")) != live
    assert found(("a", 2, "y"), ("b", 1, "x")) != live


def test_blocks_do_not_show(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(connection, [{"key": f"{n:03}", "number": n, "said": 'a\n"b",' * n} for n in range(50)])
    sent, content = written(connection)
    monkeypatch.setattr("rollover.archive.sent.BLOCK_BYTES", 400)
    small, parts = written(connection)
    assert small == sent
    assert pq.ParquetFile(io.BytesIO(parts)).num_row_groups > 5
    assert parquet.read(EVERY_TYPE, io.BytesIO(parts)).content == sent
    assert pq.ParquetFile(io.BytesIO(content)).num_row_groups == 1


def test_schools_are_reported_apart_whatever_their_ids_are(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollover.archive.sent.BLOCK_BYTES", 100)
    schools = ("a", "a,b", 'a",b', 'a"', "", "1", "a\nb")
    fill(connection, [{"school_id": schools[n % 7], "key": f"{n:03}", "said": 'x\n"y",' * (n % 3)} for n in range(99)])
    for n, (school, content, stream) in enumerate(written_apart(connection, *schools)):
        rows = pq.read_table(io.BytesIO(stream)).to_pylist()
        assert [(row["school_id"], row["key"]) for row in rows] == [(school, f"{n:03}") for n in range(n, 99, 7)]
        assert parquet.read(EVERY_TYPE, io.BytesIO(stream)).content == content


def test_a_row_of_another_school_does_not_pass_unseen(connection: Connection) -> None:
    fill(connection, [{"school_id": school, "key": "k"} for school in "ab"])
    with pytest.raises(ProofFailed, match="of none of the schools"):
        list(blocks(connection, EVERY_TYPE, ["a"], "true", {}))


def test_the_school_is_part_of_the_content(connection: Connection) -> None:
    fill(connection, [{"school_id": school, "key": "k"} for school in "ab"])
    [(_, of_a, _), (_, of_b, stream)] = written_apart(connection, "a", "b")
    assert of_a.rows == of_b.rows == 1 and of_a != of_b
    rows = pq.read_table(io.BytesIO(stream))
    mixed = io.BytesIO()
    pq.write_table(pa.concat_tables([rows, rows.set_column(0, "school_id", [["a"]])]), mixed)
    assert parquet.read(EVERY_TYPE, mixed).content.rows == 0, "a file of two schools has no content"
    connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE put_back AS SELECT *, 1 AS line_of_file FROM every_type WHERE school_id = 'b'"
    )
    assert content_of(connection, EVERY_TYPE, "put_back") == of_b
    connection.exec_driver_sql("UPDATE put_back SET school_id = 'a'")
    assert content_of(connection, EVERY_TYPE, "put_back") == of_a
    connection.exec_driver_sql("DROP TABLE put_back")


def test_a_value_that_cannot_be_kept_is_refused_and_not_named(connection: Connection) -> None:
    fill(connection, [{"key": "a"}])
    connection.exec_driver_sql("UPDATE every_type SET score = 'NaN'")
    with pytest.raises(ProofFailed, match="a value that its column cannot") as refused:
        written(connection)
    assert "NaN" not in str(refused.value)


def test_ranges_are_of_numbered_ids_and_times_only(connection: Connection) -> None:
    instants = [datetime(2025, 9, 1, 8, tzinfo=UTC), datetime(2026, 5, 1, 8, tzinfo=UTC)]
    rows = [
        {"key": str(n), "number": n + 5, "small": 1, "at": at, "day": at.date(), "bell": time(8), "said": "Zoe"}
        for n, at in enumerate(instants)
    ]
    fill(connection, rows)
    reported = parquet.read(EVERY_TYPE, io.BytesIO(written(connection)[1]), ["said"])
    assert reported.ranges == {"number": (5, 6), "at": tuple(instants), "day": tuple(at.date() for at in instants)}
    assert reported.named == {"Zoe"}


def test_every_table_of_a_product_has_a_form() -> None:
    tables = [table for table in metadata.tables.values() if table.info.get("data_class") not in (None, "roster")]
    assert len(tables) > 20
    for table in tables:
        assert parquet.arrow_schema(table).names == [column.name for column in select(table).selected_columns]

"""SQL over archived years: as rows were, whichever year and district, and nothing but reading."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from sqlalchemy import Engine, insert, update
from upath import UPath

from rollover import cli
from rollover.archive import manifest as manifests
from rollover.archive.keys import Keys
from rollover.archive.query import archived, as_csv, ask, without_values
from rollover.database.tables import hero
from rollover.errors import Refused
from rollover.run import Run
from rollover.tenant import Tenant
from rollover.yearend import steps
from tests.archive.conftest import subscribe_all, until_archived
from tests.support.district_file import DISTRICT
from tests.support.sampling import others_slow
from tests.support.small_district import NORTH, YEAR, add_hero, district, hero_world, run_of
from tests.yearend.test_rollover_steps import answer_to, certify, no_outbox

PLAIN = Keys(None)


@pytest.fixture
def two_districts(owner: Engine, engine: Engine, storage: UPath) -> Run:
    """Riverside's current and last year, Lakeside's current year."""
    hero_world(owner)
    subscribe_all(owner)
    run = run_of(engine, storage)
    with owner.begin() as connection:
        add_hero(connection, run.tenant.id, YEAR.previous)
    past = replace(run, school_year=YEAR.previous)
    until_archived(past)
    steps.erase(past)
    steps.verify_reset(past)
    certify(past)
    until_archived(run)
    until_archived(run_of(engine, storage, tenant=Tenant("hero", "lakeside-ca"), district=district("lakeside-ca")))
    return run


def answers(storage: UPath, sql: str, keys: Keys = PLAIN, **years: str) -> list[tuple[object, ...]]:
    with archived(manifests.newest(storage, **years), keys) as connection:
        return ask(connection, sql).fetchall()


def test_years_and_districts_are_asked_together(two_districts: Run) -> None:
    counted = "SELECT tenant_id, school_year, count(*) FROM hero.tracking_events GROUP BY ALL ORDER BY ALL"
    assert answers(two_districts.storage, counted) == [
        ("hero__lakeside-ca", "2025-26", 20),
        ("hero__riverside-ca", "2024-25", 20),
        ("hero__riverside-ca", "2025-26", 20),
    ]
    of_one = {"district": "riverside-ca", "year": "2024-25"}
    assert answers(two_districts.storage, counted, **of_one) == [("hero__riverside-ca", "2024-25", 20)]
    joined = """
        SELECT s.name, p.family_name, c.name, count(*) FROM tracking_events e
        JOIN schools s USING (tenant_id, school_year, school_id)
        JOIN people p ON (p.tenant_id, p.school_year, p.sourced_id) = (e.tenant_id, e.school_year, e.student_id)
        JOIN behavior_codes c USING (tenant_id, school_year, code_id) GROUP BY ALL ORDER BY ALL
    """
    assert answers(two_districts.storage, joined) == [
        ("North School", "Zebrowski", "Kindness", 36),
        ("South School", "Zebrowski", "Kindness", 24),
    ]


def test_values_are_as_they_were(run: Run) -> None:
    until_archived(run)
    columns = "location, comment, occurred_at::VARCHAR, points"
    found = answers(run.storage, f"SELECT {columns} FROM tracking_events WHERE event_id IN (1, 2) ORDER BY 3")
    assert found == [
        ('Hall, "B"\nwing', "", "2026-03-02 18:30:00+00", 5),
        ('Hall, "B"\nwing', None, "2026-03-03 18:30:00+00", 5),
    ]


def test_what_was_bound_twice_is_there_once(run: Run, owner: Engine) -> None:
    until_archived(run)
    steps.erase(run)
    steps.reset(run)
    with owner.begin() as connection:
        late = {"tenant_id": run.tenant.id, "school_year": YEAR.key, "school_id": NORTH, "student_id": "n1"}
        more = {"entry_id": 99, "kind": "earned", "points": 5, "entered_at": run.reset_at}
        connection.execute(insert(hero.points_ledger).values(**late, **more))
        connection.execute(update(hero.behavior_codes).values(name="Renamed"))
    plan = steps.plan(run)
    steps.export_reports(run, no_outbox)
    steps.approve(run, answer_to(plan))
    steps.archive(run)
    assert answers(run.storage, "SELECT count(*) FROM points_ledger") == [(21,)]
    assert answers(run.storage, "SELECT name FROM behavior_codes ORDER BY code_id") == [("Kindness",)] * 2
    assert answers(run.storage, "SELECT count(*) FROM people") == [(5,)]


def test_an_archive_may_lie_anywhere_that_fsspec_reaches(run: Run) -> None:
    until_archived(run)
    far = UPath("memory://bucket/storage")
    for path in Path(run.storage.path).rglob("archive/**/*"):
        if path.is_file():
            target = far / str(path.relative_to(run.storage.path))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert answers(far, "SELECT count(*) FROM tracking_events") == [(20,)]
    assert answers(far, "SELECT count(*) FROM people") == [(5,)]


@pytest.mark.parametrize(
    "sql",
    others_slow(
        [
            "COPY (SELECT 1) TO '{out}'",
            "EXPLAIN ANALYZE SELECT 1",
            "CREATE TABLE t AS SELECT 1",
            "SELECT 1; SELECT 2",
            "ATTACH '{out}'",
            "DROP VIEW hero.tracking_events",
            "",
        ],
        4,
    ),
)
def test_nothing_but_one_select_is_run(run: Run, tmp_path: Path, sql: str) -> None:
    until_archived(run)
    with pytest.raises(Refused, match="not one SELECT"):
        answers(run.storage, sql.format(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


ELSEWHERE = (
    "read_csv('{secret}')",
    "read_text('{secret}')",
    "read_blob('{secret}')",
    "read_json('{secret}')",
    "'{secret}'",
    "sniff_csv('{secret}')",
    "read_text('{storage}/archive/../../secret.csv')",
    "glob('{storage}/*')",
    "glob('/proc/self/*')",
    "read_text('/proc/self/environ')",
    "read_parquet('{other}')",
    "parquet_metadata('{other}')",
    "read_parquet('{own_folder}/../../lakeside-ca/2025-26/*/*.parquet')",
    "read_parquet('{storage}/archive/hero/*/*/*/*.parquet')",
    "read_text('https://127.0.0.1/x')",
    "read_parquet('s3://bucket/x.parquet')",
    "read_text('{here}')",
    "duckdb_secrets()",
    "sqlite_scan('{secret}', 'x')",
    "enable_logging(storage = 'file', storage_path = '{out}')",
    "enable_profiling(save_location = '{out}')",
    "(SELECT getenv('HOME'))",
    "query('SELECT * FROM read_text(''{secret}'')')",
    "json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{secret}'')'))",
    "words",
    "query($$COPY (SELECT 1) TO '{out}'$$)",
)


def test_a_query_reads_the_chosen_files_and_nothing_else(two_districts: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nopensesame\n")
    storage = Path(two_districts.storage.path)
    others = sorted(storage.glob("archive/hero/lakeside-ca/2025-26/**/*.parquet"))
    own = sorted(storage.glob("archive/hero/riverside-ca/2025-26/**/*.parquet"))
    assert own and others
    places = {
        "secret": secret,
        "storage": storage,
        "other": others[0],
        "own_folder": storage / "archive/hero/riverside-ca/2025-26",
        "out": tmp_path / "out",
        "here": Path(__file__),
    }
    words = pa.table({"word": ["opensesame"]})  # a variable that DuckDB would take for a table
    with archived(manifests.newest(two_districts.storage, district="riverside-ca"), PLAIN) as connection:
        assert ask(connection, f"SELECT count(*) FROM read_parquet('{own[0]}')").fetchall()  # a file that was chosen
        for place in ELSEWHERE:
            with pytest.raises(Refused), without_values():
                ask(connection, f"SELECT * FROM {place.format(**places)}").fetchall()
                pytest.fail(f"{place} was read")
        with pytest.raises(duckdb.CatalogException):
            connection.sql("SELECT * FROM words")
        listed = ask(connection, "SELECT sql FROM duckdb_views()").fetchall()
        assert listed and "lakeside" not in str(listed)
        for change in ("SET threads = 1", "SET enable_external_access = true", "SET allowed_paths = ['/etc/passwd']"):
            with pytest.raises(duckdb.Error, match="locked"):
                connection.execute(change)
        for leak in ("COPY (SELECT 1) TO '{out}'", "ATTACH '{out}'", "INSTALL httpfs", "LOAD httpfs"):
            with pytest.raises(duckdb.Error):
                connection.execute(leak.format(out=tmp_path / "out"))
    assert words.num_rows == 1 and not (tmp_path / "out").exists()


def test_the_csv_of_a_query_holds_no_formula(run: Run) -> None:
    until_archived(run)
    sql = "SELECT '=1+1' AS a, '-x' AS \"@b\", -5 AS n, -1.5::DECIMAL(4,1) AS d, NULL::VARCHAR AS e, ['=1'] AS l"
    with archived(manifests.newest(run.storage), PLAIN) as connection:
        rows = as_csv(ask(connection, sql)).read_all().to_pylist()
    assert rows == [{"a": "'=1+1", "'@b": "'-x", "n": "-5", "d": "-1.5", "e": None, "l": "['=1']"}]


def test_a_query_that_is_wrong_is_said_so(run: Run) -> None:
    until_archived(run)
    for sql in ("SELEC 1", "SELECT nothing FROM tracking_events", "SELECT * FROM nowhere"):
        with pytest.raises(Refused, match="DuckDB says"):
            answers(run.storage, sql)


def test_without_archives_there_is_nothing_to_ask(storage: UPath) -> None:
    with pytest.raises(Refused, match="No archived year fits"):
        answers(storage, "SELECT 1")


@pytest.fixture
def archive_command(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    until_archived(run)
    folder = tmp_path / "districts"
    folder.mkdir()
    (folder / "riverside-ca.yaml").write_text(DISTRICT)
    monkeypatch.setenv("ROLLOVER_STORAGE", str(run.storage))
    monkeypatch.setenv("ROLLOVER_DISTRICTS", str(folder))
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", run.engine.url.render_as_string(hide_password=False))
    return lambda *arguments: cli.main(["archive", *arguments])


def test_the_commands(
    archive_command,
    run: Run,
    owner: Engine,
    login_of: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfdbinary,  # type: ignore[no-untyped-def]
) -> None:
    def said() -> str:
        return capfdbinary.readouterr().out.decode()

    assert archive_command("list") == 0
    listed = said()
    assert "hero__riverside-ca" in listed and "2025-26" in listed and "45 rows" in listed and "2 schools" in listed
    assert archive_command("list", "lakeside-ca") == 2 and said() == ""  # no file and no archive has it

    sql = "SELECT event_id, location, comment, [1] AS list FROM tracking_events ORDER BY event_id"
    assert archive_command("query", sql, "--csv", "--district", "riverside-ca", "--year", "2025-26") == 0
    lines = list(csv.DictReader(io.StringIO(said(), newline="")))
    assert len(lines) == 20
    assert lines[0] == {"event_id": "1", "location": 'Hall, "B"\nwing', "comment": "", "list": "[1]"}
    assert archive_command("query", "SELECT count(*) AS events FROM tracking_events") == 0
    assert "events" in (table := said()) and "20" in table
    assert archive_command("query", "SELECT location::INTEGER FROM tracking_events") == 1
    failed = capfdbinary.readouterr().err.decode()
    assert "ConversionException" in failed and "wing" not in failed
    assert archive_command("query", "SELECT 1", "--year", "2025") == 2

    assert archive_command("report", "behavior_history", "hero__riverside-ca", "2025-26") == 0
    exports = Path(run.storage.path) / "exports" / "hero" / "riverside-ca" / "2025-26"
    made = (exports / "from_archive" / "behavior_history.csv").read_bytes()
    assert made == (exports / "behavior_history.csv").read_bytes()
    target = tmp_path / "mine"
    assert archive_command("report", "schoolwide_points", "hero__riverside-ca", "2025-26", "--out", str(target)) == 0
    assert (target / "schoolwide_points.csv").read_bytes() == (exports / "schoolwide_points.csv").read_bytes()
    assert archive_command("report", "nothing", "hero__riverside-ca", "2025-26") == 2

    back = ("restore", "hero__riverside-ca", "2025-26", "--reason", "asked")
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", login_of("dana"))
    assert archive_command(*back, "--live") == 1
    steps.erase(run)
    said()
    assert archive_command(*back, "--live") == 0
    assert "hero.tracking_events: 20 rows" in said()
    monkeypatch.setenv("ROLLOVER_DATABASE_URL", owner.url.render_as_string(hide_password=False))
    assert archive_command(*back, "--into", "asked") == 0
    assert "roster.people: 5 rows" in said()

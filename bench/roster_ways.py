"""Runs one way of bringing a roster set into PostgreSQL: ours, what a user would otherwise do, or a limit.

``python -m bench.roster_ways`` does one piece of work in a process of its own: the job comes as JSON on standard input
and the answer goes to standard output, the seconds of each step and what was found in the database afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from bench.measure import Clock
from bench.roster_files import ENDS, FILES, MANIFEST, YEAR

FIRST, SAME, CHANGED = "first", "same", "changed"
BLOCK_BYTES = 2**18
FILES_CHANGED = int(datetime(ENDS - 1, 10, 9, tzinfo=UTC).timestamp())
"""When the district last wrote the files, within their school year."""
DLT_SETTINGS = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    # It would ask Airflow for variables.
    "PROVIDERS__ENABLE_AIRFLOW_SECRETS": "false",
}
ACCOUNTS = "of which accounts"
STEPS = ("hash", "stage", "validate", "compare", "apply", ACCOUNTS)
"""Of Rollover; a step's part comes after it."""


@dataclass(frozen=True)
class Job:
    """A set to bring in, and where to."""

    way: str
    phase: str
    files: str
    """The folder of the set."""
    work: str
    """A folder that the way keeps from one phase to the next."""
    database: str
    """The URL of its own database, as the superuser."""
    login: str
    """The same, as the role that Rollover works with."""
    tenant_id: str


def main() -> None:
    job = Job(**json.load(sys.stdin))
    clock = Clock()
    found = WAYS[job.way](job, clock)
    print(json.dumps({"found": found, **asdict(clock)}))


# Rollover


def rollover(job: Job, clock: Clock) -> dict[str, Any]:
    """Every step of an import but the transfer, whose hash of the files is counted all the same."""
    from upath import UPath

    from rollover.config import TenantConfig
    from rollover.database.session import connect
    from rollover.lint import load_catalog
    from rollover.roster.applying import merge
    from rollover.roster.applying.apply import apply
    from rollover.roster.comparing.compare import compare
    from rollover.roster.reading.stage import stage
    from rollover.roster.validating.validate import validate
    from rollover.settings import Settings

    config = TenantConfig.model_validate({"first_school_year": YEAR, "folder": "/bench-xx", "roster_import": "nightly"})
    product = load_catalog(Settings().districts, Settings().products).products[job.tenant_id.split("__")[0]]
    engine, storage = connect(job.login), UPath(f"file://{job.work}/storage")
    given = (engine, job.tenant_id, _as_fetched(engine, storage, job, clock), storage)
    with clock.time("stage"):
        stage(*given, config)
    with clock.time("validate"):
        validate(*given, time_zone="America/Chicago")
    with clock.time("compare"):
        compare(*given, product.limits_of(config))
    with _timed(merge, "provision", clock, ACCOUNTS), clock.time("apply"):
        result = apply(*given, product.limits_of(config), rollover_id=None)
    details = result.found.details
    if not result.applied or any(details.errors.values()) or any(details.warnings.values()):
        raise RuntimeError(f"the set was not applied, or breaks a rule: {result}")
    return {"rows": details.rows, "changes": details.changes, "provisioned": details.applied.provisioned}


@contextmanager
def _timed(module: Any, function: str, clock: Clock, name: str) -> Iterator[None]:
    """Time what a step calls."""
    original = getattr(module, function)

    def timed(*args: Any, **named: Any) -> Any:
        with clock.time(name):
            return original(*args, **named)

    setattr(module, function, timed)
    yield
    setattr(module, function, original)


def _as_fetched(engine: Any, storage: Any, job: Job, clock: Clock) -> str:
    """Put the files and the ledger's rows where a fetch leaves them, and return the import's id. The hash is timed."""
    from rollover.database.session import tenant_session
    from rollover.roster import imports
    from rollover.roster.imports.details import Fetched, FetchedFile
    from rollover.roster.imports.files import fetched_folder
    from rollover.sftp.drops import Candidate, RemoteFile, record

    number = len(list(Path(job.work).glob("storage/imports/*")))
    names = sorted((MANIFEST, *FILES))
    sizes = {name: (Path(job.files) / name).stat().st_size for name in names}
    drop = Candidate(tuple(RemoteFile(name, sizes[name], FILES_CHANGED + number) for name in names), done=True)
    with tenant_session(engine, job.tenant_id) as connection:
        import_id = record(connection, job.tenant_id, "/bench-xx", drop)
    assert import_id is not None
    folder = Path(fetched_folder(storage, import_id).path)
    folder.mkdir(parents=True)
    for name in names:
        shutil.copyfile(Path(job.files) / name, folder / name)
    with clock.time("hash"):
        files = {name: FetchedFile(bytes=sizes[name], sha256=_digest(folder / name)) for name in names}
    whole = hashlib.sha256("".join(f"{name} {file.sha256}\n" for name, file in files.items()).encode())
    details = imports.ImportDetails(fetched=Fetched(files=files))
    with tenant_session(engine, job.tenant_id) as connection:
        found, fetched = imports.load(connection, import_id), imports.ImportState.FETCHED
        imports.advance(connection, found, fetched, sha256=whole.hexdigest(), details=details)
    return import_id


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# Limits


def raw_copy(job: Job, clock: Clock) -> dict[str, Any]:
    """COPY into unlogged tables of text: the least that a database can do with a file."""
    text = {name: dict.fromkeys(columns, "text") for name, columns in FILES.items()}
    return _copy_all(job, clock, "UNLOGGED", text, Path(job.files), key=False)


def keyed_copy(job: Job, clock: Clock) -> dict[str, Any]:
    """COPY into logged tables with types and a primary key, which checks nothing else."""
    return _copy_all(job, clock, "", FILES, Path(job.files), key=True)


def sorted_copy(job: Job, clock: Clock) -> dict[str, Any]:
    """The same, of files in the order of the key, byte by byte, as the local server's collation has it."""
    import polars as pl

    for name in FILES:
        frame = pl.read_csv(Path(job.files) / name, infer_schema=False)
        frame.sort("sourcedId").write_csv(Path(job.work) / name)
    return _copy_all(job, clock, "", FILES, Path(job.work), key=True)


def _copy_all(
    job: Job, clock: Clock, kind: str, tables: dict[str, dict[str, str]], folder: Path, *, key: bool
) -> dict[str, Any]:
    with psycopg.connect(_conninfo(job)) as connection:
        for name, columns in tables.items():
            _create(connection, kind, _table(name), columns, key=key)
        connection.commit()
        with clock.time("COPY"):
            for name in tables:
                _copy(connection, folder / name, _table(name))
            connection.commit()
        return _counts(connection)


# Peers


def copy_upsert(job: Job, clock: Clock) -> dict[str, Any]:
    """COPY into a temporary table, then INSERT ... ON CONFLICT: quick, and blind to what is no longer sent."""
    with psycopg.connect(_conninfo(job)) as connection:
        if job.phase == FIRST:
            for name, columns in FILES.items():
                _create(connection, "", _table(name), columns, key=True)
            connection.commit()
        with clock.time("COPY + upsert"):
            for name, columns in FILES.items():
                _create(connection, "TEMPORARY", "incoming", columns, key=False)
                _copy(connection, Path(job.files) / name, "incoming")
                connection.execute(_upsert(_table(name), columns))
                connection.execute("DROP TABLE incoming")
            connection.commit()
        return _counts(connection)


def _upsert(table: str, columns: dict[str, str]) -> sql.Composed:
    changed = [sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in columns if name != "sourcedId"]
    return sql.SQL('INSERT INTO {} SELECT * FROM incoming ON CONFLICT ("sourcedId") DO UPDATE SET {}').format(
        sql.Identifier(table), sql.SQL(", ").join(changed)
    )


def pandas_to_sql(job: Job, clock: Clock) -> dict[str, Any]:
    """read_csv and to_sql in chunks, replacing the tables, and the key added at the end."""
    import pandas as pd
    import sqlalchemy as sa

    kinds = {"date": sa.Date(), "boolean": sa.Boolean(), "timestamptz": sa.DateTime(timezone=True)}
    engine = sa.create_engine(job.database)
    with clock.time("read_csv + to_sql"):
        for name, columns in FILES.items():
            dates = [column for column, kind in columns.items() if kind == "date"]
            read = {"text": "str", "boolean": "boolean", "timestamptz": "str", "integer": "Int64"}
            chunks = pd.read_csv(
                Path(job.files) / name,
                dtype={column: read[kind] for column, kind in columns.items() if kind in read},
                parse_dates=dates,
                chunksize=50_000,
            )
            typed = {column: kinds.get(kind, sa.Text()) for column, kind in columns.items() if kind != "integer"}
            for number, chunk in enumerate(chunks):
                exists: Literal["append", "replace"] = "append" if number else "replace"
                chunk.to_sql(_table(name), engine, if_exists=exists, index=False, dtype=typed)
    with psycopg.connect(_conninfo(job)) as connection:
        with clock.time("key"):
            _add_keys(connection)
        return _counts(connection)


def polars_adbc(job: Job, clock: Clock) -> dict[str, Any]:
    """polars' read_csv and write_database over ADBC, replacing the tables, and the key added at the end."""
    import adbc_driver_postgresql.dbapi  # noqa: F401 - polars would import it while the clock runs
    import polars as pl

    kinds = {"date": pl.Date, "boolean": pl.Boolean, "integer": pl.Int32}
    uri = make_url(job.database).set(drivername="postgresql").render_as_string()
    with clock.time("read_csv + write_database"):
        for name, columns in FILES.items():
            types = {column: kinds.get(kind, pl.String) for column, kind in columns.items()}
            frame = pl.read_csv(Path(job.files) / name, schema=types)
            frame.write_database(_table(name), uri, engine="adbc", if_table_exists="replace")
    with psycopg.connect(_conninfo(job)) as connection:
        with clock.time("key"):
            _add_keys(connection)
        return _counts(connection)


def dlt_merge(job: Job, clock: Clock) -> dict[str, Any]:
    """dlt's merge with the upsert strategy, fed with Arrow and loaded as Parquet over ADBC: its fast path."""
    os.environ |= DLT_SETTINGS
    import dlt
    import pyarrow as pa
    from pyarrow import csv

    kinds = {
        "date": pa.date32(),
        "boolean": pa.bool_(),
        "integer": pa.int32(),
        "timestamptz": pa.timestamp("us", "UTC"),
    }

    def rows(name: str) -> Any:
        types = {column: kinds.get(kind, pa.string()) for column, kind in FILES[name].items()}
        convert = csv.ConvertOptions(column_types=types, strings_can_be_null=True)
        yield from csv.open_csv(Path(job.files) / name, convert_options=convert)

    pipeline = dlt.pipeline(
        "roster",
        pipelines_dir=f"{job.work}/pipelines",
        destination=dlt.destinations.postgres(_with_host(job)),
        dataset_name="public",
    )
    resources = [
        dlt.resource(
            rows,
            name=_table(name),
            primary_key="sourcedId",
            write_disposition={"disposition": "merge", "strategy": "upsert"},
        )(name)
        for name in FILES
    ]
    with clock.time("dlt run"):
        pipeline.run(resources, loader_file_format="parquet")
    with psycopg.connect(_conninfo(job)) as connection:
        if job.phase == FIRST:
            with clock.time("key"):
                _add_keys(connection, key="sourced_id")
        return _counts(connection)


WAYS: dict[str, Callable[[Job, Clock], dict[str, Any]]] = {
    way.__name__: way
    for way in (rollover, raw_copy, keyed_copy, sorted_copy, copy_upsert, pandas_to_sql, polars_adbc, dlt_merge)
}


# What the ways share


def _table(name: str) -> str:
    """In the spelling that every way gives a table."""
    return {"academicSessions.csv": "academic_sessions"}.get(name, name.removesuffix(".csv"))


def _conninfo(job: Job) -> str:
    return make_url(job.database).set(drivername="postgresql").render_as_string()


def _with_host(job: Job) -> str:
    """dlt wants a host and a password; libpq takes the host that the query names, the server's socket."""
    url = make_url(job.database).set(drivername="postgresql", host="localhost", password="none")  # noqa: S106
    return url.render_as_string(hide_password=False)


def _create(connection: psycopg.Connection[Any], kind: str, table: str, columns: dict[str, str], *, key: bool) -> None:
    listed: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(of)) for name, of in columns.items()
    ]
    listed += [sql.SQL('PRIMARY KEY ("sourcedId")')] if key else []
    statement = sql.SQL("CREATE {} TABLE {} ({})")
    connection.execute(statement.format(sql.SQL(kind), sql.Identifier(table), sql.SQL(", ").join(listed)))


def _copy(connection: psycopg.Connection[Any], path: Path, table: str) -> None:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER true)").format(sql.Identifier(table))
    with path.open("rb") as stream, connection.cursor() as cursor, cursor.copy(statement) as copy:
        while block := stream.read(BLOCK_BYTES):
            copy.write(block)


def _add_keys(connection: psycopg.Connection[Any], key: str = "sourcedId") -> None:
    for name in FILES:
        statement = sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})")
        connection.execute(statement.format(sql.Identifier(_table(name)), sql.Identifier(key)))
    connection.commit()


def _counts(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The rows that each table holds, by file."""
    query = sql.SQL("SELECT count(*) FROM {}")
    found = {}
    for name in FILES:
        row = connection.execute(query.format(sql.Identifier(_table(name)))).fetchone()
        assert row is not None
        found[name] = int(row[0])
    return {"rows": found}


if __name__ == "__main__":
    main()

"""Searches every place where data of a tenant's school year may still be after it was erased.

Each search returns what it found beyond what the certificate names as kept; together they must find nothing. It
runs before the certificate and at any time later, and changes nothing. Rows and files are found by the ledger and by
their names. In Airflow's database it looks for the logins, addresses, ids and full names of the people in the roster,
those marked for deletion included. A person who left the roster for good cannot be recognized there any more: ask
before the grace period is over.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sqlalchemy import Connection, Engine, select, text

from rollover.database.tables.ledger import imports
from rollover.database.tables.roster import people
from rollover.ledger import artifacts
from rollover.roster.imports.model import TERMINAL
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.storage import TEMPORARY
from rollover.tenant import SEPARATOR
from rollover.yearend import leftovers, stray_files
from rollover.yearend.verify import rows_left

DROPPED = """
    SELECT d.folder || '/' || (file ->> 'name') FROM ledger.drops d
    JOIN ledger.imports i ON i.import_id = d.drop_id, jsonb_array_elements(d.files) AS file
    WHERE i.school_year <= :year
"""
A_DAY = 24 * 3600
"""Temporary files of a task that still runs are younger."""

# A run of a tenant's own DAG, or one that is keyed by the tenant.
OF_THE_TENANT = "(r.dag_id = :dag_id AND r.partition_key = :year) OR r.partition_key = :tenant_id"
AIRFLOW_TEXTS = f"""
    SELECT 'XCom of ' || x.dag_id || ' ' || x.task_id AS place, x.value::text AS said
    FROM xcom x JOIN dag_run r ON r.id = x.dag_run_id WHERE {OF_THE_TENANT}
    UNION ALL
    SELECT 'question of ' || i.dag_id || ' ' || i.task_id, concat_ws(' ', h.subject, h.body, h.params::text,
           h.params_input::text, h.options::text)
    FROM hitl_detail h JOIN task_instance i ON i.id = h.ti_id
    JOIN dag_run r ON r.dag_id = i.dag_id AND r.run_id = i.run_id WHERE {OF_THE_TENANT}
    UNION ALL
    SELECT 'run conf of ' || r.dag_id, r.conf::text FROM dag_run r WHERE {OF_THE_TENANT}
    UNION ALL
    SELECT 'rendered fields of ' || f.dag_id || ' ' || f.task_id, f.rendered_fields::text
    FROM rendered_task_instance_fields f JOIN dag_run r ON r.dag_id = f.dag_id AND r.run_id = f.run_id
    WHERE {OF_THE_TENANT}
"""  # noqa: S608
TOKEN = re.compile(r"[\w.@+-]*\w")
SHORTEST_NUMBER = 7
"""Digits of an id that is searched for: shorter numbers are counts of rows and parts of times."""


@dataclass(frozen=True)
class Residue:
    """What one place still has. `said` names tables, files and numbers, never a person."""

    place: str
    said: str

    def __str__(self) -> str:
        return f"{self.place}: {self.said}"


def in_database(connection: Connection, run: Run) -> Iterator[Residue]:
    """Rows of the year that go, in tables of the product; and what the nightly cleanup should have removed."""
    for name, rows in rows_left(connection, run, current=False).items():
        if rows:
            yield Residue("database", f"{rows} rows of {run.school_year} in {name}")
    for name, number in leftovers.past_their_time(connection, run).items():
        if number:
            yield Residue("past its time", f"{number} of {name}")


def in_storage(connection: Connection, run: Run) -> Iterator[Residue]:
    """Files of the year that belong to no plan that was run, or that nobody recorded; and staged files of imports."""
    for path in artifacts.abandoned(connection, run, artifacts.STORAGE):
        yield Residue("storage", f"{path} belongs to no plan that was run")
    for path in artifacts.unknown_files(connection, run):
        yield Residue("storage", f"nobody knows {path}")
    folder = run.storage / "imports"
    of_year = select(imports.c.import_id).where(
        imports.c.school_year <= run.school_year.key, imports.c.state.in_(TERMINAL)
    )
    known = set(connection.scalars(select(imports.c.import_id)))
    over = set(connection.scalars(of_year))
    for staged in folder.glob(f"{run.tenant.id}{SEPARATOR}*") if folder.exists() else ():
        if staged.name in over or staged.name not in known:
            yield Residue("storage", f"staged files of the import {staged.name}")


def in_outbox(connection: Connection, run: Run, outbox: Outbox) -> Iterator[Residue]:
    """Files of the year on SFTP that belong to no plan that was run, or that nobody recorded."""
    for path in artifacts.abandoned(connection, run, artifacts.OUTBOX):
        yield Residue("outbox", f"{path} belongs to no plan that was run")
    recorded = stray_files.recorded_in_outbox(connection)
    for path in outbox.listing(f"{run.config.outbox}/{run.school_year}"):
        if path not in recorded:
            yield Residue("outbox", f"nobody knows {path}")


def in_airflow(metadata: Engine, connection: Connection, run: Run) -> Iterator[Residue]:
    """XComs, questions, run conf and rendered fields of the tenant's runs that name a person.

    `metadata` is Airflow's own database; `connection` is a session of the tenant.
    """
    tokens, pairs = _people(connection, run)
    asked = {"dag_id": run.tenant.dag_id, "year": run.school_year.key, "tenant_id": run.tenant.id}
    found: dict[str, int] = {}
    with metadata.connect() as airflow:
        for place, said in airflow.execution_options(yield_per=100).execute(text(AIRFLOW_TEXTS), asked):
            if _names_a_person(said or "", tokens, pairs):
                found[place] = found.get(place, 0) + 1
    for place, number in sorted(found.items()):
        yield Residue("Airflow's database", f"{number} texts that name a person: {place}")


def in_temporary_folders(now: float | None = None) -> Iterator[Residue]:
    """What killed tasks left in this machine's temporary folder more than a day ago, of whatever tenant."""
    before = (time.time() if now is None else now) - A_DAY
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*")):
        if path.lstat().st_mtime < before:
            yield Residue("temporary folder", f"{path} was left by a killed task")


def drops_on_sftp(connection: Connection, run: Run, outbox: Outbox) -> list[str]:
    """Files of the year's drops that are still on the district's server. Only the district removes them."""
    listed = set(outbox.listing(run.config.folder))
    dropped = connection.scalars(text(DROPPED), {"year": run.school_year.key})
    return sorted(listed.intersection(dropped))


def _people(connection: Connection, run: Run) -> tuple[set[str], set[tuple[str, str]]]:
    """What identifies the tenant's people in a text, in lower case: words, and pairs of neighboring words."""
    person = people.c
    rows = connection.execute(
        select(
            person.sourced_id, person.username, person.email, person.identifier, person.given_name, person.family_name
        )
    ).all()
    tokens = {value.casefold() for row in rows for value in row[:4] if value}
    pairs = {
        tuple(TOKEN.findall(f"{first} {second}".casefold()))
        for row in rows
        for first, second in ((row.given_name, row.family_name), (row.family_name, row.given_name))
    }
    tokens = {token for token in tokens if not token.isdigit() or len(token) >= SHORTEST_NUMBER}
    return tokens, {(pair[0], pair[1]) for pair in pairs if len(pair) == 2}


def _names_a_person(said: str, tokens: set[str], pairs: set[tuple[str, str]]) -> bool:
    words = TOKEN.findall(said.casefold())
    return not tokens.isdisjoint(words) or not pairs.isdisjoint(pairwise(words))

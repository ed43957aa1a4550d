"""Measures how fast a roster set gets into PostgreSQL, compared with other ways and the limits, in one run.

``make bench ARGS="roster --students 100000"``. Every way works on the same generated files and the same server, in a
process and a database of its own; imports of Python modules are not timed. The ways take turns, all of them once, then
again from the last to the first, with a checkpoint before each piece of work. Only ratios within one run carry over to
another machine. Writes ``var/bench/roster.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from bench.measure import Measured, in_process, machine
from bench.roster_files import FILES, ORG, YEAR
from bench.roster_ways import ACCOUNTS, CHANGED, FIRST, SAME, STEPS, Job
from rollover.database import migrate
from rollover.database.session import connect
from rollover.database.tables import directory
from rollover.settings import HOME
from rollover_demo.postgres import LOGIN, PostgresServer

TEMPLATE = "bench"
DISTRICT = "bench-xx"
PACKAGES = ("polars", "pyarrow", "duckdb", "psycopg", "pandas", "dlt", "adbc-driver-postgresql")
PHASES = (FIRST, SAME, CHANGED)
HEADINGS = {FIRST: "first import", SAME: "same again", CHANGED: "changed"}
OURS, KEYED_COPY = "rollover", "keyed_copy"
MB = 1_000_000
ROOM = 1.15
"""How much more memory a set of several times the size may take and still count as flat: noise of the allocators."""


@dataclass(frozen=True)
class Way:
    """One way to bring in a set, as :mod:`bench.roster_ways` has it, and which imports are measured with it."""

    name: str
    label: str
    phases: tuple[str, ...] = PHASES

    @property
    def is_peer(self) -> bool:
        return self.label.startswith("peer")


WAYS = (
    Way("raw_copy", "limit: COPY into unlogged text tables, nothing checked", (FIRST,)),
    Way(KEYED_COPY, "limit: COPY into logged, typed tables with primary key, nothing else checked", (FIRST,)),
    Way("sorted_copy", "limit: the same, of files sorted by the key beforehand (sorting not timed)", (FIRST,)),
    Way("polars_adbc", "limit: polars + ADBC (binary COPY) into new, typed tables, key added afterwards", (FIRST,)),
    Way(OURS, "Rollover: every check, comparison, history, accounts"),
    Way("copy_upsert", "peer: psycopg COPY + INSERT ON CONFLICT, sees no removals"),
    Way("dlt_merge", "peer: dlt merge (Arrow, upsert), key added once, sees no removals"),
    Way("pandas_to_sql", "peer: pandas read_csv + to_sql, replaces the tables, key added", (FIRST,)),
)


@dataclass
class Results:
    """Everything measured, in the order of measuring."""

    rows: int
    measured: list[tuple[str, str, Measured]] = field(default_factory=list)

    def of(self, way: str, phase: str) -> list[Measured]:
        return [measured for name, its_phase, measured in self.measured if (name, its_phase) == (way, phase)]

    def seconds(self, way: str, phase: str) -> list[float]:
        return [_total(measured) for measured in self.of(way, phase)]

    def peak_bytes(self, way: str) -> int:
        return max(measured.peak_bytes for name, _, measured in self.measured if name == way)

    def ratios(self, slower: tuple[str, str], faster: tuple[str, str]) -> list[float]:
        """How many times faster the second is than the first, of each round."""
        return [slow / fast for slow, fast in zip(self.seconds(*slower), self.seconds(*faster), strict=True)]

    def measured_ways(self) -> list[Way]:
        return [way for way in WAYS if self.of(way.name, FIRST)]


def main() -> None:
    given = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="rollover-bench-"))
    server = PostgresServer(folder / "postgres")
    try:
        _prepare(server, given.product)
        bench = Bench(server, folder, f"{given.product}__{DISTRICT}")
        ways = [way for way in WAYS if not given.only or way.name in given.only]
        results = bench.measure(given.students, given.changed, ways, given.repetitions)
        larger = None
        if given.scale and (ours := [way for way in ways if way.name == OURS]):
            larger = bench.measure(given.students * given.scale, given.changed, ours, 1)
        facts = machine(connect(server.url(TEMPLATE)), PACKAGES)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report = _report(facts, vars(given), results, larger)
    target = HOME / "var" / "bench" / "roster.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2))
    print("\n".join(_table(results, larger, report["asked"])))
    print(f"written to {target.relative_to(HOME)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench roster", description=__doc__)
    parser.add_argument("--students", type=int, default=100_000, help="11.4 rows each, over all files")
    parser.add_argument("--changed", type=float, default=0.02, help="share of rows that the changed set changes")
    parser.add_argument("--repetitions", type=int, default=3, help="the table has the median")
    parser.add_argument("--scale", type=int, default=3, help="times the size for the memory check; 0: without")
    parser.add_argument("--product", default="hero", help="whose accounts are provisioned")
    parser.add_argument("--only", nargs="*", choices=[way.name for way in WAYS], help="these ways only")
    return parser.parse_args()


def _prepare(server: PostgresServer, product: str) -> None:
    """The database that each of ours is a copy of: migrated, with a tenant that has no roster yet."""
    server.create(TEMPLATE)
    owner = connect(server.url(TEMPLATE))
    migrate.upgrade(owner)
    server.create_login()
    with owner.begin() as connection:
        connection.execute(insert(directory.districts).values(district_id=DISTRICT, name="B", org_sourced_id=ORG))
        tenant = {"tenant_id": f"{product}__{DISTRICT}", "district_id": DISTRICT, "product": product}
        connection.execute(insert(directory.tenants).values(**tenant, current_school_year=YEAR))


@dataclass(frozen=True)
class Bench:
    """Where the ways are measured."""

    server: PostgresServer
    folder: Path
    tenant_id: str

    def measure(self, students: int, changed: float, ways: list[Way], repetitions: int) -> Results:
        """Every way on a set of this size, so many times, in turns."""
        sets = self._sets(students, changed)
        rows = {name: _lines(sets[FIRST] / name) - 1 for name in FILES}
        results = Results(sum(rows.values()))
        for repetition in range(repetitions):
            for way in ways if repetition % 2 == 0 else ways[::-1]:
                for phase, measured in self._run(way, sets):
                    if phase == FIRST and measured.answer["found"]["rows"] != rows:
                        raise RuntimeError(f"{way.name} did not bring in the rows of the set")
                    results.measured.append((way.name, phase, measured))
                    print(f"  {way.name} {HEADINGS[phase]}: {_total(measured):.2f} s", file=sys.stderr, flush=True)
        shutil.rmtree(sets[FIRST].parent)
        return results

    def _sets(self, students: int, changed: float) -> dict[str, Path]:
        """The folder of the set of each import, made in another process to keep this one small."""
        folder = self.folder / f"sets-{students}"
        for name, share in (("first", 0.0), ("changed", changed)):
            arguments = [str(folder / name), "--students", str(students), "--changed", str(share)]
            command = [sys.executable, "-m", "bench.roster_set", *arguments]
            subprocess.run(command, cwd=HOME, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - a module of ours
        return {FIRST: folder / "first", SAME: folder / "first", CHANGED: folder / "changed"}

    def _run(self, way: Way, sets: dict[str, Path]) -> Iterator[tuple[str, Measured]]:
        """The imports of one way, one after the other, into a new database."""
        database, work = f"bench_{way.name}", self.folder / "work"
        self.server.create(database, template=TEMPLATE if way.name == OURS else "template1", replace=True)
        work.mkdir()
        reach = {
            "database": self.server.url(database).render_as_string(),
            "login": self.server.url(database, user=LOGIN).render_as_string(),
        }
        for phase in way.phases:
            self._settle(sets[phase])
            job = Job(way.name, phase, str(sets[phase]), str(work), tenant_id=self.tenant_id, **reach)
            yield phase, in_process("bench.roster_ways", asdict(job), self._server_pid)
        self.server.drop(database)
        shutil.rmtree(work)

    @property
    def _server_pid(self) -> int:
        return int((self.server.folder / "postmaster.pid").read_text().splitlines()[0])

    def _settle(self, files: Path) -> None:
        """The same start for all: nothing left to write for the server, the files in the system's cache."""
        with connect(self.server.url("postgres")).connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("CHECKPOINT"))
        for name in FILES:
            _lines(files / name)


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(2**20), b""))


def _total(measured: Measured, of: str = "seconds") -> float:
    """Return the seconds of a whole import, which include the parts of its steps."""
    return sum(float(spent) for step, spent in measured.answer[of].items() if step != ACCOUNTS)


def _asked(results: Results, larger: Results | None) -> list[dict[str, Any]]:
    """Yield the goals of Rollover that were measured."""
    asked: list[dict[str, Any]] = []

    def at_least(what: str, slower: tuple[str, str], faster: tuple[str, str], limit: float) -> None:
        if results.of(*slower) and results.of(*faster):
            ratios = results.ratios(slower, faster)
            found = median(ratios)
            asked.append({"what": what, "found": found, "rounds": ratios, "at_least": limit, "met": found >= limit})

    at_least("first import: times the speed of COPY into keyed tables", (KEYED_COPY, FIRST), (OURS, FIRST), 0.8)
    peers = [way for way in results.measured_ways() if way.is_peer]
    if peers:
        best = min(peers, key=lambda way: median(results.seconds(way.name, FIRST)))
        what = f"first import: times the speed of the fastest peer ({best.name})"
        at_least(what, (best.name, FIRST), (OURS, FIRST), 1.0)
    at_least("same set again: times the speed of the first import", (OURS, FIRST), (OURS, SAME), 20.0)
    at_least("changed set: times the speed of the first import", (OURS, FIRST), (OURS, CHANGED), 3.0)
    if results.of(OURS, FIRST):
        asked.append(_at_most(f"peak memory at {results.rows:,} rows, MB", results.peak_bytes(OURS) / MB, 1_000))
        if larger is not None:
            grown = larger.peak_bytes(OURS) / results.peak_bytes(OURS)
            asked.append(_at_most(f"peak memory at {larger.rows:,} rows, times that", grown, ROOM))
    return asked


def _at_most(what: str, found: float, limit: float) -> dict[str, Any]:
    return {"what": what, "found": found, "at_most": limit, "met": found <= limit}


def _report(facts: dict[str, Any], options: dict[str, Any], results: Results, larger: Results | None) -> dict[str, Any]:
    return {
        "machine": facts,
        "options": options,
        "asked": _asked(results, larger),
        "measured": _measured(results),
        "larger": _measured(larger) if larger else None,
    }


def _measured(results: Results) -> dict[str, Any]:
    return {
        "rows": results.rows,
        "ways": {
            way.name: {
                "label": way.label,
                "peak_bytes": results.peak_bytes(way.name),
                "imports": {phase: _import(results, way.name, phase) for phase in way.phases},
            }
            for way in results.measured_ways()
        },
    }


def _import(results: Results, way: str, phase: str) -> dict[str, Any]:
    seconds = results.seconds(way, phase)
    return {
        "seconds": median(seconds),
        "rows_per_second": results.rows / median(seconds),
        "rounds": [
            {name: value for name, value in measured.answer.items() if name != "found"}
            | {"server_processor_seconds": measured.server_processor_seconds, "peak_bytes": measured.peak_bytes}
            for measured in results.of(way, phase)
        ],
        "found": results.of(way, phase)[0].answer["found"],
    }


def _table(results: Results, larger: Results | None, asked: list[dict[str, Any]]) -> Iterator[str]:
    yield from _speeds(results)
    yield from ("", "Processor seconds, of the process and of PostgreSQL", *_processor(results))
    if results.of(OURS, FIRST):
        yield from ("", "Rollover, seconds by step", *_steps(results))
    if larger is not None:
        yield ""
        yield from _speeds(larger)
    yield ""
    for line in asked:
        limit = f">= {line['at_least']:g}" if "at_least" in line else f"<= {line['at_most']:g}"
        yield f"{line['what']:79} {line['found']:8.2f} {limit:>9}  {'met' if line['met'] else 'NOT MET'}"


def _speeds(results: Results) -> Iterator[str]:
    """Seconds and rows per second of each way."""
    yield f"{f'{results.rows:,} rows':78}" + "".join(f"{HEADINGS[phase]:>22}" for phase in PHASES) + f"{'MB':>8}"
    for way in results.measured_ways():
        cells = (_cell(results, way.name, phase) for phase in PHASES)
        yield f"{way.label:78}" + "".join(f"{cell:>22}" for cell in cells) + f"{results.peak_bytes(way.name) / MB:8.0f}"


def _cell(results: Results, way: str, phase: str) -> str:
    if not (seconds := results.seconds(way, phase)):
        return ""
    return f"{median(seconds):.2f} s {results.rows / median(seconds):10,.0f}/s"


def _processor(results: Results) -> Iterator[str]:
    """Processor seconds of each way, which other programs on the machine make longer by little."""
    for way in results.measured_ways():
        cells = []
        for phase in PHASES:
            spent = [_total(m, "processor_seconds") + m.server_processor_seconds for m in results.of(way.name, phase)]
            cells.append(f"{median(spent):.2f} s" if spent else "")
        yield f"  {way.label:76}" + "".join(f"{cell:>22}" for cell in cells)


def _steps(results: Results) -> Iterator[str]:
    """Yield where our time goes."""

    def line(label: str, spent: Callable[[Measured], float]) -> str:
        cells = (median(map(spent, results.of(OURS, phase))) for phase in PHASES)
        return f"  {label:76}" + "".join(f"{cell:20.2f} s" for cell in cells)

    for step in STEPS:
        yield line(step, lambda measured, step=step: measured.answer["seconds"].get(step, 0.0))  # type: ignore[misc]
    yield line("processor: Rollover", lambda measured: _total(measured, "processor_seconds"))
    yield line("processor: PostgreSQL", lambda measured: measured.server_processor_seconds)


if __name__ == "__main__":
    main()

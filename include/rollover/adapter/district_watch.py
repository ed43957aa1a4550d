"""Has a new or changed district file parsed at once, in Airflow's DAG processor.

Parsing all DAG files of thousands of tenants takes a minute, so Airflow does it every few minutes only. Which district
files there are, and when each was changed, costs a listing of the folder. What is asked for here is one shard's file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from zlib import crc32

log = logging.getLogger(__name__)

SHARDS = 16
"""DAG files of the rollovers: none is slow to parse, and Airflow reads several at a time (docs/bench.md)."""
SECONDS = 10.0
"""How often the folder is looked at."""
ANY_SHARED_DAG = "roster_sync"
"""Its file lies in the folder in which the shards' folder lies."""


def shard_of(district: str) -> int:
    """Which DAG file makes the rollovers of a district; the same everywhere, whatever other districts there are."""
    return crc32(district.encode()) % SHARDS


class DistrictWatch:
    """Knows the district files of a folder, and which of them were changed since it last looked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen = self._look()

    def changed(self) -> set[str]:
        """The ids of the districts whose files are new, changed or gone."""
        before, self._seen = self._seen, self._look()
        return {path.stem for path, _ in before.items() ^ self._seen.items()}

    def _look(self) -> dict[Path, int]:
        from rollover.config.load import files_in  # every process of Airflow loads this module

        return {path: path.stat().st_mtime_ns for path in files_in(self._folder)}


def request_parsing(districts: Iterable[str]) -> list[str]:
    """Ask Airflow to parse the files of these districts next; returns their paths. Needs Airflow's database."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbag import DagPriorityParsingRequest
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        where = select(DagModel.bundle_name, DagModel.relative_fileloc).where(DagModel.dag_id == ANY_SHARED_DAG)
        found = session.execute(where).one_or_none()
        if found is None:  # the first parsing is still going on, and takes them in
            return []
        folder = PurePosixPath(found.relative_fileloc).parent
        shards = {f"rollover_shards/shard_{shard_of(district):02}.py" for district in districts}
        paths = sorted(str(folder / name) for name in {*shards, "district_files_dag.py"})
        rows = DagPriorityParsingRequest
        asked = set(session.scalars(select(rows.relative_fileloc).where(rows.bundle_name == found.bundle_name)))
        session.add_all(rows(found.bundle_name, path) for path in paths if path not in asked)
    return paths


def watch(folder: Path, over: threading.Event) -> None:
    """Look again and again until `over` is set. What goes wrong is tried again, and harms nothing else."""
    known, waiting = DistrictWatch(folder), set[str]()
    while not over.wait(SECONDS):
        try:
            waiting |= known.changed()
            if waiting and (paths := request_parsing(waiting)):
                log.info("district files have changed: %s are parsed next", ", ".join(paths))
            waiting.clear()
        except Exception as error:
            log.warning("cannot look for changed district files: %s", type(error).__name__)


def start_watching(folder: Path) -> None:
    """Watch a folder in a thread that ends with the process."""
    given = (folder, threading.Event())
    threading.Thread(target=watch, args=given, name="district-files", daemon=True).start()

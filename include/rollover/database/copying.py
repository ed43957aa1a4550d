"""Streams rows out of PostgreSQL, so that memory stays flat. There are two ways, and no third:

- :class:`CopyOut`, if the rows are needed as bytes: for an archive, a CSV report or DuckDB. They come as PostgreSQL
  sends them, many at once (SQLAlchemy has no COPY, and psycopg hands over one row at a time).
- SQLAlchemy's ``yield_per``, if Python needs values: an XLSX or printed report, findings, the chain of evidence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from psycopg import Copy, errors, pq
from sqlalchemy import Connection

from rollover.database.session import driver_of

BATCH_BYTES = 4 << 20
_Item = TypeVar("_Item")


class Batch(NamedTuple):
    """Complete rows as PostgreSQL sent them, one after another: row n is ``rows[ends[n]:ends[n + 1]]``."""

    rows: bytearray
    ends: list[int]


class CopyOut:
    """A ``COPY … TO STDOUT``, in batches; ``count`` is PostgreSQL's count of rows, once all were read."""

    def __init__(
        self,
        connection: Connection,
        query: str,
        bound: Mapping[str, Any] | None = None,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self.count = -1
        self._driver = driver_of(connection)
        self._query, self._bound, self._batch_bytes = query.encode(), bound, batch_bytes

    def __iter__(self) -> Generator[Batch]:
        with self._driver.cursor() as cursor, cursor.copy(self._query, self._bound) as copy:
            rows, ends = bytearray(), [0]
            for row in self._rows(copy):
                rows += row
                ends.append(len(rows))
                if len(rows) >= self._batch_bytes:
                    yield Batch(rows, ends)
                    rows, ends = bytearray(), [0]
            if self.count < 0:
                self.count = cursor.rowcount
            if rows:
                yield Batch(rows, ends)

    def _rows(self, copy: Copy) -> Iterator[bytes | bytearray | memoryview]:
        """Read a row with psycopg, which waits for it, and the rows that came with it from libpq, which is twice as
        fast."""
        taken = self._driver.pgconn.get_copy_data
        while row := copy.read():
            yield row
            size, more = taken(1)
            while size > 0:
                yield more
                size, more = taken(1)
            if size < 0:
                self._end()
                return

    def _end(self) -> None:
        """Read the results of a COPY after its last row, so that the connection is free for the next statement. Raises
        the same errors as psycopg."""
        failed = None
        while result := self._driver.pgconn.get_result():
            if result.status == pq.ExecStatus.COMMAND_OK:
                self.count = result.command_tuples or 0
            else:
                failed = failed or result
        if failed:
            raise errors.error_from_result(failed)


def ahead(items: Generator[_Item], count: int = 1) -> Generator[_Item]:
    """Yield the same items, while a thread makes up to `count` of the next ones."""
    aside, end = ThreadPoolExecutor(1), object()
    try:
        waiting: deque[Future[Any]] = deque(aside.submit(next, items, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(aside.submit(next, items, end))
            yield item
    finally:
        aside.shutdown(cancel_futures=True)
        items.close()  # or a traceback would keep it, and with it psycopg's lock on the connection

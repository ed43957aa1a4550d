"""Writes a report's files, each whole or not at all, and reads them back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

from sqlalchemy import Connection
from upath import UPath

from rollover.errors import ProofFailed
from rollover.exports import csv_file, index, workbook
from rollover.exports.report import Report, Row, Scope
from rollover.exports.rows import rows_of
from rollover.storage import read_back, whole_file

PAGES = 200
"""The most pages in a file of a report with a page per row; a page takes about 1 MB of memory while a file is made."""
FileName = Callable[[str, str], str]
"""The name of a file from its stem and suffix, e.g. ``("tardies", "csv")``."""


@dataclass(frozen=True)
class Receipt:
    """A written file: its `rows`, its `pages` if it is printed, and its `bytes` and SHA-256 as read back.

    `file` is its path below the folder of the year.
    """

    report: str
    file: str
    path: str
    rows: int
    pages: int | None
    bytes: int
    sha256: str


def plain_name(stem: str, suffix: str) -> str:
    return f"{stem}.{suffix}"


def write_report(
    connection: Connection, report: Report, scope: Scope, folder: UPath, name: FileName = plain_name
) -> list[Receipt]:
    """Write a report into `folder`; files of the same names are replaced, each when the new one is complete.

    Writes one file, or one per part of a printed report. A blank report is also a file, which says so. Raises
    ProofFailed if a file, read back, has fewer rows than were written.
    """
    if report.format == "pdf":
        return list(_printed(connection, report, scope, folder, name))
    form = csv_file if report.format == "csv" else workbook
    file = name(report.name, report.format)
    target = folder / file
    with whole_file(target) as stream:
        expected = form.write(connection, report, scope, stream)
    if (rows := form.rows_in(target, report)) != expected:
        raise ProofFailed(f"{target} has {rows} rows, the database {expected}.", "clear this task.")
    digest, size = read_back(target)
    return [Receipt(report.name, file, str(target), rows, None, size, digest)]


def _printed(connection: Connection, report: Report, scope: Scope, folder: UPath, name: FileName) -> Iterator[Receipt]:
    """Write the files of a printed report, each from its own rows, and an index if there are several."""
    entries: list[index.Entry] = []
    with rows_of(connection, report, scope) as found:
        for values, group in groupby(found, key=lambda row: [row[column] for column in report.files]):
            *folders, stem = [report.name, *map(file_safe, values)]
            for n, rows in enumerate(_parts(report, group), start=1):
                file = "/".join([*folders, name(stem if n == 1 else f"{stem}+{n}", "pdf")])
                written = _pdf(report, scope, rows, folder, file)
                entries.append((written.file.removeprefix(f"{report.name}/"), written.pages or 0, rows[0]))
                yield written
    if not entries:
        yield _pdf(report, scope, [], folder, name(report.name, "pdf"))
    elif report.files:
        yield _index(report, entries, folder, f"{report.name}/{name('index', 'csv')}")


def _parts(report: Report, rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each file, so that only one file's pages are in memory."""
    if not report.page_per_row:
        yield list(rows)
        return
    while part := list(islice(rows, PAGES)):
        yield part


def _pdf(report: Report, scope: Scope, rows: list[Row], folder: UPath, file: str) -> Receipt:
    """Make one file. Raises ProofFailed if it, read back, is not what was made, or has fewer pages than it must."""
    from rollover.exports.printed import pages_in, print_rows  # Typst: only a printed report needs it

    target = folder / file
    content = print_rows(report, scope, rows)
    with whole_file(target) as stream:
        stream.write(content)
    digest, size = read_back(target)
    if digest != hashlib.sha256(content).hexdigest():
        raise ProofFailed(f"{target} is not the file that was written.", "clear this task.")
    expected = len(rows) if report.page_per_row else 1
    if (pages := pages_in(target)) < expected:
        raise ProofFailed(f"{target} has {pages} pages; its rows need {expected}.", "clear this task.")
    return Receipt(report.name, file, str(target), len(rows), pages, size, digest)


def _index(report: Report, entries: list[index.Entry], folder: UPath, file: str) -> Receipt:
    """Write the index of the files. It has no rows of the report."""
    target = folder / file
    with whole_file(target) as stream:
        expected = index.write(stream, entries)
    if (lines := csv_file.rows_below(target, index.FILE)) != expected:
        raise ProofFailed(f"{target} has {lines} lines, written were {expected}.", "clear this task.")
    digest, size = read_back(target)
    return Receipt(report.name, file, str(target), 0, None, size, digest)


def file_safe(value: str) -> str:
    """Return an id as part of a path. Characters that a file system may not accept become ``-``; a hash keeps the ids
    distinct."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", value).lstrip(".")[:80]
    return safe if safe and safe == value else f"{safe}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"

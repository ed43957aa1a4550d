"""``rollover export``: a district's reports by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rollover.cli.command import LOOK, Document, Lines, command
from rollover.cli.context import BadArgument, Context, did_you_mean, school_year
from rollover.cli.parameters import TenantArgument, YearArgument

app = typer.Typer()
Reports = Annotated[
    list[str] | None,
    typer.Option("--report", metavar="REPORT", help="A report by name, once for each; without it, all."),
]
Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The folder to write to; older files are replaced.")]


@dataclass(frozen=True)
class WrittenFile:
    """A file that was written, as read back."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class WrittenReport:
    """The files of one report, and their rows together."""

    report: str
    rows: int
    files: list[WrittenFile]


@dataclass(frozen=True)
class Exported(Document):
    """Every report that was written."""

    reports: list[WrittenReport]


@app.command(
    "export", rich_help_panel=LOOK, epilog="Example: rollover export hero__springfield-il 2025-26 --out reports"
)
@command
def export(
    context: Context, tenant: TenantArgument, year: YearArgument, out: Out, report: Reports = None
) -> Lines[Exported]:
    """Write a school year's reports from the live database, at any time; changes nothing."""
    from sqlalchemy import text
    from upath import UPath

    from rollover.exports import Scope, reports_of
    from rollover.exports.write import write_report
    from rollover.yearend import plan

    found, wanted = context.tenant(tenant), school_year(year)
    district, known = context.catalog.districts[found.district], reports_of(found.product)
    names, reports = report or context.catalog.products[found.product].reports, []
    for name in names:
        if name not in known:
            raise BadArgument(f"'{name}' is not a report of {found.product}{did_you_mean(name, known)}")
    with context.session(found, isolation="REPEATABLE READ") as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        is_current = plan.current_school_year(connection) == wanted.key
        scope = Scope(wanted.key, is_current, district.time_zone, district.name, datetime.now(UTC))
        for name in names:
            receipts = write_report(connection, known[name], scope, UPath(out))
            files = [WrittenFile(each.path, each.rows, each.bytes, each.sha256) for each in receipts]
            reports.append(WrittenReport(name, sum(file.rows for file in files), files))
            where = files[0].path if len(files) == 1 else f"{len(files)} files in {out / name}"
            yield f"{name:28} {reports[-1].rows:9,} rows  {where}"
    return Exported(reports)

"""The command that writes a district's reports by hand."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from rollover.cli.arguments import TENANT, YEAR, BadArgument, Subparsers, added, engine_of, tenant_of, year_of
from rollover.config.problems import nearest
from rollover.lint import load_catalog
from rollover.settings import Settings


def export(options: argparse.Namespace, settings: Settings) -> int:
    """Write a school year's reports from the live database, at any time; changes nothing."""
    from sqlalchemy import text
    from upath import UPath

    from rollover.database.session import tenant_session
    from rollover.exports import Scope, reports_of
    from rollover.exports.write import write_report
    from rollover.yearend import plan

    catalog = load_catalog(settings.districts, settings.products)
    tenant, year = tenant_of(options, catalog), year_of(options)
    district, known = catalog.districts[tenant.district], reports_of(tenant.product)
    names = options.report or catalog.products[tenant.product].reports
    for name in names:
        if name not in known:
            meant = nearest(name, known)
            hint = f"; did you mean '{meant}'?" if meant else f": {', '.join(known)}"
            raise BadArgument(f"'{name}' is not a report of {tenant.product}{hint}")
    with tenant_session(engine_of(settings), tenant.id, isolation="REPEATABLE READ") as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        is_current = plan.current_school_year(connection) == year.key
        scope = Scope(year.key, is_current, district.time_zone, district.name, datetime.now(UTC))
        for name in names:
            written = write_report(connection, known[name], scope, UPath(options.out))
            rows, files = sum(receipt.rows for receipt in written), len(written)
            where = written[0].path if files == 1 else f"{files} files in {options.out / name}"
            print(f"{name:28} {rows:9,} rows  {where}")
    return 0


def add_to(subparsers: Subparsers) -> None:
    command = added(subparsers, "export", export)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    command.add_argument("--report", action="append", help="a report by name, once for each; without it, all")
    command.add_argument("--out", required=True, type=Path, help="the folder to write to; older files are replaced")

"""Makes a report of an archived year, by the same definition as from the live tables.

The year is loaded into temporary tables that end with the transaction, and the report's query reads those.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import cached_property

from sqlalchemy import Engine, text
from upath import UPath

from rollover.archive.keys import Keys
from rollover.archive.restore import archived_year, load, sandbox
from rollover.calendar import SchoolYear
from rollover.config import District
from rollover.database.session import tenant_session
from rollover.database.tables import metadata
from rollover.errors import Refused
from rollover.exports import Report, Scope
from rollover.exports.write import Receipt, write_report
from rollover.tenant import Tenant

NAME_OF_A_TABLE = re.compile(rf"\b(?:{'|'.join(sorted({str(t.schema) for t in metadata.tables.values()}))})\.\w+")


@dataclass(frozen=True)
class ArchivedReport(Report):
    """A report that reads temporary tables of the same names."""

    @cached_property
    def query(self) -> str:
        return NAME_OF_A_TABLE.sub(lambda name: "pg_temp." + name[0].partition(".")[2], super().query)


def tables_of_report(report: Report) -> set[str]:
    """Return the full names of the tables that a report reads."""
    return set(NAME_OF_A_TABLE.findall(report.query))


def write_archived_report(
    engine: Engine, tenant: Tenant, year: SchoolYear, report: Report, district: District, folder: UPath, keys: Keys
) -> list[Receipt]:
    """Write a report of an archived year into `folder`, as it was for the archived schools when the year was live.

    A printed report shows the date on which the year was archived. Raises Refused if the year is not archived, or the
    archive lacks a table that the report reads. Raises ProofFailed if a file is damaged.
    """
    with tenant_session(engine, tenant.id, isolation="REPEATABLE READ") as connection:
        kept = archived_year(connection, tenant, year)
        _refuse_unless_held(report, kept.manifest.tables)
        tables = sandbox(connection, kept.manifest, None)
        load(connection, kept, kept.manifest.files, tables, keys)
        for table in tables.values():
            connection.execute(text(f"ANALYZE {table.name}"))
        is_current, as_of = kept.manifest.holds_current_state, kept.manifest.archived_at
        scope = Scope(year.key, is_current, district.time_zone, district.name, as_of)
        own = {field.name: getattr(report, field.name) for field in fields(report)}
        return write_report(connection, ArchivedReport(**own), scope, folder)


def _refuse_unless_held(report: Report, held: Collection[str]) -> None:
    if missing := sorted(tables_of_report(report) - set(held)):
        raise Refused(
            f"{report.title} reads {', '.join(missing)}, which the archive does not hold.",
            "read what it holds with `rollover archive query`.",
        )

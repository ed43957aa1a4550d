"""Lists a tenant's imports with the result of each: the dates of its files, its numbers, and the decision about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from rollover.database.tables.ledger import drops, evidence, imports
from rollover.errors import Refused
from rollover.roster.imports import Import
from rollover.roster.imports.model import query_imports, read_import


@dataclass(frozen=True)
class ListedImport:
    """An import, the dates of its files on the district's server, and the decision about it.

    `decided_why` is the reason that the person gave, without a name.
    """

    found: Import
    files_from: datetime | None
    files_to: datetime | None
    decided_at: datetime | None
    decided_why: str | None

    @property
    def rows(self) -> int | None:
        """The rows of all files; None before they are read."""
        return sum(self.found.details.rows.values()) if self.found.details.rows else None

    @property
    def errors(self) -> int:
        return sum(self.found.details.errors.values())

    @property
    def warnings(self) -> int:
        return sum(self.found.details.warnings.values())

    @property
    def rejected_rows(self) -> int | None:
        """The rows that are rejected because of errors; None if the set was not checked so far."""
        if self.found.details.validation.taken is None:
            return None
        return sum(rejected for _, rejected in self.found.rejected_rows.values())


def listed_imports(connection: Connection) -> list[ListedImport]:
    """All imports of the session's tenant, newest first."""
    return list(_listed(connection, None))


def listed_import(connection: Connection, import_id: str) -> ListedImport:
    """One import of the session's tenant. Raises Refused if it has no such import."""
    for found in _listed(connection, import_id):
        return found
    raise Refused(f"The ledger has no import {import_id} of this tenant.", "`rollover roster list` names its imports.")


def _listed(connection: Connection, import_id: str | None) -> Iterator[ListedImport]:
    query = query_imports().add_columns(imports.c.decided_at, drops.c.files)
    query = query.outerjoin_from(imports, drops, drops.c.drop_id == imports.c.import_id)
    if import_id is not None:
        query = query.where(imports.c.import_id == import_id)
    reasons = _reasons(connection)
    for row in connection.execute(query.order_by(imports.c.found_at.desc(), imports.c.import_id.desc())):
        modified = [datetime.fromtimestamp(file["modified"], UTC) for file in row.files or ()]
        yield ListedImport(
            found=read_import(row),
            files_from=min(modified, default=None),
            files_to=max(modified, default=None),
            decided_at=row.decided_at,
            decided_why=reasons.get(row.import_id),
        )


def _reasons(connection: Connection) -> dict[str, str | None]:
    """Why people decided as they did, by import, as the evidence has it."""
    said = select(evidence.c.facts["import_id"].astext.label("import_id"), evidence.c.facts["why"].astext.label("why"))
    decided = said.where(evidence.c.kind == "roster_decision").order_by(evidence.c.evidence_id)
    return {row.import_id: row.why for row in connection.execute(decided)}

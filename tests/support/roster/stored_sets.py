"""A small town's tenant, its drops as they come to be compared, and everything that the database has of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Date, DateTime, Engine, Numeric, insert, text, update
from sqlalchemy.types import Integer
from upath import UPath

from rollover.config import RosterLimits
from rollover.database.school_years import ensure_school_year
from rollover.database.session import tenant_session
from rollover.database.tables import directory, metadata, product_tables
from rollover.database.tables.people import PERSON_COLUMNS
from rollover.database.tables.roster import ROSTER_TABLES
from rollover.roster import imports
from rollover.roster.applying.apply import apply
from rollover.roster.applying.undo import undo
from rollover.roster.comparing.compare import compare
from rollover.roster.imports import Import
from rollover.roster.imports.roster_version import roster_version
from rollover.roster.review.answers import Answer
from rollover.roster.review.decision import decide
from rollover.roster.staged import value_columns
from rollover.tenant import Tenant
from tests.support.roster.school_years import YEAR, Rows, School, Town, add_tenant, stage
from tests.support.small_district import everything

DISTRICT = "springfield-il"
SMALL = (School("ash", "KG", "03", 12, feeds="bay"), School("bay", "04", "06", 12))
LIMITS = RosterLimits()
AT = datetime(2026, 3, 2, tzinfo=UTC)
ALLOWED = {"kind": "earned", "band": "3+"}
"""Values that a check lets in, for columns that have one."""

Everything = dict[str, list[tuple[Any, ...]]]


class Desk:
    """Where a tenant's drops are worked on: staged, compared, decided about, applied, undone."""

    def __init__(self, owner: Engine, engine: Engine, storage: UPath, product: str = "hero") -> None:
        self.owner, self.engine, self.storage = owner, engine, storage
        self.product = product
        self.tenant_id = Tenant(product, DISTRICT).id
        self.drops = 0
        self.town = Town.in_full(SMALL)
        add_tenant(owner, tenant_id=self.tenant_id)
        with owner.begin() as connection:
            ensure_school_year(connection, YEAR.key)

    # What happens to a drop

    def drop(self, what: Town | Rows, year: str | None = None) -> str:
        """A set that is compared: its import is ready, or held."""
        import_id = self.drop_only(what, year)
        self.compare(import_id)
        return import_id

    def drop_only(self, what: Town | Rows, year: str | None = None) -> str:
        """A set that is valid, and not compared yet."""
        self.drops += 1
        rows, of = (what.rows(), what.year.key) if isinstance(what, Town) else (what, year or YEAR.key)
        return stage(self.owner, self.storage, rows, of, number=self.drops, tenant_id=self.tenant_id)

    def compare(self, import_id: str) -> dict[str, Any]:
        return compare(self.engine, self.tenant_id, import_id, self.storage, LIMITS).as_json()

    def apply(self, import_id: str, rollover_id: str | None = None) -> dict[str, Any]:
        given = (self.engine, self.tenant_id, import_id, self.storage, LIMITS)
        return apply(*given, rollover_id=rollover_id).as_json()

    def take(self, what: Town | Rows, year: str | None = None) -> str:
        """A set that goes live."""
        import_id = self.drop(what, year)
        assert self.apply(import_id)["applied"] is True
        return import_id

    def decide(self, import_id: str, answer: Answer) -> None:
        comparison = self.found(import_id).comparison
        assert comparison is not None
        done = decide(self.engine, self.tenant_id, import_id, answer, "dana", digest=comparison["digest"])
        assert done.decided, done

    def undo(self, import_id: str | None = None) -> dict[str, Any]:
        return undo(self.engine, self.tenant_id, import_id, by="dana", reason="the wrong files").as_json()

    def begin_year(self, year: str) -> None:
        with self.owner.begin() as connection:
            connection.execute(update(directory.tenants).values(current_school_year=year))

    # What there is

    def found(self, import_id: str) -> Import:
        return imports.current(self.engine, self.tenant_id, import_id)

    @property
    def version(self) -> int:
        with tenant_session(self.engine, self.tenant_id) as connection:
            return roster_version(connection)

    def everything(self) -> Everything:
        """Every row of the roster and the product, but for what is kept to undo the last import."""
        found = everything(self.owner, self.tenant_id, [self.product, "roster"])
        del found["roster.history"]
        return found

    def live(self) -> dict[str, list[tuple[Any, ...]]]:
        """The values of the active rows, by table."""
        found = {}
        for table in ROSTER_TABLES:
            names = ", ".join(f'"{name}"' for name in value_columns(table))
            rows = self.query(f"SELECT {names} FROM {table.fullname} WHERE status = 'active'")
            found[table.name] = sorted(rows, key=repr)
        return found

    def query(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.owner.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), parameters)]

    def run(self, statement: str, **parameters: Any) -> None:
        with self.owner.begin() as connection:
            connection.execute(text(statement), parameters)

    # What a product has of people

    def use_people(self, people: Mapping[str, str]) -> None:
        """A row for each column of the product that holds a person's id: `people` says whose, by the column's name."""
        with self.owner.begin() as connection:
            for name, columns in PERSON_COLUMNS.items():
                table = metadata.tables[name]
                if table.schema == self.product:
                    values = {column.name: _value(column, 1) for column in table.columns if not column.nullable}
                    values |= {"tenant_id": self.tenant_id, **{column: people[column] for column in columns}}
                    connection.execute(insert(table).values(values))

    def places_of(self, person: str) -> set[str]:
        """The columns of the product in which a value is a person's id."""
        columns = [(table.fullname, column.name) for table in product_tables(self.product) for column in table.columns]
        parts = (
            f"SELECT '{table}.{column}' WHERE EXISTS (SELECT FROM {table} WHERE \"{column}\"::text = :person)"
            for table, column in columns
        )
        return {place for (place,) in self.query(" UNION ALL ".join(parts), person=person)}


def expected(what: Town | Rows) -> dict[str, list[tuple[Any, ...]]]:
    """What :meth:`Desk.live` is once a set is live."""
    rows = what.rows() if isinstance(what, Town) else what
    return {
        table.name: sorted((tuple(row[name] for name in value_columns(table)) for row in rows[table.name]), key=repr)
        for table in ROSTER_TABLES
    }


def _value(column: Any, number: int) -> Any:
    if column.name in ALLOWED:
        return ALLOWED[column.name]
    if column.name == "school_year":
        return YEAR.key
    if isinstance(column.type, DateTime):
        return AT
    if isinstance(column.type, Date):
        return AT.date()
    if isinstance(column.type, Integer | Numeric):
        return number
    return "ash" if column.name == "school_id" else f"{column.name}-{number}"

"""Gives a command its settings, district files, database and person, each looked up once, when first needed.

It also finds the tenant, district or year that an argument names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from rollover.calendar import SchoolYear
from rollover.errors import RolloverError
from rollover.tenant import Tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from rollover.archive.keys import Keys
    from rollover.config import Catalog
    from rollover.database.session import Isolation
    from rollover.run import Run
    from rollover.settings import Settings

FEW = 10
"""How many names an error lists when none is near the one that was given."""


class BadArgument(Exception):
    """An argument that names nothing, or does not go with another. The message is ready to print."""


class Context:
    """One call of ``rollover``. Typer passes it to the command."""

    @cached_property
    def settings(self) -> Settings:
        """The settings of the deployment. Raises RolloverError, which names invalid variables without their values."""
        from pydantic import ValidationError

        from rollover.settings import Settings

        try:
            return Settings()
        except ValidationError as error:
            wrong = [f"ROLLOVER_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors()]
            raise RolloverError(f"Correct the settings. {'; '.join(wrong)}.") from None

    @cached_property
    def catalog(self) -> Catalog:
        """Every district and product, checked."""
        from rollover.lint import load_catalog

        return load_catalog(self.settings.districts, self.settings.products)

    @cached_property
    def engine(self) -> Engine:
        """The product database. Raises RolloverError if ROLLOVER_DATABASE_URL is not set."""
        from rollover.database.session import connect

        if self.settings.database_url is None:
            raise RolloverError("Set ROLLOVER_DATABASE_URL to the product database, e.g. postgresql+psycopg://…")
        return connect(self.settings.database_url)

    @cached_property
    def now(self) -> datetime:
        """The time of the call."""
        return datetime.now(UTC)

    @cached_property
    def person(self) -> str:
        """The name of the person who runs the command: the database login. Raises Refused for a shared one."""
        from rollover.ledger import identity

        return identity.person(self.engine)

    @cached_property
    def keys(self) -> Keys:
        """The keys that archives are encrypted with."""
        from rollover.archive.keys import Keys

        return Keys(self.settings.archive_keys)

    def session(
        self, tenant: Tenant, *, isolation: Isolation = "READ COMMITTED", exclusive: bool = False
    ) -> AbstractContextManager[Connection]:
        """One transaction that sees this tenant's rows only."""
        from rollover.database.session import tenant_session

        return tenant_session(self.engine, tenant.id, isolation=isolation, exclusive=exclusive)

    def run(self, tenant: Tenant, year: SchoolYear) -> Run:
        """The rollover of a tenant and a school year, as of now."""
        from rollover.run import Run

        return Run(
            engine=self.engine,
            tenant=tenant,
            school_year=year,
            district=self.catalog.districts[tenant.district],
            product=self.catalog.products[tenant.product],
            storage=self.settings.storage_root,
            now=self.now,
            archive_keys=self.settings.archive_keys,
            backup_days=self.settings.backup_days,
        )

    def tenant(self, name: str) -> Tenant:
        """The tenant of that id. Raises BadArgument if no district file lists it."""
        tenants = {tenant.id: tenant for tenant in self.catalog.tenants}
        refuse_unknown("tenant", name, list(tenants))
        return tenants[name]

    def tenants(self, name: str | None) -> list[Tenant]:
        """One tenant, those of a district, or all. Raises BadArgument if no district file lists the name, so that no
        command answers a wrong name with an empty list."""
        every = self.catalog.tenants
        refuse_unknown("tenant or district", name, [*(each.id for each in every), *(each.district for each in every)])
        return [tenant for tenant in every if name in (None, tenant.id, tenant.district)]


def school_year(key: str) -> SchoolYear:
    """Read ``2025-26``. Raises BadArgument for anything else."""
    try:
        return SchoolYear.parse(key)
    except ValueError as error:
        raise BadArgument(str(error)) from None


def refuse_unknown(what: str, name: str | None, known: Sequence[str]) -> None:
    """Raise BadArgument if `name` was given and is not one of `known`."""
    if name is None or name in known:
        return
    raise BadArgument(f"no district file or archive names the {what} '{name}'" + did_you_mean(name, known, FEW))


def refuse_other(name: str | None, known: Sequence[str]) -> None:
    """Raise BadArgument if `name` was given and is none of a few known words."""
    if name is not None and name not in known:
        raise BadArgument(f"'{name}' is none of: {', '.join(known)}{did_you_mean(name, known, 0)}")


def did_you_mean(name: str, known: Iterable[str], most: int | None = None) -> str:
    """The end of an error: the known name that is nearest, or else all of them if they are not more than `most`."""
    from rollover.config.problems import nearest

    names = list(known)
    if meant := nearest(name, names):
        return f"; did you mean '{meant}'?"
    return f": {', '.join(names)}" if names and (most is None or len(names) <= most) else ""

"""What commands share: the arguments that name something, and where the database is."""

from __future__ import annotations

import argparse

from sqlalchemy import Engine

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.config.problems import nearest
from rollover.errors import RolloverError
from rollover.settings import Settings
from rollover.tenant import Tenant


class BadArgument(Exception):
    """An argument that names nothing."""


def year_of(options: argparse.Namespace) -> SchoolYear:
    try:
        return SchoolYear.parse(options.year)
    except ValueError as error:
        raise BadArgument(str(error)) from None


def tenant_of(options: argparse.Namespace, catalog: Catalog) -> Tenant:
    found = next((tenant for tenant in catalog.tenants if tenant.id == options.tenant), None)
    if found is None:
        meant = nearest(options.tenant, [tenant.id for tenant in catalog.tenants])
        hint = f"; did you mean '{meant}'?" if meant else ""
        raise BadArgument(f"no district file lists the tenant '{options.tenant}'{hint}")
    return found


def engine_of(settings: Settings) -> Engine:
    """The product database that ROLLOVER_DATABASE_URL names."""
    from rollover.database.session import connect

    if settings.database_url is None:
        raise RolloverError("Set ROLLOVER_DATABASE_URL to the product database, e.g. postgresql+psycopg://…")
    return connect(settings.database_url)


def tenants_of(options: argparse.Namespace, catalog: Catalog) -> list[Tenant]:
    return [tenant for tenant in catalog.tenants if options.tenant in (None, tenant.id, tenant.district)]

"""What commands share: the arguments that name something, and where the database is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from rollover.calendar import SchoolYear
from rollover.config import Catalog
from rollover.config.problems import nearest
from rollover.errors import RolloverError
from rollover.settings import Settings
from rollover.tenant import Tenant

Subparsers = Any
"""What argparse's add_subparsers gives; its own name for the type is private."""
Command = Callable[[argparse.Namespace, Settings], int]
TENANT = "e.g. hero__springfield-il"
TENANT_OR_DISTRICT = "a tenant, or a district for all its products"
YEAR = "a school year like 2025-26"
REASON = "why; goes to the evidence"


def added(subparsers: Subparsers, name: str, run: Command) -> argparse.ArgumentParser:
    """A command, described by its function's docstring."""
    says = (run.__doc__ or "").strip()
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=says.splitlines()[0], description=says)
    parser.set_defaults(run=run)
    return parser


def group(subparsers: Subparsers, name: str, about: str) -> Subparsers:
    """A group of commands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=about, description=about)
    return parser.add_subparsers(required=True, metavar="COMMAND")


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

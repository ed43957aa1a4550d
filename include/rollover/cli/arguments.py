"""What commands share: the arguments that name something, and where the database is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
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
FEW = 10
"""How many names an error lists where none is near the one that was given."""
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
    """The tenant that was named. Raises BadArgument if no district file lists it."""
    found = next((tenant for tenant in catalog.tenants if tenant.id == options.tenant), None)
    if found is None:
        raise _unknown("tenant", options.tenant, [tenant.id for tenant in catalog.tenants])
    return found


def tenants_of(options: argparse.Namespace, catalog: Catalog) -> list[Tenant]:
    """The tenants that were named: one, those of a district, or all. Raises BadArgument if no district file lists
    the name, so that no command answers a wrong name with an empty list."""
    found = [tenant for tenant in catalog.tenants if options.tenant in (None, tenant.id, tenant.district)]
    if not found and options.tenant is not None:
        names = [*(tenant.id for tenant in catalog.tenants), *(tenant.district for tenant in catalog.tenants)]
        raise _unknown("tenant or district", options.tenant, names)
    return found


def check_name(what: str, name: str | None, known: Iterable[str]) -> None:
    """Raise BadArgument if `name` was given and is not one of `known`."""
    names = set(known)
    if name is not None and name not in names:
        raise _unknown(what, name, sorted(names))


def _unknown(what: str, name: str, known: Sequence[str]) -> BadArgument:
    meant = nearest(name, known)
    listed = f": {', '.join(known)}" if 0 < len(known) <= FEW else ""
    return BadArgument(
        f"no district file or archive names the {what} '{name}'" + (f"; did you mean '{meant}'?" if meant else listed)
    )


def person_of(settings: Settings) -> str:
    """The name of the person who runs the command: the database login. Raises Refused for a shared one."""
    from rollover.ledger import identity

    return identity.person(engine_of(settings))


def engine_of(settings: Settings) -> Engine:
    """The product database that ROLLOVER_DATABASE_URL names."""
    from rollover.database.session import connect

    if settings.database_url is None:
        raise RolloverError("Set ROLLOVER_DATABASE_URL to the product database, e.g. postgresql+psycopg://…")
    return connect(settings.database_url)

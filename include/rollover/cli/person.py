"""Personal logins: each person who sets a hold, decides or approves on the command line has one."""

from __future__ import annotations

import argparse
import getpass

from rollover.cli.arguments import Subparsers, added, engine_of, group
from rollover.settings import Settings

NEEDS_OWNER = "needs the owner's URL in ROLLOVER_DATABASE_URL"


def add(options: argparse.Namespace, settings: Settings) -> int:
    """Create the database login of one person; its password is asked for, unless --no-password."""
    from rollover.ledger import identity

    password = None if options.no_password else getpass.getpass(f"Password of {options.name}: ")
    with engine_of(settings).begin() as connection:
        identity.add_person(connection, options.name, password)
    print(f"{options.name} has a personal login. Give a person the same name as a user of Airflow.")
    return 0


def remove(options: argparse.Namespace, settings: Settings) -> int:
    """End the login of a person who has left; the name stays on what was signed with it."""
    from rollover.ledger import identity

    with engine_of(settings).begin() as connection:
        identity.remove_person(connection, options.name)
    print(f"{options.name} can no longer log in")
    return 0


def show(options: argparse.Namespace, settings: Settings) -> int:
    """List the personal logins."""
    from rollover.ledger import identity

    with engine_of(settings).connect() as connection:
        for name in identity.persons(connection):
            print(name)
    return 0


def add_to(subparsers: Subparsers) -> None:
    commands = group(subparsers, "person", "Personal database logins: who set, lifted, decided and approved what.")
    command = added(commands, "add", add)
    command.add_argument("name", help=f"as the person is named in Airflow; {NEEDS_OWNER}")
    command.add_argument("--no-password", action="store_true", help="the server knows the person by other means")
    added(commands, "remove", remove).add_argument("name", help=NEEDS_OWNER)
    added(commands, "list", show)

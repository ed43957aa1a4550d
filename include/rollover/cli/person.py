"""``rollover person``: personal logins. Each person who sets a hold, decides or approves has one."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated

import typer

from rollover.cli.command import SET_UP, Document, Lines, command
from rollover.cli.context import Context

app = typer.Typer(
    name="person",
    rich_help_panel=SET_UP,
    no_args_is_help=True,
    help="Personal database logins: who set, lifted, decided and approved what.",
)
NEEDS_OWNER = "needs the owner's URL in ROLLOVER_DATABASE_URL."
Name = Annotated[
    str, typer.Argument(metavar="NAME", help=f"As the person is named in Airflow; {NEEDS_OWNER}", show_default=False)
]


@dataclass(frozen=True)
class Persons(Document):
    """The names of all personal logins."""

    persons: list[str]


@app.command("add", epilog="Example: rollover person add dana")
@command
def add(
    context: Context,
    name: Name,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="The server knows the person by other means.")
    ] = False,
) -> Lines[None]:
    """Create the database login of one person; its password is asked for, unless --no-password."""
    from rollover.ledger import identity

    password = None if no_password else getpass.getpass(f"Password of {name}: ")
    with context.engine.begin() as connection:
        identity.add_person(connection, name, password)
    yield f"{name} has a personal login. Give a person the same name as a user of Airflow."


@app.command("remove", epilog="Example: rollover person remove dana")
@command
def remove(context: Context, name: Name) -> Lines[None]:
    """Disable the login of a person who has left; the name stays on everything it signed."""
    from rollover.ledger import identity

    with context.engine.begin() as connection:
        identity.remove_person(connection, name)
    yield f"{name} can no longer log in"


@app.command("list", epilog="Example: rollover person list")
@command
def show(context: Context) -> Lines[Persons]:
    """List the personal logins."""
    from rollover.ledger import identity

    with context.engine.connect() as connection:
        names = identity.persons(connection)
    yield from names
    return Persons(names)

"""``rollover migrate``: updates the schema of the product database."""

from __future__ import annotations

import typer

from rollover.cli.command import SET_UP, Lines, command
from rollover.cli.context import Context

app = typer.Typer()


@app.command("migrate", rich_help_panel=SET_UP, epilog="Example: rollover migrate")
@command
def migrate(context: Context) -> Lines[None]:
    """Bring the product database to the newest schema; needs the owner's URL in ROLLOVER_DATABASE_URL."""
    from rollover.database import migrate as migration

    migration.upgrade(context.engine)
    yield "the database has the newest schema"

"""``rollover resume``: ends a pause by hand."""

from __future__ import annotations

import typer

from rollover.cli.command import DECIDE, Lines, command
from rollover.cli.context import Context
from rollover.cli.parameters import Reason, TenantArgument

app = typer.Typer()


@app.command(
    "resume",
    rich_help_panel=DECIDE,
    epilog='Example: rollover resume hero__springfield-il --reason "the rollover waits until August"',
)
@command
def resume(context: Context, tenant: TenantArgument, reason: Reason) -> Lines[None]:
    """End the pause of a tenant's roster sync by hand."""
    from rollover.ledger import pause

    found, by = context.tenant(tenant), context.person
    with context.session(found, exclusive=True) as connection:
        result = pause.end_by_hand(connection, found.id, by=by, reason=reason)
    yield f"{found}: {'the pause has ended' if result.was_paused else 'was not paused'}"

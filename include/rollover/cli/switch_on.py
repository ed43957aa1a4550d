"""``rollover switch-on``: switches on again what a reset switched off."""

from __future__ import annotations

from typing import Annotated

import typer

from rollover.cli.command import DECIDE, Lines, command
from rollover.cli.context import BadArgument, Context
from rollover.cli.parameters import Reason, TenantArgument

app = typer.Typer()
SWITCHES = ("notification_switch", "portal_schedules")
DataClass = Annotated[
    str,
    typer.Argument(metavar="DATA_CLASS", help=f"One of {', '.join(SWITCHES)}.", autocompletion=lambda: list(SWITCHES)),
]


@app.command(
    "switch-on",
    rich_help_panel=DECIDE,
    epilog='Example: rollover switch-on hero__springfield-il notification_switch --reason "school starts early"',
)
@command
def switch_on(context: Context, tenant: TenantArgument, data_class: DataClass, reason: Reason) -> Lines[None]:
    """Switch on again what the reset switched off: Hero's notification e-mails, or its portal schedules."""
    from sqlalchemy import update

    from rollover.database.tables import tables_of
    from rollover.ledger import evidence

    found = context.tenant(tenant)
    rule = context.catalog.products[found.product].data_classes.get(data_class)
    columns = [name for name, value in ((rule.set if rule else None) or {}).items() if value is False]
    if not columns:
        raise BadArgument(f"'{data_class}' of {found.product} is not switched off by a reset")
    by, rows = context.person, 0
    with context.session(found, exclusive=True) as connection:
        for table in tables_of(found.product, data_class):
            rows += connection.execute(update(table).values(dict.fromkeys(columns, True))).rowcount
        facts = {"data_class": data_class, "rows": rows, "by": by, "why": reason}
        evidence.record(connection, found.id, evidence.SWITCHED_ON, facts, None)
    yield f"{found}: {data_class} is on for {rows} schools"

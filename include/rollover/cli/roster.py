"""Commands about a tenant's roster: what is held, what to do with it, and taking back what was applied."""

from __future__ import annotations

import argparse
import getpass

from rollover.cli.arguments import BadArgument, engine_of, tenant_of, tenants_of
from rollover.config import load_catalog
from rollover.settings import Settings

TOLD = "The nightly roster_sync tells the district, in its outbox."


def held(options: argparse.Namespace, settings: Settings) -> int:
    """List the imports that are held for a person, with the numbers and what each answer does."""
    from rollover.database.session import tenant_session
    from rollover.roster.deciding import decision

    engine = engine_of(settings)
    count = 0
    for tenant in tenants_of(options, load_catalog(settings.districts, settings.products)):
        with tenant_session(engine, tenant.id) as connection:
            for found in decision.held(connection):
                count += 1
                print(decision.question(connection, found.import_id).markdown)
    print(f"{count} imports are held")
    return 0


def decide(options: argparse.Namespace, settings: Settings) -> int:
    """Answer for an import that is held; --seen is the number under the table that you looked at."""
    from rollover.roster.deciding import decision
    from rollover.roster.deciding.answers import Answer

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    answers = {answer.value.lower().replace(" ", "-"): answer.value for answer in Answer if answer is not Answer.LATER}
    if options.answer not in answers:
        raise BadArgument(f"'{options.answer}' is none of: {', '.join(answers)}")
    result = decision.decide(
        engine_of(settings),
        tenant.id,
        options.import_id,
        answers[options.answer],
        getpass.getuser(),
        digest=options.seen,
        reason=options.reason,
    )
    print(f"{result['import_id']}: {result['said']}; it is {result['state']}. {TOLD}")
    return 0 if result["decided"] else 1


def undo(options: argparse.Namespace, settings: Settings) -> int:
    """Take back the last import of a tenant: its roster is again what it was before."""
    from rollover.roster.applying.undo import undo

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    result = undo(engine_of(settings), tenant.id, options.import_id, by=getpass.getuser(), reason=options.reason)
    rows = result["counts"].get("undone", {})
    for schema, counts in rows.items():
        print(f"{schema}: {', '.join(f'{name} {number}' for name, number in counts.items()) or 'nothing to change'}")
    print(f"{result['import_id']} is {result['state']}. {TOLD}")
    return 0

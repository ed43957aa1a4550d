"""Commands about a tenant's roster: what is held, what to do with it, and taking back what was applied."""

from __future__ import annotations

import argparse

from rollover.cli.arguments import (
    REASON,
    TENANT,
    BadArgument,
    Subparsers,
    added,
    engine_of,
    group,
    person_of,
    tenant_of,
    tenants_of,
)
from rollover.lint import load_catalog
from rollover.settings import Settings

REPORTED = "The nightly roster_sync tells the district, in its outbox."


def held(options: argparse.Namespace, settings: Settings) -> int:
    """List the imports that are held for a person, with the numbers and what each answer does."""
    from rollover.database.session import tenant_session
    from rollover.roster.review import decision

    engine = engine_of(settings)
    count = 0
    for tenant in tenants_of(options, load_catalog(settings.districts, settings.products)):
        with tenant_session(engine, tenant.id) as connection:
            for found in decision.held(connection):
                count += 1
                print(decision.question(connection, found.import_id).markdown)
    print("1 import is held" if count == 1 else f"{count} imports are held")
    return 0


def decide(options: argparse.Namespace, settings: Settings) -> int:
    """Answer for an import that is held; --seen is the number under the table that you looked at."""
    from rollover.roster.review import decision
    from rollover.roster.review.answers import Answer

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    answers = {answer.value.lower().replace(" ", "-"): answer.value for answer in Answer if answer is not Answer.LATER}
    if options.answer not in answers:
        raise BadArgument(f"'{options.answer}' is none of: {', '.join(answers)}")
    result = decision.decide(
        engine_of(settings),
        tenant.id,
        options.import_id,
        answers[options.answer],
        person_of(settings),
        digest=options.seen,
        reason=options.reason,
    )
    print(f"{result.import_id}: {result.said}; it is {result.state}. {REPORTED}")
    return 0 if result.decided else 1


def undo(options: argparse.Namespace, settings: Settings) -> int:
    """Take back the last import of a tenant: its roster is again what it was before."""
    from rollover.roster.applying.undo import undo

    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    engine = engine_of(settings)
    found = undo(engine, tenant.id, options.import_id, by=person_of(settings), reason=options.reason)
    undone = found.details.undone
    for schema, counts in (undone.model_dump() if undone else {}).items():
        print(f"{schema}: {', '.join(f'{name} {number}' for name, number in counts.items()) or 'nothing to change'}")
    print(f"{found.import_id} is {found.state}. {REPORTED}")
    return 0


def add_to(subparsers: Subparsers) -> None:
    commands = group(subparsers, "roster", "Held imports, and taking back what was applied.")
    added(commands, "held", held).add_argument("tenant", nargs="?", help="a tenant or a district")
    command = added(commands, "decide", decide)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("import_id", metavar="import", help="as `rollover roster held` names it")
    command.add_argument("answer", help="approve, approve-with-id-map, additions-only or discard")
    command.add_argument(
        "--seen", required=True, help="the number of the comparison, as `rollover roster held` shows it"
    )
    command.add_argument("--reason", required=True, help=REASON)
    command = added(commands, "undo", undo)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("--import", dest="import_id", help="the import, if you want to be sure that it is the last")
    command.add_argument("--reason", required=True, help=REASON)

"""``rollover roster``: what came, imports in review, and undoing the last import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from rollover.cli.command import DECIDE, Document, Lines, command
from rollover.cli.context import BadArgument, Context
from rollover.cli.parameters import AnyTenant, Reason, TenantArgument
from rollover.cli.roster_imports import list_command, show_command

app = typer.Typer(
    name="roster",
    rich_help_panel=DECIDE,
    no_args_is_help=True,
    help="Roster imports: what came, those in review, and undoing the last.",
)
app.command("list", epilog="Example: rollover roster list hero__springfield-il")(list_command)
app.command("show", epilog="Example: rollover roster show hero__springfield-il__0d7c52f1a9e4")(show_command)
REPORTED = "The nightly roster_sync reports it to the district, in its outbox."
ANSWERS = ("approve", "approve-with-id-map", "additions-only", "discard")


@dataclass(frozen=True)
class ReviewQuestion:
    """An import in review. `seen` is what `rollover roster decide --seen` takes.

    `question` is the comparison as text (Markdown): numbers and schools, no names.
    """

    tenant: str
    import_id: str
    subject: str
    seen: str
    answers: list[str]
    question: str


@dataclass(frozen=True)
class ImportsInReview(Document):
    """Every import in review, oldest first."""

    imports: list[ReviewQuestion]


@dataclass(frozen=True)
class Decision(Document):
    """The decision about an import, and its state now. `is_decided` is false if it was too late to decide."""

    import_id: str
    state: str
    is_decided: bool
    outcome: str

    @property
    def exit_code(self) -> int:
        return 0 if self.is_decided else 1


@app.command("in-review", epilog="Example: rollover roster in-review springfield-il")
@command
def in_review(context: Context, tenant: AnyTenant = None) -> Lines[ImportsInReview]:
    """List the imports in review, with the numbers and what each answer does."""
    from rollover.roster.review import decision

    found = []
    for each in context.tenants(tenant):
        with context.session(each) as connection:
            for waiting in decision.in_review(connection):
                asked = decision.question(connection, waiting.import_id)
                answers = [_typed(str(answer)) for answer in asked.answers if _typed(str(answer)) in ANSWERS]
                subject = asked.subject(
                    context.catalog.districts[each.district].name, context.catalog.products[each.product].name
                )
                row = ReviewQuestion(each.id, asked.import_id, subject, asked.digest, answers, asked.markdown)
                found.append(row)
                yield row.question
    yield "1 import is in review" if len(found) == 1 else f"{len(found)} imports are in review"
    return ImportsInReview(found)


@app.command(
    "decide",
    epilog="Example: rollover roster decide hero__springfield-il hero__springfield-il__0d7c52f1a9e4 discard "
    "--seen 4be1c0a99d27 --reason 'half of the file is missing'",
)
@command
def decide(
    context: Context,
    tenant: TenantArgument,
    import_id: Annotated[str, typer.Argument(metavar="IMPORT", help="As `rollover roster in-review` names it.")],
    answer: Annotated[
        str,
        typer.Argument(metavar="ANSWER", help=f"One of {', '.join(ANSWERS)}.", autocompletion=lambda: list(ANSWERS)),
    ],
    seen: Annotated[
        str,
        typer.Option(
            "--seen", metavar="NUMBER", help="The number of the comparison, as `rollover roster in-review` shows it."
        ),
    ],
    reason: Reason,
) -> Lines[Decision]:
    """Answer for an import in review; --seen is the comparison number in the last line of the question."""
    from rollover.roster.review import decision
    from rollover.roster.review.answers import Answer

    found = context.tenant(tenant)
    answers = {_typed(each): each for each in Answer if _typed(each) in ANSWERS}
    if answer not in answers:
        raise BadArgument(f"'{answer}' is none of: {', '.join(answers)}")
    result = decision.decide(
        context.engine, found.id, import_id, answers[answer], context.person, digest=seen, reason=reason
    )
    decided = Decision(result.import_id, result.state, result.decided, result.said)
    yield f"{decided.import_id}: {decided.outcome}; it is {decided.state}. {REPORTED}"
    return decided


@app.command("undo", epilog="Example: rollover roster undo hero__springfield-il --reason 'files of another district'")
@command
def undo(
    context: Context,
    tenant: TenantArgument,
    reason: Reason,
    import_id: Annotated[
        str | None,
        typer.Option("--import", metavar="IMPORT", help="The import, if you want to be sure that it is the last one."),
    ] = None,
) -> Lines[None]:
    """Undo the last import of a tenant: the roster becomes what it was before."""
    from rollover.roster.applying.undo import undo

    found = context.tenant(tenant)
    result = undo(context.engine, found.id, import_id, by=context.person, reason=reason)
    undone = result.details.undone
    for schema, counts in (undone.model_dump() if undone else {}).items():
        yield f"{schema}: {', '.join(f'{name} {number}' for name, number in counts.items()) or 'nothing to change'}"
    yield f"{result.import_id} is {result.state}. {REPORTED}"


def _typed(answer: str) -> str:
    """An answer as it is typed on the command line."""
    return answer.lower().replace(" ", "-")

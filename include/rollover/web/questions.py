"""Finds the open questions that a person may see, and what each answer would do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import HTTPException
from markdown_it import MarkdownIt
from markupsafe import Markup

from rollover.ledger import questions
from rollover.ledger.questions import Question
from rollover.roster.review.answers import Answer
from rollover.season.facts import OpenQuestion
from rollover.tenant import SEPARATOR, Tenant
from rollover.web.host import Right
from rollover.web.page import Page
from rollover.yearend.approval import APPROVE, REJECT

ANSWERS = frozenset({APPROVE, REJECT, *Answer})
"""What else a question offers is to be confirmed beside Approve: the name of a school."""
GIVEN = re.compile(r"(?P<tenant>[^.:]+)\.(?P<number>\d{1,18}):(?P<option>.+)", re.DOTALL)
CONSEQUENCE = re.compile(r"^- \*(?P<answer>[^*\n]+)\*: (?P<what>.+)$", re.MULTILINE)

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])


@dataclass(frozen=True)
class Open:
    """An open question about a tenant."""

    tenant: Tenant
    question: OpenQuestion
    is_mine: bool
    """Whether the person may answer it."""
    answered_by: str | None
    """Who has answered it a moment ago: its task is still at work."""

    @property
    def key(self) -> str:
        """Names it in a form: ``hero__springfield-il.12``."""
        return f"{self.tenant.id}.{self.question.question_id}"

    @property
    def path(self) -> str:
        return f"/decisions/{self.tenant.id}/{self.question.question_id}"

    @property
    def school_year(self) -> str | None:
        """The year of a plan, which is asked about by the id of its rollover; None for another question."""
        return self.question.about.rpartition(SEPARATOR)[2] if self.question.kind == "plan" else None

    @property
    def options(self) -> list[str]:
        """The answers to choose one of."""
        return [option for option in self.question.options if option in ANSWERS]

    @property
    def confirmations(self) -> list[str]:
        """What has to be confirmed beside Approve."""
        return [option for option in self.question.options if option not in ANSWERS]


@dataclass(frozen=True)
class Chosen:
    """An open question with the answer that was chosen, and what the answer does."""

    open: Open
    option: str
    text: str | None
    """What Required Actions show; None if the question is not asked there any more."""

    @property
    def confirmations(self) -> list[str]:
        return self.open.confirmations if self.option == APPROVE else []

    @property
    def consequence(self) -> str | None:
        """What happens after this answer, in the words of the question; None if it does not say."""
        found = CONSEQUENCE.finditer(self.text or "")
        return next((match["what"] for match in found if match["answer"] == self.option), None)

    @property
    def destroys(self) -> bool:
        """Whether rows are erased or removed."""
        return self.option.startswith(APPROVE) and self.open.question.rows_erased > 0


def open_questions(page: Page) -> list[Open]:
    """The open questions about tenants that the person may see; those by which most is lost come first."""
    asked = {
        question.question_id: (state.tenant, question)
        for state in page.season.states
        for question in state.facts.questions
    }
    mine = page.visitor.allowed({tenant for tenant, _ in asked.values()}, Right.DECIDE)
    answered = page.host.answered_by([question for _, question in asked.values()]) if asked else {}
    found = [
        Open(tenant, question, tenant in mine, answered.get(question.question_id))
        for tenant, question in asked.values()
    ]
    return sorted(found, key=lambda each: (-each.question.rows_erased, each.question.asked_at, each.key))


def one(found: Iterable[Open], tenant: Tenant, question_id: int) -> Open | None:
    """An open question of a tenant; None if it is closed or never was one."""
    mine = (each for each in found if each.tenant == tenant)
    return next((each for each in mine if each.question.question_id == question_id), None)


def closed_by(page: Page, tenant_id: str, question_id: int) -> str | None:
    """How a question was closed, in a sentence; None if the tenant never had it."""
    with page.session(page.require(tenant_id)) as connection:
        found = (each for each in questions.of_tenant(connection) if each.question_id == question_id)
        closed = next(found, None)
    if closed is None:
        return None
    match closed:
        case Question(answer=None):
            how = "It is still open."
        case Question(answer=questions.WITHDRAWN):
            how = "It was withdrawn: nobody has to answer it any more."
        case Question(answered_by=None):
            how = f"Nobody answered in time: {closed.answer}."
        case _:
            how = f"It was closed by {closed.answered_by}: {closed.answer}."
    return f"{closed.subject} {how}"


def chosen(page: Page, given: Sequence[str]) -> tuple[list[Chosen], list[str]]:
    """What was chosen, each as ``hero__springfield-il.12:Approve``, and a sentence for each that is closed already.

    Raises 404, 403 or 422 for what may not be seen, may not be answered, or is not offered.
    """
    found, closed, everything = list[Chosen](), list[str](), open_questions(page)
    for tenant_id, number, option in _parsed(given):
        open_ = one(everything, page.require(tenant_id, Right.DECIDE), number)
        if open_ is None:
            why = closed_by(page, tenant_id, number)
            if why is None:
                raise HTTPException(HTTPStatus.NOT_FOUND)
            closed.append(why)
        elif option not in open_.options:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "The question does not offer this answer.")
        else:
            found.append(Chosen(open_, option, page.host.text_of(open_.question)))
    return found, closed


def _parsed(given: Iterable[str]) -> list[tuple[str, int, str]]:
    found = dict[tuple[str, int], str]()
    for text in filter(None, given):
        match = GIVEN.fullmatch(text)
        if match is None:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "There is no such answer.")
        found[match["tenant"], int(match["number"])] = match["option"]
    return [(*key, option) for key, option in found.items()]


def as_html(text: str) -> Markup:
    """A question's Markdown as HTML. Names in it are escaped, and neither HTML, links nor images are made of it."""
    html = _markdown.render(text).replace(' style="text-align:right"', ' class="number"')
    return Markup(html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>"))  # noqa: S704

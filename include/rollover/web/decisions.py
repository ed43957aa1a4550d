"""The page Decisions: everything that waits for a person, and its answers, each confirmed on a second page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query, Response

from rollover.ledger.questions import LONGEST_REASON
from rollover.web.host import NotAnswered
from rollover.web.page import Page, PageDep
from rollover.web.questions import Chosen, as_html, chosen, closed_by, one, open_questions

router = APIRouter()

Given = Annotated[list[str], Query(default_factory=list, max_length=500)]
Sent = Annotated[list[str], Form(default_factory=list, max_length=500)]


@dataclass(frozen=True)
class Result:
    """What an answer led to; `refused` is why it was not taken."""

    subject: str
    option: str
    refused: str | None


@router.get("/decisions")
def decisions(page: PageDep) -> Response:
    """List all open questions."""
    return page.html("decisions.html.j2", found=open_questions(page))


@router.get("/decisions/confirm")
def confirm(page: PageDep, answer: Given) -> Response:
    """Say what would happen, and ask for the reason. Nothing is answered."""
    found, closed = chosen(page, answer)
    return _confirm(page, found, closed)


@router.get("/decisions/{tenant_id}/{question_id}")
def decision(page: PageDep, tenant_id: str, question_id: int) -> Response:
    """Show a question with all its numbers."""
    found = one(open_questions(page), page.require(tenant_id), question_id)
    if found is None:
        closed = closed_by(page, tenant_id, question_id)
        if closed is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _confirm(page, [], [closed])
    text = page.host.text_of(found.question)
    return page.html("decision.html.j2", open=found, text=None if text is None else as_html(text))


@router.post("/decisions")
def answer(page: PageDep, answer: Sent, also: Sent, reason: Annotated[str, Form()] = "") -> Response:
    """Answer the questions in Airflow, as the person, each on its own."""
    found, closed = chosen(page, answer)
    said = reason.strip()
    if not said or len(said) > LONGEST_REASON:
        what = (
            "Say why. The reason is kept." if not said else f"The reason is longer than {LONGEST_REASON:,} characters."
        )
        return _confirm(page, found, closed, missing=what, reason=reason)
    if any(confirmation not in _confirmed(each, also) for each in found for confirmation in each.confirmations):
        return _confirm(page, found, closed, missing="Confirm each school, or choose another answer.", reason=reason)
    results = [_answered(page, each, [each.option, *each.confirmations], said) for each in found]
    return page.html("decided.html.j2", results=results, closed=closed)


def _confirm(
    page: Page, found: list[Chosen], closed: list[str], *, missing: str | None = None, reason: str = ""
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if missing else HTTPStatus.OK
    values = {"found": found, "closed": closed, "missing": missing, "reason": reason}
    return page.html("confirm.html.j2", status=status, as_html=as_html, longest=LONGEST_REASON, **values)


def _confirmed(each: Chosen, also: Sequence[str]) -> list[str]:
    """What was confirmed about one question."""
    start = f"{each.open.key}:"
    return [text.removeprefix(start) for text in also if text.startswith(start)]


def _answered(page: Page, each: Chosen, options: Sequence[str], reason: str) -> Result:
    """Answer one question. The next ones are answered, too, if this one cannot be."""
    subject = each.open.question.subject
    try:
        page.host.answer(page.visitor, each.open.question, options, reason)
    except NotAnswered as error:
        return Result(subject, each.option, str(error))
    return Result(subject, each.option, None)

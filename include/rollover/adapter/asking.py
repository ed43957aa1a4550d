"""Asks people in Airflow: about a plan, a roster in review, and an archived year past its retention.

Each question is in the ledger from the moment it is asked; the step that does what was answered closes it there.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseNotifier, Param
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from rollover.adapter.runs import OpenImport, clock, open_import, open_rollover, open_run
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger import questions
from rollover.ledger.plans import PlanAction
from rollover.ledger.results import Step
from rollover.ledger.steps import PLAN_AGAIN
from rollover.roster.review.answers import QUESTION_LASTS, Answer
from rollover.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

REASON = "reason"
"""The name of the field beside the answers in which a person may say why."""


@dataclass(frozen=True)
class Shown:
    """What a person is shown: the question, the digest of what it is about, and how many rows are at stake."""

    kind: questions.Kind
    about: str
    subject: str
    markdown: str
    options: Sequence[str]
    digest: str
    rows_erased: int
    plan_no: int | None = None


class _Question(HITLOperator):
    """A question that the ledger has, too, with a field for the reason of the answer.

    The reason is free text, so it goes to the ledger only: not into what the task returns (XCom), and not into the
    operator of Airflow that would name it in an error.
    """

    def __init__(self, **kwargs: Any) -> None:
        about = "Why you answer this. Optional. It is kept in the evidence. Do not name students."
        reason = Param(None, type=["null", "string"], title="Reason", description=about)
        super().__init__(params={REASON: reason}, notifiers=[ApprovalAsked()], **kwargs)

    @abstractmethod
    def opened(self, context: Context) -> Run | OpenImport:
        """What is asked about."""

    def record(self, context: Context, shown: Shown, until: datetime | None = None) -> None:
        """Record in the ledger that a person is asked now."""
        task, work = context["ti"], self.opened(context)
        asked = questions.Asked(
            kind=shown.kind,
            about=shown.about,
            digest=shown.digest,
            subject=shown.subject,
            rows_erased=shown.rows_erased,
            options=shown.options,
            dag_id=task.dag_id,
            run_id=task.run_id,
            task_id=task.task_id,
            map_index=-1 if task.map_index is None else task.map_index,
            asked_at=clock(),
            plan_no=shown.plan_no,
            until=until,
        )
        with tenant_session(work.engine, work.tenant.id, exclusive=True) as connection:
            questions.ask(connection, work.tenant.id, asked)

    def answered(
        self, context: Context, event: dict[str, Any], digest: str, plan_no: int | None = None
    ) -> tuple[list[str], str | None, Any]:
        """Keep the reason in the ledger; return what was chosen, who chose it (a login) and when.

        Nobody in time is None. `Later` decides nothing, so no step will close the question: it is closed here.
        """
        given = event.get("params_input") or {}
        answer = super().execute_complete(context, {**event, "params_input": {}})
        chosen, by = answer["chosen_options"], answer["responded_by_user"]
        work, reason = self.opened(context), given.get(REASON)
        about = work.import_id if isinstance(work, OpenImport) else work.id
        with tenant_session(work.engine, work.tenant.id) as connection:
            said = reason if isinstance(reason, str) else None
            questions.keep_reason(connection, about, digest, said, plan_no=plan_no)
            if chosen == [Answer.LATER.value]:
                questions.close(connection, about, digest, answer=chosen[0], by=by and by["id"])
        return chosen, by["id"] if by else None, answer.get("responded_at")


class ApprovePlan(_Question):
    """Asks a person to approve the plan, and waits as long as it takes; returns the answer and the plan's hash.

    Not Airflow's ApprovalOperator, which skips all tasks after a rejection: the ledger would never record it.
    The hash is stored when the question is asked, so an answer never counts for a plan that nobody has seen. Airflow
    keeps the text of a question when its task is cleared, so only a new run can ask about a new plan.
    """

    OPTIONS = ("Approve", "Reject")

    def __init__(self, *, plan_task: str, tenant_id: str, **kwargs: Any) -> None:
        super().__init__(options=list(self.OPTIONS), **kwargs)
        self.plan_task = plan_task
        self.tenant_id = tenant_id

    def opened(self, context: Context) -> Run:
        return open_run(context["dag_run"].partition_key, self.tenant_id)

    def execute(self, context: Context) -> Any:
        plan = self._plan(context)
        if not plan["approval_required"]:
            raise AirflowSkipException("nobody is asked: no approval is required, or there is nothing to do")
        store, plan_hash = context["task_state_store"], plan["plan_hash"]
        asked_before = (store.get("plan_no"), store.get("plan_hash"))
        if asked_before not in ((None, None), (plan["plan_no"], plan_hash)):
            raise Refused(
                "This run has asked about another plan before, and Airflow would show that one again.",
                PLAN_AGAIN,
            )
        store.set("plan_no", plan["plan_no"], retention=NEVER_EXPIRE)
        store.set("plan_hash", plan_hash, retention=NEVER_EXPIRE)
        self._offer(plan)
        shown = Shown(
            kind="plan",
            about=self.opened(context).id,
            subject=plan["question"],
            markdown=plan["markdown"],
            options=self.options,
            digest=plan_hash,
            rows_erased=plan["rows"].get(PlanAction.ERASE, 0),
            plan_no=plan["plan_no"],
        )
        self.subject, self.body = shown.subject, shown.markdown
        self.record(context, shown)
        return super().execute(context)

    def _plan(self, context: Context) -> dict[str, Any]:
        """The result of the step `plan`, as JSON."""
        return dict(context["ti"].xcom_pull(task_ids=self.plan_task)[Step.PLAN.value])

    def _offer(self, plan: dict[str, Any]) -> None:
        """Offer an option for each school to confirm, beside Approve. Needed again when the answer comes, in another
        process."""
        if confirmations := plan.get("confirmations"):
            self.options, self.multiple = [*self.OPTIONS, *confirmations], True

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        self._offer(self._plan(context))
        store = context["task_state_store"]
        plan_no, plan_hash = cast("int | None", store.get("plan_no")), str(store.get("plan_hash"))
        chosen, by, at = self.answered(context, event, plan_hash, plan_no)
        return {
            "chosen_options": chosen,
            "responded_by_user": {"id": by} if by else None,  # not the name: this goes to XCom
            "responded_at": str(at or ""),
            "plan_no": plan_no,
            "plan_hash": plan_hash,
        }


class _Ask(_Question):
    """Asks a question whose text is made when it is asked; returns ``{"answer", "by", "digest"}``.

    Nobody is waited for longer than `QUESTION_LASTS`: then the answer is Later, which decides nothing, and the next
    nightly run asks again. The text goes to the question itself and not through XCom.
    """

    def __init__(self, *, options: list[str], **kwargs: Any) -> None:
        super().__init__(options=options, defaults=Answer.LATER.value, response_timeout=QUESTION_LASTS, **kwargs)

    @abstractmethod
    def shown(self, context: Context) -> Shown:
        """The question as it is now. Raises AirflowSkipException if there is nothing to ask."""

    def execute(self, context: Context) -> Any:
        asked_before = context["task_state_store"].get("digest")
        shown = self.shown(context)
        if asked_before not in (None, shown.digest):
            # Airflow keeps the text of a question when its task is run again, so the old numbers would be shown.
            raise AirflowSkipException("the numbers have changed since they were shown: the next run asks again")
        context["task_state_store"].set("digest", shown.digest, retention=NEVER_EXPIRE)
        self.subject, self.body, self.options = shown.subject, shown.markdown, list(shown.options)
        self.record(context, shown, until=clock() + QUESTION_LASTS)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        digest = str(context["task_state_store"].get("digest"))
        chosen, by, _ = self.answered(context, event, digest)
        return {"answer": chosen[0], "by": by or "", "digest": digest}  # not the name: this goes to XCom


class AskAboutImport(_Ask):
    """Asks a person about a roster in review, with its numbers. Skipped if nothing is in review.

    The numbers are read when the question is asked, since a set in review is compared again when the roster changes.
    """

    template_fields = (*HITLOperator.template_fields, "import_id")

    def __init__(self, *, import_id: str, **kwargs: Any) -> None:
        super().__init__(subject="A roster needs review", options=[answer.value for answer in Answer], **kwargs)
        self.import_id = import_id

    def opened(self, context: Context) -> OpenImport:
        return open_import(self.import_id)

    def shown(self, context: Context) -> Shown:
        from rollover.roster.review.decision import open_question, question, why_not_asked

        work, run_id = self.opened(context), context["run_id"]
        with tenant_session(work.engine, work.tenant.id, exclusive=True) as connection:
            if why := why_not_asked(connection, self.import_id):
                raise AirflowSkipException(f"nobody is asked: {why}")
            found = question(connection, self.import_id)
            if why := open_question(connection, self.import_id, by_run=run_id, digest=found.digest, now=clock()):
                raise AirflowSkipException(f"nobody is asked again: {why}")
        return Shown(
            kind="roster",
            about=self.import_id,
            subject=found.subject(work.district.name, work.product.label),
            markdown=found.markdown,
            options=[answer.value for answer in found.answers],
            digest=found.digest,
            rows_erased=found.removed,
        )


class AskAboutExpiry(_Ask):
    """Asks a person to approve the erasure of an archived year; `year` is its rollover's id."""

    template_fields = (*HITLOperator.template_fields, "year")

    def __init__(self, *, year: str, **kwargs: Any) -> None:
        options = [Answer.APPROVE.value, Answer.LATER.value]
        super().__init__(subject="An archived year is past its retention", options=options, **kwargs)
        self.year = year

    def opened(self, context: Context) -> Run:
        return open_rollover(self.year)

    def shown(self, context: Context) -> Shown:
        from rollover.disposal import expiry, expiry_page

        run = self.opened(context)
        try:
            found = expiry.freeze(run)
        except Refused as error:  # a hold came in the meantime
            raise AirflowSkipException(str(error)) from None
        with tenant_session(run.engine, run.tenant.id) as connection:
            text = expiry_page.markdown(connection, run, found.content)
        return Shown(
            kind="expiry",
            about=run.id,
            subject=expiry_page.question(run, found.content),
            markdown=text,
            options=self.options,
            digest=found.plan_hash,
            rows_erased=found.content["rows"],
        )


class ApprovalAsked(BaseNotifier):
    """Says where the question can be answered."""

    def notify(self, context: Context) -> None:
        try:
            where = HITLOperator.generate_link_to_ui_from_context(context=context)
        except ValueError:  # no base_url is configured; an error here would fail the question itself
            where = "Browse, Required Actions"
        log.info("a person is asked: %s", where)

"""Asks people in Airflow: about a plan, a roster in review, and an archived year past its retention."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseNotifier
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from rollover.adapter.importing import open_import
from rollover.adapter.runs import clock, open_rollover
from rollover.database.session import tenant_session
from rollover.errors import Refused
from rollover.ledger.steps import PLAN_AGAIN
from rollover.roster.review.answers import QUESTION_LASTS, Answer

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class ApprovePlan(HITLOperator):
    """Asks a person to approve the plan, and waits as long as it takes; returns the answer and the plan's hash.

    Not Airflow's ApprovalOperator, which skips all tasks after a rejection: the ledger would never record it.
    The hash is stored when the question is asked, so an answer never counts for a plan that nobody has seen. Airflow
    keeps the text of a question when its task is cleared, so only a new run can ask about a new plan.
    """

    OPTIONS = ("Approve", "Reject")

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(options=list(self.OPTIONS), notifiers=[ApprovalAsked()], **kwargs)
        self.plan_task = plan_task

    def execute(self, context: Context) -> Any:
        plan = context["ti"].xcom_pull(task_ids=self.plan_task)
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
        return super().execute(context)

    def _offer(self, plan: dict[str, Any]) -> None:
        """Offer an option for each school to confirm, beside Approve. Needed again when the answer comes, in another
        process."""
        if confirmations := plan.get("confirmations"):
            self.options, self.multiple = [*self.OPTIONS, *confirmations], True

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        self._offer(context["ti"].xcom_pull(task_ids=self.plan_task))
        answer = super().execute_complete(context, event)
        by = answer["responded_by_user"]
        return {
            "chosen_options": answer["chosen_options"],
            "responded_by_user": {"id": by["id"]} if by else None,  # not the name: this goes to XCom
            "responded_at": str(answer.get("responded_at") or ""),
            "plan_no": context["task_state_store"].get("plan_no"),
            "plan_hash": context["task_state_store"].get("plan_hash"),
        }


class _Ask(HITLOperator):
    """Asks a question whose text is made when it is asked; returns ``{"answer", "by", "digest"}``.

    Nobody is waited for longer than `QUESTION_LASTS`: then the answer is Later, which decides nothing, and the next
    nightly run asks again. The text goes to the question itself and not through XCom.
    """

    def __init__(self, *, options: list[str], **kwargs: Any) -> None:
        super().__init__(
            options=options,
            defaults=Answer.LATER.value,
            response_timeout=QUESTION_LASTS,
            notifiers=[ApprovalAsked()],
            **kwargs,
        )

    def asked(self, run_id: str) -> tuple[str, str, list[str], str]:
        """Subject, text, options and the digest of what is asked about. Raises AirflowSkipException for nothing."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        asked_before = context["task_state_store"].get("digest")
        self.subject, self.body, self.options, digest = self.asked(context["run_id"])
        if asked_before not in (None, digest):
            # Airflow keeps the text of a question when its task is run again, so the old numbers would be shown.
            raise AirflowSkipException("the numbers have changed since they were shown: the next run asks again")
        context["task_state_store"].set("digest", digest, retention=NEVER_EXPIRE)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        by = answer["responded_by_user"]
        return {
            "answer": answer["chosen_options"][0],
            "by": by["id"] if by else "",  # not the name: this goes to XCom
            "digest": context["task_state_store"].get("digest"),
        }


class AskAboutImport(_Ask):
    """Asks a person about a roster in review, with its numbers. Skipped if nothing is in review.

    The numbers are read when the question is asked, since a set in review is compared again when the roster changes.
    """

    template_fields = (*HITLOperator.template_fields, "import_id")

    def __init__(self, *, import_id: str, **kwargs: Any) -> None:
        super().__init__(subject="A roster needs review", options=[answer.value for answer in Answer], **kwargs)
        self.import_id = import_id

    def asked(self, run_id: str) -> tuple[str, str, list[str], str]:
        from rollover.roster.review.decision import open_question, question, why_not_asked

        work = open_import(self.import_id)
        with tenant_session(work.engine, work.tenant.id, exclusive=True) as connection:
            if why := why_not_asked(connection, self.import_id):
                raise AirflowSkipException(f"nobody is asked: {why}")
            found = question(connection, self.import_id)
            if why := open_question(connection, self.import_id, by_run=run_id, digest=found.digest, now=clock()):
                raise AirflowSkipException(f"nobody is asked again: {why}")
        subject = found.subject(work.district.name, work.product.label)
        return subject, found.markdown, [*map(str, found.answers)], found.digest


class AskAboutExpiry(_Ask):
    """Asks a person to approve the erasure of an archived year; `year` is its rollover's id."""

    template_fields = (*HITLOperator.template_fields, "year")

    def __init__(self, *, year: str, **kwargs: Any) -> None:
        options = [Answer.APPROVE.value, Answer.LATER.value]
        super().__init__(subject="An archived year is past its retention", options=options, **kwargs)
        self.year = year

    def asked(self, run_id: str) -> tuple[str, str, list[str], str]:
        from rollover.disposal import expiry, expiry_page

        run = open_rollover(self.year)
        try:
            found = expiry.freeze(run)
        except Refused as error:  # a hold came in the meantime
            raise AirflowSkipException(str(error)) from None
        with tenant_session(run.engine, run.tenant.id) as connection:
            text = expiry_page.markdown(connection, run, found.content)
        return expiry_page.question(run, found.content), text, self.options, found.plan_hash


class ApprovalAsked(BaseNotifier):
    """Says where the question can be answered."""

    def notify(self, context: Context) -> None:
        try:
            where = HITLOperator.generate_link_to_ui_from_context(context=context)
        except ValueError:  # no base_url is configured; an error here would fail the question itself
            where = "Browse, Required Actions"
        log.info("a person is asked: %s", where)

"""
### One tenant's school year ends

Walks one district's use of one product from the old school year into the new one: pause the roster sync, freeze a plan,
export the reports, have the plan approved, archive and prove, erase, reset, wait for the new roster, import it, verify
it, resume the sync, certify. One DAG per tenant, one run per school year, on its reset date; its key is the year.

**Guarantees.** Nothing is erased that is not in the frozen plan. What a subscription keeps is archived and read
back before it goes. Every step can be killed and run again: the ledger, not Airflow, says what was done. A year
that was certified is not rolled over twice: a second run ends after `guard`, unless rows of that year came late.

**Not guaranteed.** Speed: `ask_approval` waits for a person, `await_roster` for files, holding no worker. If the
new year's roster needs a review, `roster_import` asks for it; `await_roster` goes on when it is approved.

**A past year**: `airflow backfill create --dag-id rollover__hero__springfield-il --from-date 2022-07-01
--to-date 2024-07-01 --reprocess-behavior completed --max-active-runs 1` archives or erases the data of 2022-23
to 2024-25, oldest first. Pause, reset and roster are skipped: they belong to the current year.

**When it fails.** The roster sync stays paused, on purpose. Read the log of the failed task: it says why, and how to go
on. Do that, and clear the task. To have another plan approved, also for late rows, trigger the DAG again with the same
partition key: Airflow keeps the text of a question, so only a new run can ask a new one. Done steps are not repeated.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, TriggerRule, chain, dag, get_current_context, task
from import_group import import_for_rollover
from wiring import DEFAULT_ARGS, DISPLAY_NAMES, Tag

from rollover.adapter import asking, connections, failing, runs, waiting
from rollover.config import District, Product
from rollover.ledger.results import Step
from rollover.tenant import Tenant
from school_year_timetable import SchoolYearTimetable

AFTER_A_SKIP = TriggerRule.NONE_FAILED  # what is skipped for a past year does not skip what follows


def rollover_dag(tenant: Tenant, district: District, product: Product) -> DAG:
    """The DAG of one tenant."""

    def step(name: Step, *, only_current_year: bool = False, **options: Any) -> Any:
        """A task that does one step; a past year skips those that belong to the current year only."""

        @task(task_id=name.value, task_display_name=DISPLAY_NAMES.get(name.value), **options)
        def task_of_step(partition_key: str | None = None) -> dict[str, Any]:
            from rollover.yearend.steps import run_step

            run = runs.open_run(partition_key, tenant.id)
            if only_current_year:
                runs.only_current_year(run)
            with connections.outbox_of(run.district) as outbox:
                return run_step(name, run, outbox).as_json()

        return task_of_step()

    @task.short_circuit(task_display_name=DISPLAY_NAMES["guard"])
    def guard(partition_key: str | None = None) -> dict[str, Any] | None:
        from rollover.yearend import steps

        admission = steps.guard(runs.open_run(partition_key, tenant.id), get_current_context()["run_id"], runs.is_alive)
        return admission.as_json() if admission.go else None

    @task(trigger_rule=AFTER_A_SKIP, task_display_name=DISPLAY_NAMES["approve"])
    def approve(answer: dict[str, Any] | None, partition_key: str | None = None) -> dict[str, Any]:
        from rollover.yearend import steps
        from rollover.yearend.approval import PlanAnswer

        return steps.approve(runs.open_run(partition_key, tenant.id), PlanAnswer.of(answer)).as_json()

    @dag(
        dag_id=tenant.dag_id,
        dag_display_name=f"{district.name} · {product.label}",
        description=f"Ends the school year of {district.name} in {product.name}",
        doc_md=__doc__,
        schedule=SchoolYearTimetable.of(district, product),
        max_active_runs=1,
        default_args=DEFAULT_ARGS,
        on_failure_callback=failing.on_failure,
        tags=[Tag.ROLLOVER, tenant.product, tenant.district],
    )
    def rollover() -> None:
        ask_approval = asking.ApprovePlan(
            task_id=Step.ASK_APPROVAL.value,
            plan_task=Step.PLAN.value,
            tenant_id=tenant.id,
            subject="A plan needs approval",
        )
        await_roster = waiting.AwaitRoster(task_id=Step.AWAIT_ROSTER.value, tenant_id=tenant.id)
        chain(
            guard(),
            step(Step.PAUSE_SYNC, only_current_year=True),
            step(Step.PLAN, trigger_rule=AFTER_A_SKIP),
            step(Step.EXPORT_REPORTS),
            ask_approval,
            approve(ask_approval.output),
            step(Step.ARCHIVE),
            step(Step.ERASE),
            step(Step.RESET, only_current_year=True),
            step(Step.VERIFY_RESET, trigger_rule=AFTER_A_SKIP),
            await_roster,
            import_for_rollover(await_roster.output),
            step(Step.VERIFY_ROSTER),
            step(Step.RESUME_SYNC),
            step(Step.CERTIFY, trigger_rule=AFTER_A_SKIP),
        )

    return rollover()

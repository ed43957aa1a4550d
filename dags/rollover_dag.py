"""
### One tenant's school year ends

Walks one district's use of one product from the old school year into the new one. One DAG per tenant, one run per
school year, on its reset date; its key is the year. What always runs together is one task:

| Task | Steps of the ledger |
|---|---|
| `plan` | `guard`: may it begin? `pause_sync`; `plan`: freeze what happens to which rows |
| `export_reports` | the year's reports, into the outbox |
| `ask_approval` | a person approves the plan, where the product asks for it |
| `archive` | `approve`: record the answer; `archive`: write rows and read them back |
| `erase` | `erase` the planned rows; `reset` points and avatars; `verify_reset` |
| `await_roster` | wait until the new year's roster is checked and ready |
| `import_roster` | `import_roster`: make it the live one; `verify_roster` |
| `certify` | `resume_sync`; `certify` |

**Guarantees.** Nothing is erased that is not in the frozen plan. What a subscription keeps is archived and read
back before it goes. Every step can be killed and run again: the ledger, not Airflow, says what was done. A year
that was certified is not rolled over twice: a second run ends after its `guard`, unless rows of that year came late.

**Not guaranteed.** Speed: `ask_approval` waits for a person, `await_roster` for files, holding no worker. If the
new year's roster needs a review, `roster_import` asks for it; `await_roster` goes on when it is approved.

**A past year**: `airflow backfill create --dag-id rollover__hero__springfield-il --from-date 2022-07-01
--to-date 2024-07-01 --reprocess-behavior completed --max-active-runs 1` archives or erases the data of 2022-23
to 2024-25, oldest first. Pause, reset and roster are left out: they belong to the current year.

**When it fails.** The roster sync stays paused, on purpose. Read the log of the failed task: it says why, and how to go
on. Do that, and clear the task. To have another plan approved, also for late rows, trigger the DAG again with the same
partition key: Airflow keeps the text of a question, so only a new run can ask a new one. Done steps are not repeated.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, TriggerRule, chain, dag, get_current_context, task
from wiring import DEFAULT_ARGS, DISPLAY_NAMES, Pool, Tag

from rollover.adapter import asking, failing, runs, stepping, waiting
from rollover.config import District, Product
from rollover.ledger.results import Step
from rollover.tenant import Tenant
from school_year_timetable import SchoolYearTimetable

AFTER_A_SKIP = TriggerRule.NONE_FAILED  # what is skipped for a past year does not skip what follows


def rollover_dag(tenant: Tenant, district: District, product: Product) -> DAG:
    """The DAG of one tenant."""

    @task.short_circuit(task_display_name=DISPLAY_NAMES["plan"])
    def plan(partition_key: str | None = None) -> dict[str, Any] | None:
        run = runs.open_run(partition_key, tenant.id)
        return stepping.plan(run, get_current_context()["run_id"], runs.is_alive)

    @task(task_display_name=DISPLAY_NAMES["export_reports"])
    def export_reports(partition_key: str | None = None) -> dict[str, Any]:
        return stepping.take(runs.open_run(partition_key, tenant.id), Step.EXPORT_REPORTS)

    @task(trigger_rule=AFTER_A_SKIP, task_display_name=DISPLAY_NAMES["archive"])
    def archive(answer: dict[str, Any] | None, partition_key: str | None = None) -> dict[str, Any]:
        return stepping.approve_and_archive(runs.open_run(partition_key, tenant.id), answer)

    @task(task_display_name=DISPLAY_NAMES["erase"])
    def erase(partition_key: str | None = None) -> dict[str, Any]:
        return stepping.take(runs.open_run(partition_key, tenant.id), Step.ERASE, Step.RESET, Step.VERIFY_RESET)

    @task(task_display_name=DISPLAY_NAMES["import_roster"])
    def import_roster(import_id: str, partition_key: str | None = None) -> dict[str, Any]:
        return stepping.import_roster(runs.open_run(partition_key, tenant.id), import_id)

    @task(trigger_rule=AFTER_A_SKIP, task_display_name=DISPLAY_NAMES["certify"])
    def certify(partition_key: str | None = None) -> dict[str, Any]:
        return stepping.take(runs.open_run(partition_key, tenant.id), Step.RESUME_SYNC, Step.CERTIFY)

    @dag(
        dag_id=tenant.dag_id,
        dag_display_name=f"{district.name} · {product.label}",
        description=f"Ends the school year of {district.name} in {product.name}",
        doc_md=__doc__,
        schedule=SchoolYearTimetable.of(district, product),
        max_active_runs=1,
        # By Airflow's rule a task weighs as much as all that follow: large districts first, then who is less far.
        default_args={**DEFAULT_ARGS, "pool": Pool.ROLLOVERS, "priority_weight": district.weight},
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
            plan(),
            export_reports(),
            ask_approval,
            archive(ask_approval.output),
            erase(),
            await_roster,
            import_roster(await_roster.output),
            certify(),
        )

    return rollover()

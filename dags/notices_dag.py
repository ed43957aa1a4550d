"""
### Notifies districts and the data team

Mails each notice that is due: 4 weeks, 2 weeks, 1 week and 1 day before a reset; when a rollover is certified; when the
new year's files are missing; when a roster set is rejected or in review; when a plan waits for its approval; when a
step fails. Who gets which: docs/notices.md.

**Guarantees.** Each notice is sent once to a role, whatever is killed when; it is written to the ledger before it is
sent. A notice that cannot be sent holds up no other notice and no rollover: this DAG is the only one that talks to the
mail server. It is tried again by the next run, and the season shows it until then. No mail names a student, and no
address is in a log, an XCom or the ledger.

**Not guaranteed.** If a worker is killed after the mail server has taken a mail and before that is recorded, the next
run sends it again, with the same Message-ID.

**Schedule.** `ROLLOVER_NOTICES_SCHEDULE`, a cron expression in UTC. A run with nothing to send is two queries. The mail
server is the connection `rollover_mail`, or else `smtp_default`; Slack and others are `rollover_apprise`.

**When it fails.** `rollover notices --unsent` lists what could not be sent, and why. A run that fails needs no
clearing: the next one does the same.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import CronTriggerTimetable, dag, task
from wiring import DEFAULT_ARGS, Pool, Tag

from rollover.adapter import failing, runs
from rollover.settings import Settings


@dag(
    dag_id="notices",
    dag_display_name="Notices to districts and the data team",
    description="Sends the notices that are due to districts and the data team, each once",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(Settings().notices_schedule, timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={**DEFAULT_ARGS, "pool": Pool.NIGHTLY},
    on_failure_callback=failing.on_failure,
    tags=[Tag.NOTICES],
)
def notices() -> None:
    @task(execution_timeout=timedelta(minutes=30))
    def send() -> dict[str, int]:
        from rollover.adapter import notifying
        from rollover.notify.send import send_due

        with notifying.post() as post:
            return send_due(post, runs.clock())

    send()


notices()

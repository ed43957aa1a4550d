"""Where Rollover meets Airflow: connections, waiting, asking and telling. No other module here imports it.

DAG files import it when they are parsed, so what is heavy (paramiko) is imported where it is used.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator, get_current_context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import NEVER_EXPIRE
from airflow.triggers.base import BaseTrigger, TriggerEvent
from sqlalchemy import URL, Engine
from upath import UPath

from rollover import ledger
from rollover.calendar import SchoolYear
from rollover.config import Catalog, District, Product, RosterLimits, TenantConfig, load_catalog
from rollover.database.session import connect, tenant_session
from rollover.errors import Refused
from rollover.roster.deciding.answers import Answer
from rollover.run import Run
from rollover.settings import Settings
from rollover.tenant import SEPARATOR, Tenant

if TYPE_CHECKING:
    import paramiko
    from airflow.sdk import Context

    from rollover.intake import Place, Watch
    from rollover.roster.fetching.transfer import Server

log = logging.getLogger(__name__)

PRODUCT_DB = "product_db"
SFTP_CONNECT_SECONDS = 30
SFTP_STALL_SECONDS = 60.0
"""How long a server may leave a request unanswered."""
CATALOG_SECONDS = 300.0
"""How long the watch goes by the district files as it read them."""
NIGHTLY = "nightly"
"""In the extra of an asset event: the nightly sweep sent it."""
QUESTION_HOURS = 20
"""Less than a day: the question of one night is closed before the next night's sweep asks again."""
UNFINISHED = frozenset({"queued", "running"})


# Connections


def engine() -> Engine:
    """The product database, from the Airflow connection ``product_db``; its host may be a socket folder."""
    said = BaseHook.get_connection(PRODUCT_DB)
    query = {str(key): str(value) for key, value in said.extra_dejson.items()}
    host = said.host
    if host and host.startswith("/"):
        query, host = {"host": host, **query}, None
    url = URL.create("postgresql+psycopg", said.login, said.password, host, said.port, said.schema, query)
    return connect(url)


@contextmanager
def sftp(connection_id: str) -> Iterator[paramiko.SFTPClient]:
    """A session with a district's SFTP server, to list folders and to deliver to the outbox.

    Raises Refused where the connection names no host key or the server shows another one: whoever answers would get
    our password and could send any roster. Raises TimeoutError where the server falls silent.
    """
    hook = _sftp_hook(connection_id)
    hook.compress = False  # the hook's default is a third of the speed; roster sets come zipped where size matters
    hook.conn_timeout = hook.conn_timeout or SFTP_CONNECT_SECONDS
    with hook.get_managed_conn() as client:
        channel = client.get_channel()
        if channel.get_transport().get_remote_server_key() != hook.host_key:
            # The worker's own known_hosts has another key, which the hook prefers.
            raise Refused(
                f"The server of the connection '{connection_id}' shows another host key than the connection names.",
                "ask its operator whether the key was changed; if so, put the new one into the connection's host_key.",
            )
        channel.settimeout(SFTP_STALL_SECONDS)
        yield client


def sftp_server(connection_id: str) -> Server:
    """A district's SFTP server, to fetch from. Raises Refused like :func:`sftp`."""
    from rollover.roster.fetching.transfer import CONNECT_SECONDS, Server

    hook = _sftp_hook(connection_id)
    extra = hook.get_connection(connection_id).extra_dejson
    password = hook.password.strip() if hook.password else None  # as the hook does
    return Server(
        host=hook.remote_host,
        port=hook.port,
        user=hook.username,
        host_key=f"{hook.host_key.get_name()} {hook.host_key.get_base64()}",
        password=password,
        private_key=extra.get("private_key") or None,
        key_file=hook.key_file,
        passphrase=extra.get("private_key_passphrase") or (password if hook.key_file else None),
        proxy_command=hook.host_proxy_cmd,
        connect_seconds=hook.conn_timeout or CONNECT_SECONDS,
    )


def _sftp_hook(connection_id: str) -> Any:
    """Airflow's reading of a connection, whose extra must have a ``host_key``."""
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    hook = SFTPHook(ssh_conn_id=connection_id)
    if hook.host_key is None or hook.no_host_key_check:
        raise Refused(
            f"The connection '{connection_id}' names no host key.",
            'add the server\'s public key to its extra: {"host_key": "ssh-ed25519 AAAA…"}.',
        )
    return hook


# Runs


def clock() -> datetime:
    """The one look at a clock that a run makes."""
    return datetime.now(UTC)


def catalog() -> Catalog:
    """The district and product files that are right."""
    settings = Settings()
    return load_catalog(settings.districts, settings.products)


def open_run(partition_key: str | None, tenant_id: str) -> Run:
    """What every step of a rollover takes. Raises Refused for a run without a school year as its key."""
    try:
        school_year = SchoolYear.parse(partition_key or "")
    except ValueError:
        raise Refused(
            f"The run of {tenant_id} has no school year as its partition key.",
            "start it with one: Trigger, Advanced Options, Partition Key, like 2025-26.",
        ) from None
    tenant, known, settings = Tenant.parse(tenant_id), catalog(), Settings()
    return Run(
        engine=engine(),
        tenant=tenant,
        school_year=school_year,
        district=_district_of(known, tenant),
        product=known.products[tenant.product],
        storage=settings.storage_root,
        now=clock(),
        signing_key=settings.signing_key,
        archive_keys=settings.archive_keys,
        backup_days=settings.backup_days,
    )


def open_rollover(rollover_id: str) -> Run:
    """The same by a rollover's id, ``<tenant>__<school year>``, in a run that is about several."""
    tenant_id, _, year = rollover_id.rpartition(SEPARATOR)
    return open_run(year, tenant_id)


def is_alive(run_id: str) -> bool:
    """Whether another run of the current DAG is still at work, as Airflow knows it."""
    task = get_current_context()["ti"]
    if task.get_dr_count(dag_id=task.dag_id, run_ids=[run_id]) == 0:
        return False
    return str(task.get_dagrun_state(dag_id=task.dag_id, run_id=run_id)) in UNFINISHED


def only_current_year(run: Run) -> None:
    """Skip the current task in the rollover of a past year, which only archives or erases."""
    with tenant_session(run.engine, run.tenant.id) as connection:
        if not ledger.is_current(connection, run):
            raise AirflowSkipException(f"{run.school_year} is a past year of {run.tenant}: nothing to do here")


class Outbox:
    """A district's outbox, over one session that begins with the first file: there may be hundreds."""

    def __init__(self, district: District, session: ExitStack) -> None:
        self._connection, self._session = district.sftp_connection, session

    def deliver(self, file: UPath, remote_path: str) -> None:
        from rollover import drops

        with file.open("rb") as stream:
            drops.put_file(self._client, stream, remote_path)

    def remove(self, remote_path: str) -> None:
        from rollover import drops

        drops.remove_file(self._client, remote_path)

    @cached_property
    def _client(self) -> paramiko.SFTPClient:
        return self._session.enter_context(sftp(self._connection))


@contextmanager
def outbox_of(district: District) -> Iterator[Outbox]:
    """Where a step puts what the district is to find, and takes it away again."""
    with ExitStack() as session:
        yield Outbox(district, session)


def tenant_of(partition_key: str | None) -> Tenant:
    """The tenant that a run's partition key names. Raises Refused where it names none."""
    try:
        return Tenant.parse(partition_key or "")
    except ValueError as error:
        raise Refused(f"The partition key {error}.", "start the run with a tenant as its partition key.") from None


@dataclass(frozen=True)
class OpenImport:
    """What the steps of one import take."""

    engine: Engine
    tenant: Tenant
    district: District
    product: Product
    storage: UPath

    @property
    def config(self) -> TenantConfig:
        return self.district.products[self.product.product]

    @property
    def limits(self) -> RosterLimits:
        return self.product.limits_of(self.config)


def open_import(import_id: str) -> OpenImport:
    """An import by its id, ``<tenant>__<12 digits>``, which says whose it is."""
    tenant, known = Tenant.parse(import_id.rpartition(SEPARATOR)[0]), catalog()
    district, product = _district_of(known, tenant), known.products[tenant.product]
    return OpenImport(engine(), tenant, district, product, Settings().storage_root)


def import_is_due(work: OpenImport) -> bool:
    """Whether a ready import may be applied in this run: at once, in the nightly sweep, or when a person asks.

    The sweep says so in its asset event; a run without any event was started by a person.
    """
    if work.config.roster_import == "at_once":
        return True
    by_asset = get_current_context()["triggering_asset_events"]
    events = [event for group in by_asset.values() for event in group]
    return not events or any(event.extra.get(NIGHTLY) for event in events)


def _district_of(known: Catalog, tenant: Tenant) -> District:
    district = known.districts.get(tenant.district)
    if district is None or tenant.product not in district.products:
        raise Refused(
            f"No district file that is right lists {tenant}.",
            "see the import error of district_files.py, mend the file, then clear this task.",
        )
    return district


# Waiting, in the triggerer

_watches: dict[float, Watch] = {}
"""By settle time: outlive the triggers, so that what was seen before a drop was found is not forgotten."""


class DropsSettledTrigger(BaseTrigger):
    """Fires when one or more drops that nobody has recorded yet have settled, with all of them."""

    def __init__(self, settle_seconds: float, poll_seconds: float) -> None:
        super().__init__()
        self.settle_seconds = settle_seconds
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        arguments = {"settle_seconds": self.settle_seconds, "poll_seconds": self.poll_seconds}
        return f"{__name__}.{type(self).__name__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from rollover.intake import Watch, places

        watch = _watches.setdefault(self.settle_seconds, Watch(self.settle_seconds))
        where: tuple[Place, ...] = ()
        read_at = float("-inf")
        while True:
            await asyncio.sleep(self.poll_seconds)  # first: see Airflow's race in RosterReadyTrigger
            try:
                if time.monotonic() - read_at > CATALOG_SECONDS:
                    where, read_at = places(await asyncio.to_thread(catalog)), time.monotonic()
                found = await asyncio.to_thread(watch.look, where, engine, sftp, time.monotonic())
                if found:
                    yield TriggerEvent([drop.as_json() for drop in found])
                    return
            except Exception:  # a trigger that raises would end the watch
                log.exception("cannot look for drops; trying again")


class RosterReadyTrigger(BaseTrigger):
    """Fires with the id of the import that brings in a tenant's school year, once there is one."""

    def __init__(self, tenant_id: str, school_year: str, poll_seconds: float) -> None:
        super().__init__()
        self.tenant_id = tenant_id
        self.school_year = school_year
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("tenant_id", "school_year", "poll_seconds")
        return f"{__name__}.{type(self).__name__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while True:
            # First, also when the roster is there already: the scheduler takes a task for lost that is queued
            # again before it has heard from the executor that the task had deferred.
            await asyncio.sleep(self.poll_seconds)
            try:
                import_id = await asyncio.to_thread(self.find)
                if import_id is not None:
                    yield TriggerEvent(import_id)
                    return
            except Exception:  # the database may be restarted in the weeks of a summer
                log.exception("cannot read the ledger; trying again")

    def find(self) -> str | None:
        """The import, as the ledger has it now."""
        from rollover.roster.pending import awaited_import

        with tenant_session(engine(), self.tenant_id) as connection:
            return awaited_import(connection, self.school_year)


class WaitForDrops(BaseOperator):
    """Waits, without a worker, until drops have settled; returns them as JSON."""

    def execute(self, context: Context) -> None:
        settings = Settings()
        self.defer(trigger=DropsSettledTrigger(settings.settle_seconds, settings.poll_seconds), method_name="found")

    def found(self, context: Context, event: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return event


class AwaitRoster(BaseOperator):
    """Waits, without a worker, for the new year's roster; returns its import id. A past year waits for none."""

    def __init__(self, *, tenant_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant_id = tenant_id

    def execute(self, context: Context) -> str:
        run = open_run(context["dag_run"].partition_key, self.tenant_id)
        only_current_year(run)
        trigger = RosterReadyTrigger(self.tenant_id, run.school_year.next.key, Settings().poll_seconds)
        if import_id := trigger.find():
            return import_id
        self.defer(trigger=trigger, method_name="found")

    def found(self, context: Context, event: str) -> str:
        return event


# Asking and telling


class ApprovePlan(HITLOperator):
    """Asks a person to approve the plan, for as long as it takes; returns the answer and the plan's hash.

    Not Airflow's ApprovalOperator: it skips what follows a rejection, and the ledger would never hear of it.
    The hash is kept from when the question was put, so an answer never counts for a plan nobody has seen. Airflow keeps
    the text of a question when its task is cleared, so a further plan can only be put in a further run.
    """

    OPTIONS = ("Approve", "Reject")

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(options=list(self.OPTIONS), notifiers=[ApprovalAsked()], **kwargs)
        self.plan_task = plan_task

    def execute(self, context: Context) -> Any:
        plan = context["ti"].xcom_pull(task_ids=self.plan_task)
        if not plan["approval_required"]:
            raise AirflowSkipException("the product file asks for no approval")
        plan_hash, asked_before = plan["plan_hash"], context["task_state_store"].get("plan_hash")
        if asked_before not in (None, plan_hash):
            raise Refused(
                "This run has asked about another plan before, and Airflow would show that one again.",
                ledger.PLAN_ANEW,
            )
        context["task_state_store"].set("plan_hash", plan_hash, retention=NEVER_EXPIRE)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        by = answer["responded_by_user"]
        return {
            "chosen_options": answer["chosen_options"],
            "responded_by_user": {"id": by["id"]} if by else None,  # not the name: this goes to XCom
            "plan_hash": context["task_state_store"].get("plan_hash"),
        }


class _Ask(HITLOperator):
    """Puts a question whose text is read when it is put; returns ``{"answer", "by", "digest"}``.

    Nobody is waited for longer than `QUESTION_HOURS`: then the answer is Later, which decides nothing, and the next
    nightly run asks again. The text goes to the question itself and not through XCom.
    """

    def __init__(self, *, options: list[str], **kwargs: Any) -> None:
        super().__init__(
            options=options,
            defaults=Answer.LATER.value,
            response_timeout=timedelta(hours=QUESTION_HOURS),
            notifiers=[ApprovalAsked()],
            **kwargs,
        )

    def asked(self) -> tuple[str, str, list[str], str]:
        """Subject, text, options and the digest of what is asked about. Raises AirflowSkipException for nothing."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        asked_before = context["task_state_store"].get("digest")
        self.subject, self.body, self.options, digest = self.asked()
        if asked_before not in (None, digest):
            # Airflow keeps the text of a question when its task is run again, so the old numbers would be shown.
            raise AirflowSkipException("the numbers are others than those that were shown: the next run asks anew")
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
    """Puts a held import to a person, with its numbers: they are read when it is put, since a held set is compared
    anew while the roster changes. Skipped where nothing is held."""

    template_fields = (*HITLOperator.template_fields, "import_id")

    def __init__(self, *, import_id: str, **kwargs: Any) -> None:
        super().__init__(subject="A roster is held", options=[answer.value for answer in Answer], **kwargs)
        self.import_id = import_id

    def asked(self) -> tuple[str, str, list[str], str]:
        from rollover.roster.deciding.decision import question, why_not_asked

        work = open_import(self.import_id)
        with tenant_session(work.engine, work.tenant.id) as connection:
            if why := why_not_asked(connection, self.import_id):
                raise AirflowSkipException(f"nobody is asked: {why}")
            found = question(connection, self.import_id)
        return found.subject, found.markdown, [*map(str, found.answers)], found.digest


class AskAboutExpiry(_Ask):
    """Puts the plan by which an archived year is erased to a person; `year` is its rollover's id."""

    template_fields = (*HITLOperator.template_fields, "year")

    def __init__(self, *, year: str, **kwargs: Any) -> None:
        options = [Answer.APPROVE.value, Answer.LATER.value]
        super().__init__(subject="The time of an archived year is over", options=options, **kwargs)
        self.year = year

    def asked(self) -> tuple[str, str, list[str], str]:
        from rollover.archive import expiry, retention

        run = open_rollover(self.year)
        try:
            found = expiry.freeze(run)
        except Refused as error:  # a hold came in the meantime
            raise AirflowSkipException(str(error)) from None
        with tenant_session(run.engine, run.tenant.id) as connection:
            text = retention.markdown(connection, run, found.content)
        subject = (
            f"May the archive of {run.school_year} of {run.district.name}, {run.product.name}, be erased for good?"
        )
        return subject, text, self.options, found.plan_hash


class ApprovalAsked(BaseNotifier):
    """Says where the question can be answered."""

    def notify(self, context: Context) -> None:
        try:
            where = HITLOperator.generate_link_to_ui_from_context(context=context)
        except ValueError:  # no base_url is configured; an error here would fail the question itself
            where = "Browse, Required Actions"
        log.info("a person is asked: %s", where)


def on_failure(context: Context) -> None:
    """Says what failed and how to go on. Names ids only: an exception's text stays in the task's own log."""
    run = context["dag_run"]
    log.error(
        "%s failed in its run %s. What was done is in the ledger and stays; a pause of the roster sync stays too. "
        "Read the log of the failed task, mend what it says, and clear that task: the run goes on from there.",
        run.dag_id,
        run.run_id,
    )

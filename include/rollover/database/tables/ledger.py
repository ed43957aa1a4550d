"""Declares the ledger, the record of what happened. A step writes to it in the transaction that makes its change.

Plan lines, steps, receipts, certificates and evidence are insert-only: by grants for the role that works, by triggers
for the owner (see the migrations).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB

from rollover.database.tables.base import metadata, tenant_column, text

SCHEMA = "ledger"


def _ledger_table(name: str, *items: Any) -> Table:
    return Table(name, metadata, tenant_column(), *items, schema=SCHEMA)


def _at(name: str, *, null: bool = False, default_now: bool = False) -> Column[Any]:
    return Column(
        name,
        DateTime(timezone=True),
        nullable=null,
        server_default=func.clock_timestamp() if default_now else None,
    )


rollovers = _ledger_table(
    "rollovers",
    Column("rollover_id", Text, primary_key=True),
    text("school_year"),
    Column("reset_date", Date, nullable=False),
    _at("reset_at"),
    Column("is_current", Boolean, nullable=False, comment="false: only archives or erases a past year"),
    text("state"),
    text("run_id"),
    _at("started_at", default_now=True),
    _at("finished_at", null=True),
    UniqueConstraint("tenant_id", "school_year"),
    CheckConstraint("state IN ('running', 'certified')", name="state"),
)

# A plan can be frozen again while nothing is erased yet (plan_no 2, 3, …); what follows from a plan names it.
# Plan 0 stands for what comes before any plan.
steps = _ledger_table(
    "steps",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("step"),
    _at("finished_at", default_now=True),
    Column("seconds", Numeric(12, 3), nullable=False),
    Column("result", JSONB, nullable=False),
    PrimaryKeyConstraint("rollover_id", "plan_no", "step"),
)

plans = _ledger_table(
    "plans",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("plan_hash"),
    _at("frozen_at", default_now=True),
    Column("warnings", JSONB, nullable=False),
    text("approved_by", null=True),
    _at("approved_at", null=True),
    PrimaryKeyConstraint("rollover_id", "plan_no"),
    CheckConstraint("num_nulls(approved_by, approved_at) IN (0, 2)", name="approved_wholly"),
)

plan_lines = _ledger_table(
    "plan_lines",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("school_id"),
    text("data_class"),
    text("table_name"),
    text("action"),
    text("reason"),
    Column("rows", BigInteger, nullable=False),
    Column("checksum", Numeric, nullable=False, comment="order-independent, of the rows as frozen"),
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="what the rows took in the database"),
    PrimaryKeyConstraint("rollover_id", "plan_no", "school_id", "table_name", "action"),
)

# Data that is neither erased nor reset. A hold without a school and a student is on the whole district.
holds = _ledger_table(
    "holds",
    Column("hold_id", BigInteger, Identity(), primary_key=True),
    text("kind"),
    text("school_id", null=True),
    text("student_id", null=True),
    text("reason"),
    text("set_by"),
    _at("set_at", default_now=True),
    text("lifted_by", null=True),
    text("lift_reason", null=True),
    _at("lifted_at", null=True),
    CheckConstraint("kind IN ('legal', 'inspection')", name="kind"),
    CheckConstraint("school_id IS NULL OR student_id IS NULL", name="one_scope"),
    CheckConstraint("num_nulls(lifted_by, lift_reason, lifted_at) IN (0, 3)", name="lifted_wholly"),
    CheckConstraint("lifted_by IS NULL OR lower(lifted_by) <> lower(set_by)", name="second_person"),
)

# Each school's subscription when the plan was frozen.
plan_subscriptions = _ledger_table(
    "plan_subscriptions",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("school_id"),
    Column("in_force", Boolean, nullable=False, comment="on the reset date"),
    Column(
        "subscriptions",
        JSONB,
        nullable=False,
        comment="[{state, starts_on, ends_on, source, read_at}] as the source said it",
    ),
    PrimaryKeyConstraint("rollover_id", "plan_no", "school_id"),
)

pauses = _ledger_table(
    "pauses",
    Column("pause_id", BigInteger, Identity(), primary_key=True),
    text("paused_by"),
    text("reason"),
    _at("paused_at", default_now=True),
    text("ended_by", null=True),
    _at("ended_at", null=True),
    CheckConstraint("num_nulls(ended_by, ended_at) IN (0, 2)", name="ended_wholly"),
)
Index(
    "uq_pauses_open",
    pauses.c.tenant_id,
    unique=True,
    postgresql_where=pauses.c.ended_at.is_(None),
)

drops = _ledger_table(
    "drops",
    Column("drop_id", Text, primary_key=True, comment="<tenant>__<12 hex digits of the fingerprint>"),
    text("folder"),
    text("fingerprint"),
    Column("files", JSONB, nullable=False, comment="[{name, size, modified}] as listed on SFTP"),
    _at("found_at", default_now=True),
    UniqueConstraint("tenant_id", "fingerprint"),
)

imports = _ledger_table(
    "imports",
    Column("import_id", Text, primary_key=True, comment="one per drop: the drop's id"),
    text("state"),
    text("format", null=True),
    text("school_year", null=True),
    text("sha256", null=True),
    text("reason", null=True),
    Column("details", JSONB, nullable=False, server_default="{}"),
    Column("comparison", JSONB, comment="with the live roster: what would change, and which limits it is over"),
    text("decision", null=True),
    text("decided_by", null=True),
    _at("decided_at", null=True),
    _at("found_at", default_now=True),
    _at("changed_at", default_now=True),
    Column("files_removed_at", DateTime(timezone=True), comment="null: its files are in storage, or may be"),
    Column(
        "rows_removed_at",
        DateTime(timezone=True),
        comment="of an applied import: the rows that it marked tobedeleted, and its history; null: some are there, or "
        "may be",
    ),
    CheckConstraint(
        "files_removed_at IS NULL OR state IN ('applied', 'rejected', 'superseded', 'undone')",
        name="files_removed_when_finished",
    ),
    CheckConstraint(
        "state IN ('found', 'fetched', 'staged', 'validated', 'in_review', 'ready', 'applied', 'rejected', "
        "'superseded', 'undone')",
        name="state",
    ),
    CheckConstraint("num_nulls(decision, decided_by, decided_at) IN (0, 3)", name="decided_wholly"),
    CheckConstraint("decision IN ('approve', 'approve_with_id_map', 'additions_only', 'discard')", name="decision"),
)
Index(None, imports.c.tenant_id, imports.c.state)
# For `ledger.due`; the conditions are those of the view.
_FINISHED = "state IN ('applied', 'rejected', 'superseded', 'undone')"
Index(
    "ix_imports_with_files",
    imports.c.tenant_id,
    imports.c.state,
    imports.c.changed_at,
    postgresql_where=imports.c.files_removed_at.is_(None),
)
Index(
    "ix_imports_with_rows",
    imports.c.tenant_id,
    imports.c.changed_at,
    postgresql_where=sql("state = 'applied' AND rows_removed_at IS NULL"),
)
Index(
    "ix_imports_with_report",
    imports.c.tenant_id,
    imports.c.changed_at,
    postgresql_where=sql(
        f"{_FINISHED} AND details #>> '{{reported,folder}}' IS NOT NULL "
        "AND details #>> '{reported,removed_at}' IS NULL"
    ),
)
Index(
    "ix_imports_with_old_report",
    imports.c.tenant_id,
    imports.c.import_id,
    postgresql_where=sql("state <> details #>> '{reported,state}'"),
)

# Rises with every change of the live roster, so that a comparison knows whether it still holds.
roster_versions = _ledger_table(
    "roster_versions",
    Column("version", BigInteger, nullable=False),
    _at("changed_at", default_now=True),
    PrimaryKeyConstraint("tenant_id"),
)

id_maps = _ledger_table(
    "id_maps",
    text("import_id"),
    text("old_id"),
    text("new_id"),
    text("matched_by"),
    PrimaryKeyConstraint("tenant_id", "import_id", "old_id"),
)

findings = _ledger_table(
    "findings",
    Column("finding_id", BigInteger, Identity(), primary_key=True),
    text("import_id"),
    text("code"),
    text("severity"),
    text("file"),
    Column("row", Integer, comment="1 is the header; null: the file as a whole"),
    text("column", null=True),
    text("message"),
    CheckConstraint("severity IN ('error', 'warning')", name="severity"),
)
Index(None, findings.c.tenant_id, findings.c.import_id)

exports = _ledger_table(
    "exports",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("report"),
    Column("file", Text, nullable=False, comment="below the folder of the year: a printed report has several"),
    text("path"),
    Column("rows", BigInteger, nullable=False),
    Column("pages", Integer, comment="of a printed report, counted in the file"),
    Column("bytes", BigInteger, nullable=False),
    text("sha256"),
    text("delivered_to", null=True),
    _at("written_at", default_now=True),
    Column("removed_at", DateTime(timezone=True), comment="when its time was over, here and in the outbox"),
    PrimaryKeyConstraint("rollover_id", "plan_no", "report", "file"),
)
Index("ix_exports_kept", exports.c.rollover_id, postgresql_where=exports.c.removed_at.is_(None))

archives = _ledger_table(
    "archives",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    text("school_id"),
    text("table_name"),
    text("path"),
    Column("rows", BigInteger, nullable=False),
    Column("checksum", Numeric, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    text("sha256"),
    _at("read_back_at", default_now=True),
    Column("key_id", Text, comment="of the tenant's key, by which the file is encrypted; null: it is not"),
    PrimaryKeyConstraint("rollover_id", "plan_no", "school_id", "table_name"),
)

# Every file that a rollover writes to storage or puts into the outbox, recorded before it is written.
artifacts = _ledger_table(
    "artifacts",
    Column("artifact_id", BigInteger, Identity(), primary_key=True),
    Column("rollover_id", Text, comment="null: a certificate that an archive was destroyed"),
    Column("plan_no", Integer, nullable=False, comment="the last plan for which it was to be written"),
    text("place"),
    Column("path", Text, nullable=False, comment="ending in a slash: a folder, with all that is below it"),
    _at("intended_at", default_now=True),
    Column("removed_at", DateTime(timezone=True), comment="null: it is there, or may be"),
    CheckConstraint("place IN ('storage', 'outbox')", name="place"),
    UniqueConstraint("tenant_id", "place", "path"),
)
Index(None, artifacts.c.rollover_id)
Index("ix_artifacts_changed", artifacts.c.tenant_id, func.greatest(artifacts.c.intended_at, artifacts.c.removed_at))

# When a tenant's files were last compared with the ledger.
file_checks = _ledger_table(
    "file_checks",
    _at("checked_at"),
    Column(
        "differs",
        Boolean,
        nullable=False,
        comment="a file was unknown or missing: it is compared every night until none is",
    ),
    PrimaryKeyConstraint("tenant_id"),
)

# What destroys archived data: a year whose time is over, or the key that a tenant's files are encrypted with. A plan
# is frozen, approved and done; one that is approved and not done is resumed or, after a change, frozen again.
archive_plans = _ledger_table(
    "archive_plans",
    Column("plan_id", BigInteger, Identity(), primary_key=True),
    text("kind"),
    Column("school_year", Text, comment="that expires; null: all years, by their key"),
    text("plan_hash"),
    Column("content", JSONB, nullable=False, comment="what goes, by which rule or for which reason"),
    Column("asked_by", Text, comment="null: the rule"),
    _at("frozen_at", default_now=True),
    text("approved_by", null=True),
    _at("approved_at", null=True),
    _at("done_at", null=True),
    CheckConstraint("kind IN ('expire', 'destroy_key')", name="kind"),
    CheckConstraint("(kind = 'expire') = (school_year IS NOT NULL)", name="one_year"),
    CheckConstraint("(kind = 'destroy_key') = (asked_by IS NOT NULL)", name="asked_for"),
    CheckConstraint("num_nulls(approved_by, approved_at) IN (0, 2)", name="approved_wholly"),
    CheckConstraint(
        "approved_by IS NULL OR asked_by IS NULL OR lower(approved_by) <> lower(asked_by)", name="second_person"
    ),
    CheckConstraint("done_at IS NULL OR approved_by IS NOT NULL", name="approved"),
)
Index(None, archive_plans.c.tenant_id)

evidence = _ledger_table(
    "evidence",
    Column("evidence_id", BigInteger, Identity(), primary_key=True),
    text("rollover_id", null=True),
    text("kind"),
    Column("facts", JSONB, nullable=False),
    _at("recorded_at"),
    text("previous_hash"),
    text("hash"),
    UniqueConstraint("tenant_id", "previous_hash"),
)

# The head of the chain as each certificate names it: a chain that has lost its tail does not hold it any more.
certificates = _ledger_table(
    "certificates",
    text("rollover_id"),
    Column("plan_no", Integer, nullable=False),
    Column("path", Text, nullable=False, comment="of the JSON; the PDF lies beside it"),
    Column("sha256", Text, nullable=False, comment="of the JSON"),
    text("pdf_sha256"),
    text("key_id"),
    text("signature"),
    Column("evidence_entries", BigInteger, nullable=False),
    text("evidence_head"),
    _at("issued_at"),
    PrimaryKeyConstraint("rollover_id", "plan_no"),
)

# Every question to a person: what it was about, who answered it, and what.
questions = _ledger_table(
    "questions",
    Column("question_id", BigInteger, Identity(), primary_key=True),
    text("kind"),
    Column("about", Text, nullable=False, comment="a rollover id (plan, expiry) or an import id (roster)"),
    Column("plan_no", Integer, comment="of a question about a plan"),
    Column("digest", Text, nullable=False, comment="of what was shown: the plan's hash, or the comparison's digest"),
    text("subject"),
    Column("rows_erased", BigInteger, nullable=False, comment="rows that are erased or removed if the answer is yes"),
    Column("options", JSONB, nullable=False),
    text("dag_id"),
    Column("run_id", Text, nullable=False, comment="the DAG run that asks, where it is answered in Airflow"),
    text("task_id"),
    Column("map_index", Integer, nullable=False),
    _at("asked_at"),
    Column("until", DateTime(timezone=True), comment="null: it stays open"),
    text("answer", null=True),
    Column("answered_by", Text, comment="null: nobody answered in time, or it was withdrawn"),
    _at("answered_at", null=True),
    Column("reason", Text, comment="as the person who answered wrote it; null: none was given"),
    CheckConstraint("kind IN ('plan', 'roster', 'expiry')", name="kind"),
    CheckConstraint("num_nulls(answer, answered_at) IN (0, 2)", name="answered_wholly"),
)
Index(None, questions.c.tenant_id, questions.c.kind, questions.c.about)
Index(
    "uq_questions_open",
    questions.c.tenant_id,
    questions.c.kind,
    questions.c.about,
    unique=True,
    postgresql_where=questions.c.answered_at.is_(None),
)

# Every failure of a task about one tenant. It is over when a later step of the rollover, or the import, is done.
failures = _ledger_table(
    "failures",
    Column("failure_id", BigInteger, Identity(), primary_key=True),
    text("rollover_id", null=True),
    text("import_id", null=True),
    text("step"),
    text("run_id"),
    text("error_class"),
    Column("is_refusal", Boolean, nullable=False, comment="a step stopped on purpose: a person must decide"),
    Column(
        "reason",
        Text,
        comment="of an error of our own, without personal values; null: another's text, which may quote one",
    ),
    text("remedy", null=True),
    text("waits_for"),
    _at("failed_at"),
    CheckConstraint("num_nonnulls(rollover_id, import_id) = 1", name="about"),
    CheckConstraint("waits_for IN ('data_engineer', 'district_it', 'customer_success')", name="waits_for"),
)
Index(None, failures.c.tenant_id)

# Whether Airflow has each tenant's DAG, and whether it is switched on, as of the last time that somebody looked.
dag_states = _ledger_table(
    "dag_states",
    text("dag_id"),
    text("state"),
    _at("since"),
    PrimaryKeyConstraint("tenant_id"),
    CheckConstraint("state IN ('on', 'paused', 'missing')", name="state"),
)

# Every mail or message that is due or was sent. Each is sent once.
notices = _ledger_table(
    "notices",
    Column("notice_id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="which template: reset_in_4_weeks, roster_rejected, …"),
    text("school_year"),
    Column(
        "about", Text, nullable=False, comment="what makes it one of its kind: a reset date, an import, a plan, a step"
    ),
    Column("role", Text, nullable=False, comment="of the contacts in the district file, or of the data team"),
    text("channel"),
    _at("decided_at"),
    Column("reset_date", Date, comment="the date that follows from silence, as the text said it"),
    Column("subject", Text, comment="as sent"),
    text("text_sha256", null=True),
    Column("recipients", Integer, comment="how many addresses it went to"),
    _at("sent_at", null=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error_class", Text, comment="of the last attempt that failed"),
    _at("failed_at", null=True),
    Column("withdrawn_at", DateTime(timezone=True), comment="it was no longer true before it could be sent"),
    UniqueConstraint("tenant_id", "kind", "about", "role", "channel"),
)

# The state of each tenant in each school year, as facts of the ledger. `rollover.season` reads it.
season = _ledger_table(
    "season",
    text("school_year"),
    Column("facts", JSONB, nullable=False),
    Column("is_past", Boolean, nullable=False, comment="certified, and the tenant is in a later year"),
    Column(
        "version",
        BigInteger,
        nullable=False,
        comment="rises with every change: who has read up to one reads what is above it",
    ),
    _at("changed_at"),
    PrimaryKeyConstraint("tenant_id", "school_year"),
)
Index(None, season.c.version)

# The tenants whose facts have changed since they were last read. Triggers fill it.
season_changes = _ledger_table("season_changes", Column("change_id", BigInteger, Identity(), primary_key=True))

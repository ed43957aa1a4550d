"""What a certificate says: what was done to one tenant's school year and no more. It names no student.

Its parts are those that agreements ask for (NDPA Exhibit D, NIST SP 800-88 appendix G), as far as a program can know
them. Everything is read from the ledger, whose steps the chain of evidence covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select, text

from rollover.calendar import begins_on
from rollover.certificate.disposals import Disposal, Rows
from rollover.certificate.signing import SCHEMA
from rollover.config import Action
from rollover.database.session import APP_ROLE
from rollover.database.tables import metadata
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import steps
from rollover.ledger import disposal_plans, rollovers
from rollover.ledger.evidence import Chain
from rollover.ledger.plans import Line
from rollover.ledger.results import Reset, Step
from rollover.run import Run

Facts = dict[str, Any]

DELETION = (
    "Rows were removed from a live PostgreSQL database, by transactions each of which compared all rows that were "
    "still to go with a frozen plan. This is a logical deletion, and none of the sanitization methods of NIST SP "
    "800-88."
)
CHECKSUM = (
    "Rows are compared by their number and by the sum of a 64-bit hash of each (PostgreSQL's hash_record_extended). "
    "That shows a mistake; it is not made to withstand a forger. Files are compared by SHA-256."
)
NOT_CLAIMED = (
    "Nothing is claimed about the storage medium, or about the database server's logs and replicas.",
    "Nothing is claimed about other systems, or about data of other school years.",
    "What follows the roster is replaced by the new year's files, and is no part of this certificate.",
)
EXPORTS_STAY = (
    "The reports listed here were exported before the deletion. They hold such data, stay in the vendor's storage, and "
    "were put into the district's outbox."
)
HELD_STAYS = "Rows that a legal hold or an open request to inspect is on were not touched, and are still there."
ARCHIVE_STAYS = (
    "Archived rows are no longer in the live database, but are held in the archive. They are not destroyed, but for "
    "those of a file with an expired_at."
)
ARCHIVE_ENCRYPTED = (
    "Archive files with a key_id were written encrypted (Parquet Modular Encryption, AES-GCM), with a key of this "
    "tenant alone, and were decrypted when they were read back. Nothing is claimed about who has that key, or about "
    "copies of it."
)
KEY_DESTROYED = "A key that archive files name was destroyed since: without a copy of it nobody can read those files."
TOOL = "Rollover"


def facts(
    connection: Connection, run: Run, done: list[Disposal], chain: Chain, again: Facts, kept: Rows, at: datetime
) -> Facts:
    """The certificate. `again` is what was looked at once more when it was issued, `kept` what was still there then,
    `at` is when that was."""
    rollover = rollovers.load(connection, run)
    times = Times(run.district.time_zone)
    reset, verified = rollovers.result_of(connection, run, Reset), done[-1].verified
    assert verified is not None  # the ledger requires it before the certificate
    finished = _finished(connection, run)
    own_date = run.facts.own_reset_date is not None
    keys = {file.key_id for disposal in done for file in disposal.archives if file.key_id}
    return {
        "schema": SCHEMA,
        "number": f"{run.id}/{done[-1].number}",
        "certificate_of": "the disposition of one district's data in one product for one school year",
        "issued_at": times.of(at),
        "district": {"id": run.district.district, "name": run.district.name, "time_zone": run.district.time_zone},
        "product": {"id": run.product.product, "name": run.product.name},
        "tenant": run.tenant.id,
        "school_year": run.school_year.key,
        "authority": {
            "agreement": run.district.agreement,
            "reset_date": rollover.reset_date.isoformat(),
            "reset_date_is": "the district's own" if own_date else "the product's default",
            "reset_at": times.of(rollover.reset_at),
        },
        "scope": {
            "date_range": {
                "from": begins_on(run.school_year, run.district.school_year_begins).isoformat(),
                "to": (
                    begins_on(run.school_year.next, run.district.school_year_begins) - timedelta(days=1)
                ).isoformat(),
            },
            "rows": "of this school year, and the tenant's state at its end" if reset else "of this school year only",
            "schools": _schools(connection, done, times),
            "data_classes": [
                {"data_class": name, "action": rule.action.value, "rule": rule.source}
                for name, rule in run.product.data_classes.items()
                if rule.action is not Action.FOLLOW_ROSTER
            ],
        },
        "disposals": [_as_json(disposal, times, finished) for disposal in done],
        "reset": {"rows": reset.rows if reset else {}},
        "retained": _retained(done, reset),
        "still_kept": kept,
        "verification": {
            "by": f"{TOOL}'s step verify_reset: queries of its own, in a transaction after the deletion",
            "at": times.of(finished[Step.VERIFY_RESET, done[-1].number]),
            "rows_left": verified.rows_left,
            "reports_blank": verified.reports_blank,
            "files_intact": verified.files_intact,
            "kept_changed_by_users_since_plan": verified.kept_changed_by_users_since_plan,
            "again_at_issue": again,
        },
        "method": {"deletion": DELETION, "comparison": CHECKSUM},
        "not_claimed": [
            *([HELD_STAYS] if any(d.held for d in done) else []),
            *([ARCHIVE_STAYS] if any(not file.expired_at for d in done for file in d.archives) else []),
            *([ARCHIVE_ENCRYPTED] if keys else []),
            *([KEY_DESTROYED] if any(disposal_plans.destroyed(connection, key_id) for key_id in keys) else []),
            *([EXPORTS_STAY] if any(d.exports for d in done) else []),
            *NOT_CLAIMED,
        ],
        "backups": _backups(run, times, max(finished[Step.ERASE, disposal.number] for disposal in done)),
        "executed_by": {
            "tool": TOOL,
            "version": version("rollover"),
            "database": f"PostgreSQL {connection.scalar(text('SHOW server_version'))}",
            "database_role": APP_ROLE,
            "airflow_run": rollover.run_id,
        },
        "steps": [
            {"step": step, "plan": number, "finished_at": times.of(when)}
            for (step, number), when in sorted(finished.items(), key=lambda item: item[1])
        ],
        "evidence": {"algorithm": "SHA-256", "entries": chain.entries, "head": chain.head},
    }


class Times:
    """Instants as a certificate has them: UTC, and as a clock of the district shows them."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)

    def of(self, at: datetime) -> dict[str, str]:
        return {
            "utc": at.astimezone(ZoneInfo("UTC")).isoformat(timespec="seconds"),
            "local": at.astimezone(self._zone).isoformat(timespec="seconds"),
        }


def _finished(connection: Connection, run: Run) -> dict[tuple[str, int], datetime]:
    """When each step was done, by step and plan number (0: whatever the plan)."""
    query = select(steps.c.step, steps.c.plan_no, steps.c.finished_at).where(steps.c.rollover_id == run.id)
    return {(row.step, row.plan_no): row.finished_at for row in connection.execute(query)}


def _schools(connection: Connection, done: list[Disposal], times: Times) -> Rows:
    """Each school of a plan, with its subscription as the last plan that speaks of it found it."""
    names = {row.school_id: row.name for row in connection.execute(select(schools.c.school_id, schools.c.name))}
    known = {row["school_id"]: row for disposal in done for row in disposal.subscriptions}
    return [
        {
            "id": school_id,
            "name": names[school_id],
            "subscription_in_force_on_reset_date": row["in_force"],
            "subscriptions": [
                {**said, "read_at": times.of(datetime.fromisoformat(said["read_at"]))} for said in row["subscriptions"]
            ],
        }
        for school_id, row in sorted(known.items())
    ]


def _as_json(disposal: Disposal, times: Times, finished: Mapping[tuple[str, int], datetime]) -> Facts:
    """One plan that was run, as the certificate has it."""
    approval = disposal.approval  # not the plan's row, to which an approval is added: the chain covers this
    by_a_person = approval.approved_by is not None
    return {
        "plan": {
            "number": disposal.number,
            "sha256": approval.plan_hash,
            "frozen_at": times.of(disposal.frozen_at),
            "approved_by": approval.approved_by,
            "approved_at": times.of(finished[Step.APPROVE, disposal.number]) if by_a_person else None,
        },
        "deleted_at": times.of(finished[Step.ERASE, disposal.number]),
        "tables": [asdict(counts) for counts in disposal.tables],
        "lines": [
            {
                **_held_as_json(line),
                "action": line.action,
                "checksum": str(line.checksum),
            }
            for line in disposal.lines
        ],
        "rows_left_to_the_next_plan": sum(line.rows for line in disposal.stayed),
        "held": [_held_as_json(line) for line in disposal.held],
        "exports": [
            {
                **{name: getattr(file, name) for name in ("report", "rows", "bytes", "sha256")},
                "written_at": times.of(file.written_at),
            }
            for file in disposal.exports
        ],
        "archives": [
            {
                **{
                    name: getattr(file, name)
                    for name in ("school_id", "table_name", "rows", "bytes", "sha256", "key_id")
                },
                "checksum": str(file.checksum),
                "read_back_at": times.of(file.read_back_at),
                "expired_at": times.of(file.expired_at) if file.expired_at else None,
            }
            for file in disposal.archives
        ],
    }


def _held_as_json(line: Line) -> Facts:
    return {
        "school": line.school_id,
        "data_class": line.data_class,
        "table": line.table_name,
        "rows": line.rows,
        "why": line.reason,
    }


def _retained(done: list[Disposal], reset: Reset | None) -> Rows:
    """What is kept, with its rows before and after each step that changes data, seen in that step's transaction."""
    proofs = [(f"erase of plan {disposal.number}", disposal.erased.kept) for disposal in done]
    proofs += [("reset", reset.kept)] if reset else []
    return [
        {"data_class": metadata.tables[name].info["data_class"], "table": name, "step": step, **rows.model_dump()}
        for step, kept in proofs
        for name, rows in sorted(kept.items())
    ]


def _backups(run: Run, times: Times, erased_at: datetime) -> Facts:
    days = run.backup_days
    if days is None:
        return {"statement": "No claim is made about backups: nobody has said how long they are kept.", "days": None}
    gone = times.of(erased_at + timedelta(days=days))
    return {
        "statement": f"The deployment declares that backups are kept for {days} days, so that the last one with the "
        f"deleted rows in it expires by {gone['utc'][:10]}. This was declared, and not checked.",
        "days": days,
        "expired_by": gone,
    }

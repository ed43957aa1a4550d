"""What a certificate says: what was done to one tenant's school year and no more. It names no student.

Its parts are those that agreements ask for (NDPA Exhibit D, NIST SP 800-88 appendix G), as far as a program can know
them. Everything is read from the ledger, whose steps the chain of evidence covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Table, select, text

from rollover.archive import plans as archive_plans
from rollover.calendar import begins_on
from rollover.certificate.signing import SCHEMA
from rollover.config import Action
from rollover.database.session import APP_ROLE
from rollover.database.tables import metadata
from rollover.database.tables.directory import schools
from rollover.database.tables.ledger import archives, exports, plan_lines, plan_subscriptions, plans, steps
from rollover.ledger import steps as ledger
from rollover.ledger.evidence import Chain
from rollover.ledger.plans import ARCHIVE, ERASE, HOLD, stayed
from rollover.run import Run

Facts = dict[str, Any]
Rows = list[dict[str, Any]]

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


@dataclass(frozen=True)
class Disposal:
    """One plan that was run, and what its steps recorded. `results` by step.

    `lines` are those by which rows went; `stayed` those that the next plan took, where it was ended in between.
    `remaining` is how many rows the next step that looked again found, by table.
    """

    plan: dict[str, Any]
    lines: Rows
    stayed: Rows
    held: Rows
    subscriptions: Rows
    exports: Rows
    archives: Rows
    results: Mapping[str, dict[str, Any]]
    remaining: Mapping[str, int]
    erased_at: datetime

    @property
    def number(self) -> int:
        return int(self.plan["plan_no"])

    def rows(self, table: str, *actions: str) -> int:
        """The rows of a table that the plan takes by some of its actions."""
        return sum(line["rows"] for line in self.lines if line["table_name"] == table and line["action"] in actions)

    @property
    def tables(self) -> Rows:
        """Per table: rows before, archived, erased, deleted and remaining; None where no step recorded it."""
        deleted = self.results.get("erase", {}).get("deleted", {})
        return [
            {
                "table": name,
                "data_class": metadata.tables[name].info["data_class"],
                "before": self.rows(name, ARCHIVE, ERASE),
                "archived": self.rows(name, ARCHIVE),
                "erased": self.rows(name, ERASE),
                "deleted": deleted.get(name),
                "remaining": self.remaining.get(name),
            }
            for name in sorted({line["table_name"] for line in self.lines})
        ]


def disposals(connection: Connection, run: Run) -> list[Disposal]:
    """The plans that were run, in order. A plan that was frozen again before its erase disposed of nothing."""
    numbers = select(steps.c.plan_no).where(steps.c.rollover_id == run.id, steps.c.step == "erase")
    done: list[Disposal] = []
    remaining: Mapping[str, int] = {}
    for number in connection.scalars(numbers.order_by(steps.c.plan_no.desc())).all():
        # Where rows came late, only the verification of the plan that took them passed: it counted for both.
        looked = select(steps.c.result).where(
            steps.c.rollover_id == run.id, steps.c.step == "verify_reset", steps.c.plan_no == number
        )
        remaining = (connection.scalar(looked) or {}).get("remaining", remaining)
        done.insert(0, _disposal(connection, run, number, remaining))
    return done


def _disposal(connection: Connection, run: Run, number: int, remaining: Mapping[str, int]) -> Disposal:
    def rows(table: Table, *order: str) -> Rows:
        query = select(table).where(table.c.rollover_id == run.id, table.c.plan_no == number)
        found = connection.execute(query.order_by(*[table.c[name] for name in order])).mappings()
        return [dict(row) for row in found]

    lines = rows(plan_lines, "school_id", "table_name")
    over = archive_plans.expired(connection, run.school_year.key)
    others = stayed(connection, run, number)

    def went(row: dict[str, Any]) -> bool:
        return (row["school_id"], row["table_name"]) not in others

    done = rows(steps)
    (erased_at,) = (row["finished_at"] for row in done if row["step"] == "erase")
    goes = [line for line in lines if line["action"] in (ARCHIVE, ERASE)]
    return Disposal(
        plan=rows(plans)[0],
        lines=[line for line in goes if went(line)],
        stayed=[line for line in goes if not went(line)],
        held=[line for line in lines if line["action"] == HOLD],
        subscriptions=rows(plan_subscriptions, "school_id"),
        # What is reported about the new roster is written later, and of no row that went.
        exports=[row for row in rows(exports, "report") if row["written_at"] < erased_at],
        archives=[_with_its_end(row, over) for row in rows(archives, "school_id", "table_name") if went(row)],
        results={row["step"]: row["result"] for row in done},
        remaining=remaining,
        erased_at=erased_at,
    )


def _with_its_end(receipt: dict[str, Any], over: archive_plans.Plan | None) -> dict[str, Any]:
    """A receipt of an archived file, with the time at which the file expired."""
    gone = over is not None and over.done_at is not None and receipt["read_back_at"] < over.done_at
    return {**receipt, "expired_at": over.done_at if gone and over else None}


def facts(
    connection: Connection, run: Run, done: list[Disposal], chain: Chain, again: Facts, kept: Rows, at: datetime
) -> Facts:
    """The certificate. `again` is what was looked at once more when it was issued, `kept` what was still there then,
    `at` is when that was."""
    rollover = ledger.rollover(connection, run)
    times = Times(run.district.time_zone)
    reset = ledger.result_of(connection, run, "reset") or {}
    verified = done[-1].results["verify_reset"]
    finished = _finished(connection, run)
    own_date = run.facts.own_reset_date is not None
    keys = {row["key_id"] for disposal in done for row in disposal.archives if row["key_id"]}
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
            "reset_date": rollover["reset_date"].isoformat(),
            "reset_date_is": "the district's own" if own_date else "the product's default",
            "reset_at": times.of(rollover["reset_at"]),
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
        "disposals": [_told(disposal, times, finished) for disposal in done],
        "reset": {"rows": reset.get("rows", {})},
        "retained": _retained(done, reset),
        "still_kept": kept,
        "verification": {
            "by": f"{TOOL}'s step verify_reset: queries of its own, in a transaction after the deletion",
            "at": times.of(finished["verify_reset", done[-1].number]),
            "rows_left": verified["rows_left"],
            "reports_blank": verified["reports_blank"],
            "files_intact": verified["files_intact"],
            "kept_changed_by_users_since_plan": verified["kept_changed_by_users_since_plan"],
            "again_at_issue": again,
        },
        "method": {"deletion": DELETION, "comparison": CHECKSUM},
        "not_claimed": [
            *([HELD_STAYS] if any(d.held for d in done) else []),
            *([ARCHIVE_STAYS] if any(not row["expired_at"] for d in done for row in d.archives) else []),
            *([ARCHIVE_ENCRYPTED] if keys else []),
            *([KEY_DESTROYED] if any(archive_plans.destroyed(connection, key_id) for key_id in keys) else []),
            *([EXPORTS_STAY] if any(d.exports for d in done) else []),
            *NOT_CLAIMED,
        ],
        "backups": _backups(run, times, max(finished["erase", disposal.number] for disposal in done)),
        "executed_by": {
            "tool": TOOL,
            "version": version("rollover"),
            "database": f"PostgreSQL {connection.scalar(text('SHOW server_version'))}",
            "database_role": APP_ROLE,
            "airflow_run": rollover["run_id"],
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


def _told(disposal: Disposal, times: Times, finished: Mapping[tuple[str, int], datetime]) -> Facts:
    """One plan that was run, as the certificate has it."""
    approved = disposal.results["approve"]  # not the plan's row, to which an approval is added: the chain covers this
    by_a_person = approved["approved_by"] is not None
    return {
        "plan": {
            "number": disposal.number,
            "sha256": approved["plan_hash"],
            "frozen_at": times.of(disposal.plan["frozen_at"]),
            "approved_by": approved["approved_by"],
            "approved_at": times.of(finished["approve", disposal.number]) if by_a_person else None,
        },
        "deleted_at": times.of(finished["erase", disposal.number]),
        "tables": disposal.tables,
        "lines": [
            {
                "school": line["school_id"],
                "data_class": line["data_class"],
                "table": line["table_name"],
                "action": line["action"],
                "rows": line["rows"],
                "checksum": str(line["checksum"]),
                "why": line["reason"],
            }
            for line in disposal.lines
        ],
        "rows_left_to_the_next_plan": sum(line["rows"] for line in disposal.stayed),
        "held": [
            {
                "school": line["school_id"],
                "data_class": line["data_class"],
                "table": line["table_name"],
                "rows": line["rows"],
                "why": line["reason"],
            }
            for line in disposal.held
        ],
        "exports": [
            {
                **{name: row[name] for name in ("report", "rows", "bytes", "sha256")},
                "written_at": times.of(row["written_at"]),
            }
            for row in disposal.exports
        ],
        "archives": [
            {
                **{name: row[name] for name in ("school_id", "table_name", "rows", "bytes", "sha256", "key_id")},
                "checksum": str(row["checksum"]),
                "read_back_at": times.of(row["read_back_at"]),
                "expired_at": times.of(row["expired_at"]) if row["expired_at"] else None,
            }
            for row in disposal.archives
        ],
    }


def _retained(done: list[Disposal], reset: Facts) -> Rows:
    """What is kept, with its fingerprint before and after each step that changes data, taken in that transaction."""
    proofs = [(f"erase of plan {disposal.number}", disposal.results["erase"]["kept"]) for disposal in done]
    proofs += [("reset", reset["kept"])] if reset else []
    return [
        {"data_class": metadata.tables[name].info["data_class"], "table": name, "step": step, **marks}
        for step, kept in proofs
        for name, marks in sorted(kept.items())
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

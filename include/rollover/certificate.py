"""The end of a rollover: a certificate that says what was done and no more, and names no student.

It is refused while a step is missing or the chain of evidence does not hold.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any

from sqlalchemy import Connection, func, select, update

from rollover import evidence, holds, ledger, plan, receipts
from rollover.database.tables.ledger import archives, exports, plans, rollovers, steps
from rollover.errors import ProofFailed
from rollover.run import Run
from rollover.storage import read_back, whole_file

log = logging.getLogger(__name__)

METHOD = (
    "Rows were deleted from a live PostgreSQL database inside a transaction that compared them with the frozen "
    "plan. This is a logical deletion; it makes no claim about backups or about the medium."
)


def certify(connection: Connection, run: Run) -> dict[str, Any]:
    """Write the certificate, mark the rollover as certified; returns its path and SHA-256.

    Raises ProofFailed where the chain of evidence is broken, or a file that it speaks of is not as it was written.
    Missing steps are refused by the ledger before. The file is named by its hash: one that a killed task left is
    nobody's certificate, since the ledger does not name it.
    """
    wrong = [f"evidence {number} is not as it was recorded" for number in evidence.broken_links(connection)]
    wrong += receipts.damaged(receipts.of_files(connection, run))
    if wrong:
        raise ProofFailed(f"{run.id} cannot be certified: {'; '.join(wrong[:5])}.", "report this at once.")
    content = json.dumps(_facts(connection, run), indent=2, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()
    folder = run.storage / "certificates" / run.tenant.product / run.tenant.district
    path = folder / f"{run.school_year}-{digest[:12]}.json"
    with whole_file(path) as stream:
        stream.write(content)
    if read_back(path) != (digest, len(content)):
        raise ProofFailed(f"{path} does not read back as it was written.", "clear this task.")
    connection.execute(
        update(rollovers)
        .where(rollovers.c.rollover_id == run.id)
        .values(state="certified", finished_at=func.clock_timestamp())
    )
    log.info("%s is certified: %s", run.id, path)
    return {"path": str(path), "sha256": digest}


def _facts(connection: Connection, run: Run) -> dict[str, Any]:
    number = ledger.plan_number(connection, run)
    rollover = ledger.rollover(connection, run)
    results = {name: ledger.result_of(connection, run, name) or {} for name in ("erase", "reset", "verify_reset")}
    frozen = (
        connection.execute(select(plans).where(plans.c.rollover_id == run.id, plans.c.plan_no == number))
        .mappings()
        .one()
    )
    done = connection.execute(
        select(steps.c.step, steps.c.finished_at)
        .where(steps.c.rollover_id == run.id, steps.c.plan_no.in_((0, number)))
        .order_by(steps.c.finished_at)
    )
    return {
        "certificate_of": "the rollover of one district's use of one product for one school year",
        "district": run.district.district,
        "product": run.product.product,
        "school_year": run.school_year.key,
        "reset_date": rollover["reset_date"].isoformat(),
        "time_zone": run.district.time_zone,
        "scope": "the current school year" if rollover["is_current"] else "rows of a past school year",
        "method": METHOD,
        "rows_removed_after_archiving": results["erase"].get("archived", {}),
        "rows_erased": results["erase"].get("erased", {}),
        "rows_reset": results["reset"].get("rows", {}),
        "rows_held": _rows_held(connection, run),
        "holds": holds.facts(connection),
        "rows_remaining": results["verify_reset"].get("rows_left"),
        "kept_unchanged_by_erase_and_reset": all(
            result.get("kept_unchanged", True) for result in (results["erase"], results["reset"])
        ),
        "plan": {
            "number": number,
            "sha256": frozen["plan_hash"],
            "approved_by": frozen["approved_by"],
            "approved_at": frozen["approved_at"].isoformat() if frozen["approved_at"] else None,
            "lines": [
                {
                    "school": line.school_id,
                    "data_class": line.data_class,
                    "table": line.table_name,
                    "action": line.action,
                    "rows": line.rows,
                    "checksum": str(line.checksum),
                    "reason": line.reason,
                }
                for line in plan.current_lines(connection, run)
            ],
        },
        "exports": _receipts(connection, exports, run, number, ("report", "rows", "sha256")),
        "archive_manifest_sha256": next((file["sha256"] for file in receipts.of_manifest(connection, run)), None),
        "archives": _receipts(connection, archives, run, number, ("school_id", "table_name", "rows", "sha256")),
        "steps": [{"step": step, "finished_at": at.isoformat()} for step, at in done],
        "evidence_head": _head(connection),
    }


def _rows_held(connection: Connection, run: Run) -> dict[str, int]:
    """By data class, the rows that stay since a hold is on them."""
    rows: dict[str, int] = {}
    for line in plan.current_lines(connection, run, plan.HOLD):
        rows[line.data_class] = rows.get(line.data_class, 0) + line.rows
    return rows


def _receipts(
    connection: Connection, table: Any, run: Run, number: int, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    query = select(*[table.c[name] for name in names]).where(table.c.rollover_id == run.id, table.c.plan_no == number)
    return [dict(row) for row in connection.execute(query.order_by(*[table.c[name] for name in names[:2]])).mappings()]


def _head(connection: Connection) -> str:
    """The newest hash of the tenant's chain: it covers everything before it."""
    chain = evidence.evidence
    head = connection.scalar(select(chain.c.hash).order_by(chain.c.evidence_id.desc()).limit(1))
    return head or hashlib.sha256(b"").hexdigest()

"""The end of a rollover: refused while anything is not verified, else signed, written and in the ledger."""

from __future__ import annotations

import hashlib
import logging

from sqlalchemy import Connection, func, insert, select, update
from upath import UPath

from rollover.certificate import signing
from rollover.certificate.disposals import Disposal, disposals
from rollover.certificate.facts import facts
from rollover.certificate.statement import AgainAtIssue
from rollover.database.tables.ledger import certificates, rollovers
from rollover.errors import ProofFailed
from rollover.ledger import artifacts, evidence, receipts
from rollover.ledger.plans import FrozenPlan
from rollover.ledger.results import Certified
from rollover.ledger.rollovers import RolloverState
from rollover.ledger.steps import PLAN_AGAIN
from rollover.run import Run
from rollover.sftp.outbox import Outbox
from rollover.storage import read_back, remove_parts, whole_file
from rollover.yearend import leftovers, residue
from rollover.yearend.plan import plan_hash
from rollover.yearend.still_kept import still_kept
from rollover.yearend.verify import rows_left

log = logging.getLogger(__name__)

REMEDY = (
    f"rows that came late: {PLAN_AGAIN} A file that is not as it was written: restore it from the storage's "
    "versions, then clear this task. A file that nobody knows: find out who put it there, move it away, then clear "
    "this task. What is past its time: trigger 'roster_sync', which removes it, then clear this "
    "task. Anything else: report it at once."
)


def certify(connection: Connection, plan: FrozenPlan, outbox: Outbox) -> Certified:
    """Issue the certificate as JSON and PDF, and mark the rollover as certified.

    Raises ProofFailed, naming everything that is not verified; steps that are missing are refused by the ledger
    before. Both files are named by the hash: those that a killed task left are nobody's certificate, since neither
    ledger nor evidence names them.
    """
    from rollover.certificate.pdf import drawn  # Typst: only this step needs it

    run = plan.run
    key = signing.read_key(run.signing_key)
    done, chain = disposals(connection, run), evidence.check(connection)
    left = rows_left(connection, run, current=False)
    files = [file for disposal in done for file in disposal.files]
    over = leftovers.past_their_time(connection, run)
    wrong = [*chain.wrong, *_unproven(done), *_late(left), *_left(over), *receipts.damaged(files)]
    wrong += map(str, (*residue.in_storage(connection, run), *residue.in_outbox(connection, run, outbox)))
    if wrong:
        raise ProofFailed(f"{run.id} is not certified, since not all is verified: {'; '.join(wrong)}.", REMEDY)

    issued_at = connection.scalars(select(func.clock_timestamp())).one()
    again = AgainAtIssue(
        rows_left=sum(left.values()), files_intact=len(files), evidence_whole=True, past_their_time=over
    )
    kept = still_kept(connection, run, done, outbox, issued_at)
    statement = facts(connection, run, done, chain, again=again, kept=kept, at=issued_at)
    content = signing.sign(statement.as_json(), key)
    signed = signing.opened(content)
    pdf = drawn(content, key)
    remove_parts(_folder(run))
    path = _folder(run) / f"{run.school_year}-{signed.sha256[:12]}.json"
    artifacts.intend(plan, artifacts.STORAGE, [path, path.with_suffix(".pdf")])
    _write(path, content)
    _write(path.with_suffix(".pdf"), pdf)
    connection.execute(
        insert(certificates).values(
            tenant_id=run.tenant.id,
            rollover_id=run.id,
            plan_no=done[-1].number,
            path=str(path),
            sha256=signed.sha256,
            pdf_sha256=hashlib.sha256(pdf).hexdigest(),
            key_id=signed.key_id,
            signature=signed.signature,
            evidence_entries=chain.entries,
            evidence_head=chain.head,
            issued_at=issued_at,
        )
    )
    connection.execute(
        update(rollovers)
        .where(rollovers.c.rollover_id == run.id)
        .values(state=RolloverState.CERTIFIED, finished_at=func.clock_timestamp())
    )
    log.info("%s is certified: %s", run.id, path)
    return Certified(
        plan_no=done[-1].number,
        path=str(path),
        pdf=str(path.with_suffix(".pdf")),
        sha256=signed.sha256,
        pdf_sha256=hashlib.sha256(pdf).hexdigest(),
        key_id=signed.key_id,
        signature=signed.signature,
    )


def _folder(run: Run) -> UPath:
    return run.storage / "certificates" / run.tenant.product / run.tenant.district


def _unproven(done: list[Disposal]) -> list[str]:
    """List the plans whose lines are not those that were approved, and the tables whose counts disagree."""
    found = []
    for disposal in done:
        if plan_hash(disposal.lines + disposal.stayed + disposal.held) != disposal.approval.plan_hash:
            found.append(f"the lines of plan {disposal.number} are not those that it was frozen and approved with")
        for counts in disposal.tables:
            if (counts.deleted, counts.remaining) != (counts.before, 0):
                found.append(
                    f"plan {disposal.number} took {counts.before} rows of {counts.table}, deleted were "
                    f"{_or_unknown(counts.deleted)}, left are {_or_unknown(counts.remaining)}"
                )
    return found


def _or_unknown(rows: int | None) -> str:
    return "not counted" if rows is None else str(rows)


def _late(left: dict[str, int]) -> list[str]:
    return [f"{name} has {rows} rows of the year that came late" for name, rows in left.items() if rows]


def _left(over: dict[str, int]) -> list[str]:
    return [f"{name}: {count} are left though their time is over" for name, count in over.items() if count]


def _write(path: UPath, content: bytes) -> None:
    with whole_file(path) as stream:
        stream.write(content)
    if read_back(path) != (hashlib.sha256(content).hexdigest(), len(content)):
        raise ProofFailed(f"{path} does not read back as it was written.", "clear this task.")

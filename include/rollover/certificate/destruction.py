"""The certificate of an archive's end, as signed JSON: a year that expired, or a key that was destroyed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, func, select
from upath import UPath

from rollover.certificate import signing
from rollover.certificate.facts import TOOL, Times
from rollover.certificate.statement import Destruction, DestructionPlan, Evidence, NamedDistrict, NamedProduct, Tool
from rollover.config import District, Product
from rollover.errors import ProofFailed
from rollover.ledger import artifacts, evidence
from rollover.ledger.disposal_plans import DESTROY_KEY, EXPIRE, DisposalPlan
from rollover.storage import read_back, whole_file
from rollover.tenant import Tenant

OF = {
    EXPIRE: "the erasure of one archived school year, whose time was over",
    DESTROY_KEY: "the destruction of the key that a tenant's archive is encrypted with",
}
METHOD = {
    EXPIRE: "Every file of a frozen plan was removed from storage; a listing of the year's folder then found no file.",
    DESTROY_KEY: "The key's file was overwritten and removed, and was not there afterwards. Every file with this "
    "key_id is encrypted (Parquet Modular Encryption, AES-GCM) and cannot be read without that key.",
}
NOT_CLAIMED = {
    EXPIRE: (
        "Nothing is claimed about older versions, snapshots and backups of the storage. Those of a file with a key_id "
        "cannot be read once that key is destroyed.",
        "Nothing is claimed about schemas that the year was copied into, or reports that were made of it.",
    ),
    DESTROY_KEY: (
        "Nothing is claimed about copies of the key, its backup among them: while there is one, the archive can be "
        "read.",
        "Files that are not encrypted with this key are not destroyed. Nothing is claimed about the storage medium.",
    ),
}


class Of(Protocol):
    """Whose archive it was."""

    @property
    def engine(self) -> Engine: ...
    @property
    def tenant(self) -> Tenant: ...
    @property
    def district(self) -> District: ...
    @property
    def product(self) -> Product: ...
    @property
    def storage(self) -> UPath: ...
    @property
    def signing_key(self) -> Path | None: ...


def issue(connection: Connection, of: Of, plan: DisposalPlan, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Write the certificate of a plan that was just run; returns its path and SHA-256, for the evidence.

    Named by its hash: one that the evidence does not name is nobody's. Raises ProofFailed if the chain of evidence
    does not hold.
    """
    chain = evidence.check(connection)
    if chain.wrong:
        raise ProofFailed(f"The evidence of {of.tenant} does not hold: {'; '.join(chain.wrong)}.", "report it at once.")
    times = Times(of.district.time_zone)
    statement = Destruction(
        number=f"{of.tenant}/archive/{plan.plan_id}",
        certificate_of=OF[plan.kind],
        issued_at=times.of(connection.scalars(select(func.clock_timestamp())).one()),
        district=NamedDistrict.of(of.district),
        product=NamedProduct.of(of.product),
        tenant=of.tenant.id,
        agreement=of.district.agreement,
        school_year=plan.school_year or ", ".join(each["school_year"] for each in plan.content["years"]),
        plan=DestructionPlan(
            sha256=plan.plan_hash,
            frozen_at=times.of(plan.frozen_at),
            asked_by=plan.asked_by,
            approved_by=plan.approved_by,
            approved_at=times.perhaps(plan.approved_at),
        ),
        destroyed=plan.content,
        method=METHOD[plan.kind],
        not_claimed=list(NOT_CLAIMED[plan.kind]),
        executed_by=Tool(tool=TOOL, version=version("rollover")),
        evidence=Evidence(entries=chain.entries, head=chain.head),
    )
    content = signing.sign(statement.as_json(), key)
    digest = hashlib.sha256(content).hexdigest()
    path = _folder(of.storage, of.tenant) / f"{plan.school_year or 'key'}-{plan.kind}-{digest[:12]}.json"
    artifacts.intend_certificate(of.engine, of.tenant, path)
    with whole_file(path) as stream:
        stream.write(content)
    if read_back(path) != (digest, len(content)):
        raise ProofFailed(f"{path} does not read back as it was written.", "clear this task.")
    return {"path": str(path), "sha256": digest}


def expired_years(storage: UPath, *, product: str = "*", district: str = "*", year: str = "*") -> Iterator[str]:
    """The archived years that have expired, a sentence each, as the certificates in storage say: no database is asked.

    A year may have been archived again since.
    """
    root, found = storage / "certificates", {}
    for path in sorted(root.glob(f"{product}/{district}/{year}-{EXPIRE}-*.json") if root.exists() else (), key=str):
        try:
            said = signing.opened(path.read_bytes()).certificate
        except ProofFailed as error:
            raise ProofFailed(f"{path}: {error.reason}", error.remedy) from None
        found[said["number"]] = said  # a task that was killed at its end left another of the same
    for said in found.values():
        plan = said["plan"]
        yield (
            f"The archive of {said['school_year']} of {said['tenant']} expired on {said['issued_at']['utc'][:10]}, "
            f"plan {plan['sha256'][:12]}, approved by {plan['approved_by']}."
        )


def _folder(storage: UPath, tenant: Tenant) -> UPath:
    return storage / "certificates" / tenant.product / tenant.district

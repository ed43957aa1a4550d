"""Reads the certificate of a tenant's school year from storage, and compares it with what the ledger has of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from upath import UPath

from rollover.certificate.check import checked
from rollover.certificate.signing import DO_NOT_RELY, Signed
from rollover.database.tables.ledger import certificates
from rollover.errors import ProofFailed, Refused
from rollover.storage import storage_path
from rollover.tenant import rollover_id


@dataclass(frozen=True)
class Disposed:
    """The rows of a table that all plans of a rollover took, and how many were left (None if no step counted them)."""

    table: str
    data_class: str
    before: int
    archived: int
    erased: int
    remaining: int | None


@dataclass(frozen=True)
class Issued:
    """A certificate and its two files: the signed JSON and the PDF."""

    signed: Signed
    path: UPath
    pdf: UPath

    @property
    def content(self) -> dict[str, Any]:
        return self.signed.certificate

    @property
    def tables(self) -> list[Disposed]:
        """What happened to the rows of each table, by its name."""
        return list(_disposed(self.content["disposals"]))


def issued(connection: Connection, tenant_id: str, school_year: str) -> Issued:
    """The newest certificate of a year of the session's tenant.

    Raises Refused if there is none or its file is missing, and ProofFailed if the file is not the one that was issued.
    """
    row = connection.execute(
        select(certificates.c.path, certificates.c.sha256)
        .where(certificates.c.rollover_id == rollover_id(tenant_id, school_year))
        .order_by(certificates.c.plan_no.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise Refused(
            f"{tenant_id} has no certificate of {school_year}.",
            f"`rollover status {tenant_id}` shows how far its rollovers are.",
        )
    path = storage_path(row.path)
    if not path.exists():
        raise Refused(f"{path} is missing.", "restore it from the storage's versions, or use the copy in the outbox.")
    signed = checked(path.read_bytes())
    if signed.sha256 != row.sha256:
        raise ProofFailed(f"{path} is not the certificate that the ledger names.", DO_NOT_RELY)
    return Issued(signed, path, path.with_suffix(".pdf"))


def _disposed(disposals: list[dict[str, Any]]) -> Iterator[Disposed]:
    by_table: dict[str, list[dict[str, Any]]] = {}
    for disposal in disposals:
        for counts in disposal["tables"]:
            by_table.setdefault(counts["table"], []).append(counts)
    for name, of_plans in sorted(by_table.items()):
        yield Disposed(
            table=name,
            data_class=of_plans[-1]["data_class"],
            before=sum(counts["before"] for counts in of_plans),
            archived=sum(counts["archived"] for counts in of_plans),
            erased=sum(counts["erased"] for counts in of_plans),
            remaining=of_plans[-1]["remaining"],
        )

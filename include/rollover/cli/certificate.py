"""``rollover certificate``: certificates of disposition, and the keys that sign them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollover.cli.command import PROVE, Document, Lines, Sheet, Tabular, command
from rollover.cli.context import BadArgument, Context, school_year
from rollover.cli.parameters import AnyTenant, AnyYear, TenantArgument, YearArgument
from rollover.errors import Refused

if TYPE_CHECKING:
    from rollover.certificate.signing import Signed

app = typer.Typer(
    name="certificate",
    rich_help_panel=PROVE,
    no_args_is_help=True,
    help="Certificates of disposition, and the keys that sign them.",
)
SHOWN_OF_A_DIGEST = 12


@dataclass(frozen=True)
class Certificate(Document):
    """The facts of a certificate. `sha256` is that of its JSON, `key` the id of the key that signed it.

    `public_key` is the file of the issuer's key that it was compared with; null if none was given.
    """

    number: str
    district: str
    product: str
    school_year: str
    issued_at: str
    sha256: str
    entries: int
    head: str
    key: str
    public_key: Path | None


@dataclass(frozen=True)
class CertificateRow:
    """The newest certificate of a tenant's school year. `path` is that of its JSON in storage, `sha256` its hash."""

    tenant: str
    school_year: str
    plan_no: int
    issued_at: datetime
    sha256: str
    path: str

    def __str__(self) -> str:
        return f"{self.tenant} {self.school_year}: issued {self.issued_at:%Y-%m-%d %H:%M} UTC, {self.path}"


@dataclass(frozen=True)
class Certificates(Tabular):
    """The certificates that were issued."""

    certificates: list[CertificateRow]

    def sheet(self) -> Sheet:
        return Sheet(
            ("Tenant", "Year", "Issued", "SHA-256 of the JSON"),
            [
                (row.tenant, row.school_year, f"{row.issued_at:%Y-%m-%d}", row.sha256[:SHOWN_OF_A_DIGEST])
                for row in self.certificates
            ],
        )


@dataclass(frozen=True)
class TableDisposed:
    """What happened to the rows of a table; `remaining` is how many were left, as a step of its own counted."""

    table: str
    data_class: str
    before: int
    archived: int
    erased: int
    remaining: int | None


@dataclass(frozen=True)
class StillKept:
    """Data of the year that was still kept when the certificate was issued, where, and until when."""

    what: str
    where: str
    number: int
    unit: str
    until: str | None


@dataclass(frozen=True)
class CertificateShown(Document):
    """A certificate, read from storage and compared with the ledger: its facts, and what became of the data.

    `held_rows` are on a legal hold or an open inspection request, and were not touched.
    """

    about: Certificate
    path: str
    pdf: str
    tables: list[TableDisposed]
    held_rows: int
    still_kept: list[StillKept]


@app.command("list", epilog="Example: rollover certificate list springfield-il --year 2025-26")
@command
def listed(context: Context, tenant: AnyTenant = None, year: AnyYear = None) -> Lines[Certificates]:
    """List the certificates that were issued."""
    from rollover.season.read import read_certificates

    wanted, tenants = school_year(year).key if year else None, set(context.tenants(tenant))
    rows = []
    for each in read_certificates(context.engine, context.catalog):
        if each.tenant in tenants and wanted in (None, each.school_year):
            found = each.certificate
            rows.append(
                CertificateRow(
                    each.tenant.id, each.school_year, found.plan_no, found.issued_at, found.sha256, found.path
                )
            )
            yield str(rows[-1])
    return Certificates(rows)


@app.command("show", epilog="Example: rollover certificate show hero__springfield-il 2025-26")
@command
def show(context: Context, tenant: TenantArgument, year: YearArgument) -> Lines[CertificateShown]:
    """Show what the certificate of a tenant's school year says: what was archived and erased, and what is left."""
    from rollover.certificate.issued import issued
    from rollover.texts.filters import count

    found = context.tenant(tenant)
    with context.session(found) as connection:
        file = issued(connection, found.id, school_year(year).key)
    shown = CertificateShown(
        about=certificate_of(file.signed, None),
        path=str(file.path),
        pdf=str(file.pdf),
        tables=[TableDisposed(**asdict(each)) for each in file.tables],
        held_rows=sum(line["rows"] for line in file.content["disposals"][-1]["held"]),
        still_kept=[
            StillKept(*(kept[name] for name in StillKept.__dataclass_fields__)) for kept in file.content["still_kept"]
        ],
    )
    yield from _about(shown.about)
    yield f"files: {shown.path}, {shown.pdf}"
    for each in shown.tables:
        left = "not counted" if each.remaining is None else f"{each.remaining:,}"
        yield f"{each.table}: {each.archived:,} archived, {each.erased:,} erased, {left} left"
    if shown.held_rows:
        yield f"On hold, and not touched: {count(shown.held_rows, 'row')}"
    for kept in shown.still_kept:
        until, number = f" until {kept.until}" if kept.until else "", f"{kept.number:,} " if kept.number else ""
        yield f"Still kept{until}: {kept.what}, {kept.where} ({number}{kept.unit})"
    yield f"The signature fits the key in the file, {shown.about.key}, and the file is the one that the ledger names."
    return shown


@app.command("keygen", epilog="Example: rollover certificate keygen /etc/rollover/signing-key.pem")
@command
def keygen(
    context: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
) -> Lines[None]:
    """Make a private key for certificates, and print its public key; an existing file is never overwritten."""
    from rollover.certificate import signing

    public = signing.new_key(file)
    yield f"The private key is in {file}: keep it secret, and set ROLLOVER_SIGNING_KEY to it."
    yield f"Publish the public key, whose id is {signing.key_id(public)}:"
    yield signing.public_pem(public).rstrip("\n")


@app.command("verify", epilog="Example: rollover certificate verify certificate.pdf --public-key issuer.pem")
@command
def verify(
    context: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate, JSON or PDF.")],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="PEM", help="The issuer's public key.")
    ] = None,
) -> Lines[Certificate]:
    """Check a certificate, JSON or PDF, on any machine; with --public-key, also that it is this issuer's."""
    from rollover.certificate import signing

    expected = signing.read_public_key(public_key) if public_key else None
    signed = signed_in(file)
    if expected is not None and signing.key_id(expected) != signed.key_id:
        raise Refused(
            f"{file} is signed with the key {signed.key_id}, and not with that of {public_key}, "
            f"{signing.key_id(expected)}.",
            signing.DO_NOT_RELY,
        )
    certificate = certificate_of(signed, public_key)
    yield from _about(certificate)
    if public_key is not None:
        yield f"The signature is that of {public_key}, key {certificate.key}: nothing was changed."
    else:
        yield f"The signature fits the key in the file, {certificate.key}: nothing was changed."
        yield "Whose key that is, the file cannot prove: compare it with the issuer's, or give --public-key."
    return certificate


def certificate_of(signed: Signed, public_key: Path | None) -> Certificate:
    """The facts of a certificate that fits its signature."""
    content = signed.certificate
    return Certificate(
        content["number"],
        content["district"]["name"],
        content["product"]["name"],
        content["school_year"],
        content["issued_at"]["utc"],
        signed.sha256,
        content["evidence"]["entries"],
        content["evidence"]["head"],
        signed.key_id,
        public_key,
    )


def _about(certificate: Certificate) -> Iterator[str]:
    yield f"{certificate.number}: {certificate.district}, {certificate.product}, {certificate.school_year}"
    yield f"issued {certificate.issued_at}; SHA-256 of the JSON {certificate.sha256}"
    yield f"evidence: {certificate.entries} entries, head {certificate.head}"


def signed_in(path: Path) -> Signed:
    """The certificate in a file. Raises BadArgument if the file cannot be read, ProofFailed if it was changed."""
    from rollover.certificate.check import checked

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror}") from None
    return checked(content)

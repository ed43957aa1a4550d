"""``rollover certificate``: certificates of disposition, and the keys that sign them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollover.cli.command import PROVE, Document, Lines, command
from rollover.cli.context import BadArgument, Context
from rollover.errors import Refused

if TYPE_CHECKING:
    from rollover.certificate.signing import Signed

app = typer.Typer(
    name="certificate",
    rich_help_panel=PROVE,
    no_args_is_help=True,
    help="Certificates of disposition, and the keys that sign them.",
)


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
    content = signed.certificate
    certificate = Certificate(
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
    yield f"{certificate.number}: {certificate.district}, {certificate.product}, {certificate.school_year}"
    yield f"issued {certificate.issued_at}; SHA-256 of the JSON {certificate.sha256}"
    yield f"evidence: {certificate.entries} entries, head {certificate.head}"
    if public_key is not None:
        yield f"The signature is that of {public_key}, key {certificate.key}: nothing was changed."
    else:
        yield f"The signature fits the key in the file, {certificate.key}: nothing was changed."
        yield "Whose key that is, the file cannot prove: compare it with the issuer's, or give --public-key."
    return certificate


def signed_in(path: Path) -> Signed:
    """The certificate in a file. Raises BadArgument if the file cannot be read, ProofFailed if it was changed."""
    from rollover.certificate.check import checked

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror}") from None
    return checked(content)

"""Commands about what proves a rollover: the chain of evidence, certificates, and the keys that sign them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rollover.cli.arguments import BadArgument, Subparsers, added, engine_of, group, tenants_of
from rollover.errors import Refused
from rollover.lint import load_catalog
from rollover.settings import Settings

if TYPE_CHECKING:
    from rollover.certificate.signing import Signed


def verify_evidence(options: argparse.Namespace, settings: Settings) -> int:
    """Check the chain of evidence of every tenant, or of one; with a certificate, that its tenant's chain holds it."""
    from rollover.database.session import tenant_session
    from rollover.ledger import evidence, holds

    catalog = load_catalog(settings.districts, settings.products)
    signed = _signed_in(options.certificate) if options.certificate else None
    if signed is not None:
        options.tenant = signed.certificate["tenant"]
    tenants = tenants_of(options, catalog)
    engine, broken = engine_of(settings), 0
    for tenant in tenants:
        with tenant_session(engine, tenant.id) as connection:
            chain = evidence.check(connection)
            wrong = [*chain.wrong, *holds.altered(connection)]
            if signed is not None:
                wrong += evidence.not_held(connection, signed.certificate, signed.sha256)
        broken += bool(wrong)
        first = f", first broken entry {chain.broken[0]}" if chain.broken else ""
        print(f"{tenant.id}: {chain.entries} entries, head {chain.head}, {'BROKEN' if wrong else 'intact'}{first}")
        for said in wrong:
            print(f"  {said}")
    if signed is not None and not broken:
        print(f"The chain holds the certificate {signed.certificate['number']}.")
    print(f"{len(tenants)} chains, {broken} broken")
    return 1 if broken else 0


def keygen(options: argparse.Namespace, settings: Settings) -> int:
    """Make a private key for certificates, and print its public key; a file that is there is never overwritten."""
    from rollover.certificate import signing

    public = signing.new_key(options.file)
    print(f"The private key is in {options.file}: keep it secret, and set ROLLOVER_SIGNING_KEY to it.")
    print(f"Publish the public key, whose id is {signing.key_id(public)}:")
    print(signing.public_pem(public), end="")
    return 0


def verify_certificate(options: argparse.Namespace, settings: Settings) -> int:
    """Check a certificate, JSON or PDF, on any machine; with --public-key, also that it is this issuer's."""
    from rollover.certificate import signing

    expected = signing.read_public_key(options.public_key) if options.public_key else None
    signed = _signed_in(options.file)
    if expected is not None and signing.key_id(expected) != signed.key_id:
        raise Refused(
            f"{options.file} is signed with the key {signed.key_id}, and not with that of {options.public_key}, "
            f"{signing.key_id(expected)}.",
            signing.DO_NOT_RELY,
        )
    said = signed.certificate
    print(f"{said['number']}: {said['district']['name']}, {said['product']['name']}, {said['school_year']}")
    print(f"issued {said['issued_at']['utc']}; SHA-256 of the JSON {signed.sha256}")
    print(f"evidence: {said['evidence']['entries']} entries, head {said['evidence']['head']}")
    if expected is not None:
        print(f"The signature is that of {options.public_key}, key {signed.key_id}: nothing was changed.")
    else:
        print(f"The signature fits the key in the file, {signed.key_id}: nothing was changed.")
        print("Whose key that is, the file cannot prove: compare it with the issuer's, or give --public-key.")
    return 0


def _signed_in(path: Path) -> Signed:
    from rollover.certificate.check import checked

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadArgument(f"{path} cannot be read: {error.strerror}") from None
    return checked(content)


def add_to(subparsers: Subparsers) -> None:
    command = added(group(subparsers, "evidence", "The chain of evidence."), "verify", verify_evidence)
    command.add_argument("tenant", nargs="?", help="a tenant or a district; without it, all")
    command.add_argument("--certificate", type=Path, metavar="FILE", help="a certificate that the chain must hold")
    commands = group(subparsers, "certificate", "Certificates of disposition, and the keys that sign them.")
    command = added(commands, "keygen", keygen)
    command.add_argument("file", type=Path, metavar="FILE", help="where the private key goes")
    command = added(commands, "verify", verify_certificate)
    command.add_argument("file", type=Path, metavar="FILE", help="a certificate, JSON or PDF")
    command.add_argument("--public-key", type=Path, metavar="PEM", help="the issuer's public key")

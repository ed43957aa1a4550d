"""``rollover evidence``: checks the chain to which every step adds a link."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rollover.cli.certificate import signed_in
from rollover.cli.command import PROVE, Document, Lines, command
from rollover.cli.context import Context
from rollover.cli.parameters import AnyTenant

app = typer.Typer(name="evidence", rich_help_panel=PROVE, no_args_is_help=True, help="The chain of evidence.")


@dataclass(frozen=True)
class ChainRow:
    """One tenant's chain: its number of entries, its newest hash, and what is wrong with it, in sentences."""

    tenant: str
    entries: int
    head: str
    is_intact: bool
    first_broken: int | None
    wrong: list[str]

    def __str__(self) -> str:
        first = f", first broken entry {self.first_broken}" if self.first_broken is not None else ""
        state = "intact" if self.is_intact else "BROKEN"
        return f"{self.tenant}: {self.entries} entries, head {self.head}, {state}{first}"


@dataclass(frozen=True)
class Chains(Document):
    """Every chain that was checked, and the number of the certificate that it was compared with, if one was given."""

    certificate: str | None
    chains: list[ChainRow]

    @property
    def broken(self) -> int:
        return sum(not chain.is_intact for chain in self.chains)

    @property
    def exit_code(self) -> int:
        return 1 if self.broken else 0


@app.command("verify", epilog="Example: rollover evidence verify hero__springfield-il --certificate certificate.pdf")
@command
def verify(
    context: Context,
    tenant: AnyTenant = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="A certificate that the chain must hold.")
    ] = None,
) -> Lines[Chains]:
    """Check the chain of evidence of every tenant, or of one; exits 1 if one is broken.

    With a certificate, check the chain of its tenant, and that the chain has the certificate.
    """
    from rollover.ledger import evidence, holds

    signed = signed_in(certificate) if certificate else None
    result = Chains(signed.certificate["number"] if signed else None, [])
    for each in context.tenants(signed.certificate["tenant"] if signed else tenant):
        with context.session(each) as connection:
            chain = evidence.check(connection)
            wrong = [*chain.wrong, *holds.altered(connection)]
            if signed is not None:
                wrong += evidence.certificate_problems(connection, signed.certificate, signed.sha256)
        first = chain.broken[0] if chain.broken else None
        result.chains.append(ChainRow(each.id, chain.entries, chain.head, not wrong, first, wrong))
        yield str(result.chains[-1])
        for sentence in wrong:
            yield f"  {sentence}"
    if result.certificate is not None and not result.broken:
        yield f"The chain holds the certificate {result.certificate}."
    yield f"{len(result.chains)} chains, {result.broken} broken"
    return result

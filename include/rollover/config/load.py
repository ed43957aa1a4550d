"""Reads the folders of district and product files. A wrong file is left out, with its reasons.

The others load: one district's mistake never takes another district's rollover away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from rollover.calendar import SchoolYear, date_problems
from rollover.config.document import Document
from rollover.config.models import District, Product, TenantConfig
from rollover.config.problems import Problem
from rollover.tenant import Tenant

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Catalog:
    """The districts and products whose files are right, and what is wrong with the others."""

    districts: dict[str, District]
    products: dict[str, Product]
    problems: tuple[Problem, ...]

    @cached_property
    def tenants(self) -> tuple[Tenant, ...]:
        """The tenants that may run, in a stable order."""
        named = (
            Tenant(product, district.district) for district in self.districts.values() for product in district.products
        )
        return tuple(sorted(named))


@dataclass(frozen=True)
class CrossChecks:
    """Checks of a file against other things than its own fields. `rollover.lint` has those that everyone uses."""

    product: Callable[[Document, Product], list[Problem]]
    tenant: Callable[[Document, tuple[str, str], TenantConfig], list[Problem]]
    """The tuple is the place of the tenant in its district file."""


def load_catalog(districts: Path, products: Path, checks: CrossChecks, *, only: str | None = None) -> Catalog:
    """Read both folders. Raises nothing for a bad file: it is in `problems`, and not in the catalog.

    With `only`, the id of a district, no other district's file is read: what a task costs does not depend on how many
    districts there are. Whether two files claim one folder is then not looked at; whoever reads all of them does.
    """
    product_files, problems = _load_products(products, checks)
    read = [(document := Document(path), document.validate(District)) for path in files_in(districts, only)]
    if not districts.is_dir():
        problems.append(Problem(districts, 1, "", "is not a folder; set ROLLOVER_DISTRICTS"))
    candidates = [(document, district) for document, district in read if district is not None]
    for document, district in candidates:
        document.problems += _problems_of(document, district, product_files, checks)
    _refuse_shared_folders(candidates)
    _refuse_twins([document for document, _ in read])
    for document, _ in read:
        problems += document.problems
    good = {district.district: district for document, district in candidates if not document.problems}
    return Catalog(good, product_files, tuple(problems))


def files_in(folder: Path, only: str | None = None) -> list[Path]:
    """The YAML files of a folder. With `only`, the stem of a file's name, the folder is not listed: with thousands of
    files that takes longer than to read one."""
    if only is not None:
        return [path for suffix in SUFFIXES if (path := folder / f"{only}{suffix}").is_file()]
    return sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES) if folder.is_dir() else []


def _refuse_twins(documents: list[Document]) -> None:
    """Find districts or products with two files, a .yaml and a .yml: one would win unnoticed."""
    by_stem: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_stem[document.path.stem].append(document)
    for same in by_stem.values():
        for document in same if len(same) > 1 else ():
            twins = [other.path.name for other in same if other is not document]
            document.problems.append(document.problem((), f"has a twin, {twins[0]}: keep one of them"))


def _load_products(folder: Path, checks: CrossChecks) -> tuple[dict[str, Product], list[Problem]]:
    products: dict[str, Product] = {}
    problems: list[Problem] = []
    read = [(document := Document(path), document.validate(Product)) for path in files_in(folder)]
    _refuse_twins([document for document, _ in read])
    for document, product in read:
        stem = document.path.stem
        if product is not None and product.product != stem:
            document.problems.append(document.problem(("product",), f"is not the file's name, '{stem}'"))
        if product is not None:
            document.problems += checks.product(document, product)
        problems += document.problems
        if product is not None and not document.problems:
            products[product.product] = product
    if not products:
        problems.append(Problem(folder, 1, "", "holds no usable product file; set ROLLOVER_PRODUCTS"))
    return products, problems


def _problems_of(
    document: Document, district: District, products: dict[str, Product], checks: CrossChecks
) -> list[Problem]:
    found = []
    if district.district != document.path.stem:
        found.append(document.problem(("district",), f"is not the file's name, '{document.path.stem}'"))
    for name, tenant in district.products.items():
        where = ("products", name)
        if name not in products:
            found.append(document.problem(where, f"the product file {name}.yaml is missing or refused"))
            continue
        first, last = tenant.first_school_year, tenant.last_school_year
        if last is not None and last < first:
            found.append(document.problem((*where, "last_school_year"), f"{last} is before {first}"))
        found += checks.tenant(document, where, tenant)
        for year in sorted({first, *tenant.reset_dates, *district.school_years}):
            found += _date_problems(document, district, products[name], year)
    return list(dict.fromkeys(found))


def _date_problems(document: Document, district: District, product: Product, year: SchoolYear) -> list[Problem]:
    facts = district.facts(product.product, year)
    return [
        document.problem(
            ("products", product.product, field, year.key) if field == "reset_dates" else (field, year.key),
            message,
        )
        for field, message in date_problems(product.reset_rule, district.district, year, facts)
    ]


def _refuse_shared_folders(candidates: list[tuple[Document, District]]) -> None:
    """Find folders that belong to two tenants, or lie within another tenant's: a folder is one district's.

    If two districts claim a folder, the one that it is named after keeps it, if there is one.
    """
    claims = [
        _Claim(document, district, name, PurePosixPath(tenant.folder))
        for document, district in candidates
        for name, tenant in district.products.items()
    ]
    at: dict[tuple[str, PurePosixPath], list[_Claim]] = defaultdict(list)
    below: dict[tuple[str, PurePosixPath], list[_Claim]] = defaultdict(list)
    for claim in claims:
        at[claim.server, claim.folder].append(claim)
        for above in claim.folder.parents:
            below[claim.server, above].append(claim)
    for claim in claims:
        around = [other for folder in claim.folder.parents for other in at.get((claim.server, folder), ())]
        same = [other for other in at[claim.server, claim.folder] if other is not claim]
        rivals = [*around, *same, *below.get((claim.server, claim.folder), ())]
        rightful = [c for c in (claim, *rivals) if c.district.district in c.folder.parts]
        if not rivals or (
            rightful and all(c.district is claim.district for c in rightful) and _distinct(claim, rivals)
        ):
            continue
        others = sorted(f"{c.document.path.name} ({c.product}, {c.folder})" for c in rivals)
        where = ("products", claim.product, "folder")
        message = f"'{claim.folder}' is claimed by {', '.join(others)} too"
        claim.document.problems.append(claim.document.problem(where, message))


@dataclass(frozen=True)
class _Claim:
    """A tenant's claim to a folder of an SFTP server."""

    document: Document
    district: District
    product: str
    folder: PurePosixPath

    @property
    def server(self) -> str:
        return self.district.sftp_connection


def _distinct(claim: _Claim, rivals: list[_Claim]) -> bool:
    """Whether no rival is of the same district, whose products must not share a folder either."""
    return all(rival.district is not claim.district for rival in rivals)

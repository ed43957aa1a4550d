"""Names a tenant, one district's use of one product, and builds its ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

PRODUCTS = ("hero", "imagine_math", "imagine_math_facts")
SEPARATOR = "__"
ROLLOVER_DAGS = f"rollover{SEPARATOR}"
"""How the id of every DAG of a tenant begins."""
IMPORT_DAG = "roster_import"
"""The DAG that imports for all tenants; the partition key of a run is the tenant."""


@dataclass(frozen=True, order=True)
class Tenant:
    """One district's use of one product, e.g. ``hero__springfield-il``."""

    product: str
    district: str

    @property
    def id(self) -> str:
        """The tenant id in the database, in storage paths, partition keys and DAG ids."""
        return f"{self.product}{SEPARATOR}{self.district}"

    @property
    def dag_id(self) -> str:
        return f"{ROLLOVER_DAGS}{self.id}"

    @classmethod
    def parse(cls, tenant_id: str) -> Self:
        """Read ``<product>__<district>``. Raises ValueError for anything else."""
        product, separator, district = tenant_id.partition(SEPARATOR)
        if not separator or product not in PRODUCTS or not district:
            raise ValueError(f"{tenant_id!r} is not a tenant id like 'hero__springfield-il'")
        return cls(product=product, district=district)

    def __str__(self) -> str:
        return self.id


def rollover_id(tenant_id: str, school_year: str) -> str:
    """The key of one tenant's rollover of one school year: ``hero__springfield-il__2025-26``."""
    return f"{tenant_id}{SEPARATOR}{school_year}"

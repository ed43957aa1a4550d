"""One tenant's rollover of one school year: everything a step needs, and nothing it has to look up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sqlalchemy import Engine
from upath import UPath

from rollover.calendar import SchoolYear, YearFacts, reset_day, reset_instant
from rollover.config import District, Product, TenantConfig
from rollover.tenant import Tenant, rollover_id


@dataclass(frozen=True)
class Run:
    """The arguments of every step. `now` is when the step was started: no step asks a clock."""

    engine: Engine
    tenant: Tenant
    school_year: SchoolYear
    district: District
    product: Product
    storage: UPath
    now: datetime
    signing_key: Path | None = None
    """The PEM file of the key that certificates are signed with; without one no rollover begins."""
    archive_keys: Path | None = None
    """The folder with the tenants' keys; without one archives are not encrypted."""
    backup_days: int | None = None
    """After how many days the deployment's backups expire; None: nobody has said."""

    @property
    def id(self) -> str:
        return rollover_id(self.tenant.id, self.school_year.key)

    @property
    def config(self) -> TenantConfig:
        return self.district.products[self.product.product]

    @property
    def facts(self) -> YearFacts:
        return self.district.facts(self.product.product, self.school_year)

    @property
    def reset_date(self) -> date:
        return reset_day(self.product.reset_rule, self.district.district, self.school_year, self.facts)

    @property
    def reset_at(self) -> datetime:
        return reset_instant(self.reset_date, self.product.dates.reset_time, self.district.time_zone)

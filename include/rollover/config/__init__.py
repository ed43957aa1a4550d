"""Reads district and product files into frozen models, or refuses them with file, line, field and reason."""

from rollover.config.load import Catalog, CrossChecks, load_catalog
from rollover.config.models import Action, DataClassRule, District, Product, RosterLimits, TenantConfig
from rollover.config.problems import Problem

__all__ = [
    "Action",
    "Catalog",
    "CrossChecks",
    "DataClassRule",
    "District",
    "Problem",
    "Product",
    "RosterLimits",
    "TenantConfig",
    "load_catalog",
]

"""Makes the files that a district's IT uploads in the summer and later: a OneRoster 1.1 set per tenant."""

from __future__ import annotations

from rollover_demo.seed import oneroster
from rollover_demo.seed.cohorts import finished_year, later, promoted
from rollover_demo.seed.oneroster import Files
from rollover_demo.seed.specs import DistrictSpec, TenantSpec


def finished_year_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """Return the set of the finished year, from which the live roster was filled."""
    return oneroster.files(finished_year(spec, tenant))


def new_year_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """Return the first set of the next year: one grade up, no graduates, a new cohort, new sections and sessions."""
    return oneroster.files(promoted(finished_year(spec, tenant)))


def broken_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """Return the new year's set without a file that its manifest names: Rollover refuses it."""
    return oneroster.broken_files(promoted(finished_year(spec, tenant)))


def half_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """Return the new year's set without one of the schools: it needs a review."""
    return oneroster.half_files(promoted(finished_year(spec, tenant)))


def update_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """Return the new year's set some days later: a few students left, a few are new, a few have an e-mail address now.
    Some rows have errors and are rejected."""
    roster = later(promoted(finished_year(spec, tenant)))
    return oneroster.encode(oneroster.with_mistakes(oneroster.rows(roster), roster.year))

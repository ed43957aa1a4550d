"""What a district's IT uploads over the summer and after it, one OneRoster 1.1 set per tenant."""

from __future__ import annotations

from rollover_demo.seed import oneroster
from rollover_demo.seed.cohorts import finished_year, later, promoted
from rollover_demo.seed.oneroster import Files
from rollover_demo.seed.specs import DistrictSpec, TenantSpec


def finished_year_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """The set of the year that has just finished: what the live roster was filled from."""
    return oneroster.files(finished_year(spec, tenant))


def new_year_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """The first set of the next year: a grade up, graduates gone, a new cohort, new sections and sessions."""
    return oneroster.files(promoted(finished_year(spec, tenant)))


def broken_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """The new year's set without a file that its manifest names: it is refused."""
    return oneroster.broken_files(promoted(finished_year(spec, tenant)))


def half_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """The new year's set without one of the schools: it is held."""
    return oneroster.half_files(promoted(finished_year(spec, tenant)))


def update_files(spec: DistrictSpec, tenant: TenantSpec) -> Files:
    """The new year's set some days later: a few students gone, a few new, a few e-mail addresses added; and some
    rows in error, which are kept out."""
    roster = later(promoted(finished_year(spec, tenant)))
    return oneroster.encode(oneroster.with_mistakes(oneroster.rows(roster), roster.year))

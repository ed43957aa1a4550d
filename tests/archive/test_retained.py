"""The archived years of a tenant, by the ledger alone."""

from __future__ import annotations

from upath import UPath

from rollover.archive.retained import retained_years
from rollover.database.session import tenant_session
from rollover.run import Run
from rollover.yearend import steps
from tests.yearend.test_rollover_steps import until_approved


def test_the_ledger_alone_lists_the_archived_years(run: Run) -> None:
    until_approved(run)
    steps.archive(run)
    with tenant_session(run.engine, run.tenant.id) as connection:
        assert retained_years(connection) == [], "its rows are live still"
    steps.erase(run)
    with tenant_session(run.engine, run.tenant.id) as connection:
        (year,) = retained_years(connection)
    assert (year.school_year, year.schools, year.keys, year.is_there) == ("2025-26", 2, (), True)
    assert year.tables["hero.tracking_events"] == 20 and UPath(year.manifest).exists()

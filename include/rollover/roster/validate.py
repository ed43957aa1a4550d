"""Judge a staged set as a whole: whose it is, of which year, and whether its rows hold together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select
from upath import UPath

from rollover.calendar import SchoolYear
from rollover.database.session import tenant_session
from rollover.database.tables import directory
from rollover.roster import imports, model
from rollover.roster.findings import Findings, why_rejected
from rollover.roster.rules import StagedSet, check_rows


@dataclass(frozen=True)
class _Expected:
    """What the directory says about the tenant."""

    org_sourced_id: str
    year: SchoolYear


def validate(engine: Engine, tenant_id: str, import_id: str, storage: UPath) -> dict[str, Any]:
    """Check a staged set: staged → validated, or ``rejected``.

    Rejected whole are: another district's files, a school year that is neither the tenant's current one nor
    the next, a set without a student, and a set with any row in error (found here or while staging). Warnings
    let a set in.
    """
    found = imports.current(engine, tenant_id, import_id)
    if found.state != "staged":
        return found.summary()
    staged = StagedSet(storage, import_id)
    findings = Findings()
    school_year = staged.school_year()
    _check_set(staged, school_year, _expected(engine, tenant_id), findings)
    check_rows(staged, findings)
    errors = _added(found.counts.get("errors", {}), findings.errors)
    with tenant_session(engine, tenant_id) as connection:
        moved = imports.advance(
            connection,
            import_id,
            before="staged",
            after="rejected" if errors else "validated",
            reason=why_rejected(errors) if errors else None,
            school_year=school_year,
            counts={"errors": errors, "warnings": _added(found.counts.get("warnings", {}), findings.warnings)},
        )
        if moved:
            findings.store(connection, import_id, tenant_id)
        return imports.load(connection, import_id).summary()


def _added(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return {code: first.get(code, 0) + second.get(code, 0) for code in {**first, **second}}


def _expected(engine: Engine, tenant_id: str) -> _Expected:
    query = (
        select(directory.districts.c.org_sourced_id, directory.tenants.c.current_school_year)
        .join_from(directory.tenants, directory.districts)
        .where(directory.tenants.c.tenant_id == tenant_id)
    )
    with tenant_session(engine, tenant_id) as connection:
        row = connection.execute(query).one()
    return _Expected(row.org_sourced_id, SchoolYear.parse(row.current_school_year))


def _check_set(staged: StagedSet, school_year: str | None, expected: _Expected, findings: Findings) -> None:
    if expected.org_sourced_id not in staged.keys("orgs"):
        message = (
            f"orgs.csv does not hold {expected.org_sourced_id}, the org of this district: these may be another "
            "district's files. Check the folder; if the district's sourcedId has changed, tell the data team."
        )
        findings.add("other_district", "error", model.ORGS.name, message, column="sourcedId")
    allowed = (expected.year.key, expected.year.next.key)
    if school_year is not None and school_year not in allowed:
        message = (
            f"The set is of school year {school_year}; expected is {' or '.join(allowed)}. "
            "Export it from the right year."
        )
        findings.add("wrong_year", "error", model.SESSIONS.name, message, column="schoolYear")
    if not (staged.table("people", ["role"])["role"] == "student").any():
        findings.add("no_students", "error", model.USERS.name, "There is not a single student. Export all users.")

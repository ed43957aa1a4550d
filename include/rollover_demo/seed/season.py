"""Defines the season: six districts and eight tenants, with every case that a rollover must handle.

Everything follows from the school year that has just finished, so a demo works on any day (`demo_year`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from rollover.calendar import SchoolYear
from rollover.tenant import Tenant
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, SubscriptionSpec, TenantSpec


def season(year: SchoolYear) -> tuple[DistrictSpec, ...]:
    """The districts whose school year `year` is over and is now to be rolled over.

    Between them: schools with and without a subscription in one district; a subscription with a gap in a past
    summer; own reset dates; a summer session past July 28; three past years to backfill; a broken first drop;
    imports at once and nightly; a behavior code changed after the last school day.
    """
    return (
        _springfield(year),
        _riverbend(year),
        _cedar_valley(year),
        _lakeshore(year),
        _mesa_verde(year),
        _harbor(year),
    )


def demo_year(today: date) -> SchoolYear:
    """The newest school year whose every reset date lies before `today`."""
    year = SchoolYear.ending_in(today.year)
    return year if max(_last_reset_day(spec) for spec in season(year)) < today else year.previous


def write_district_files(specs: Iterable[DistrictSpec], folder: Path) -> list[Path]:
    """Write one district file (YAML) per district into `folder`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for spec in specs:
        path = folder / f"{spec.id}.yaml"
        path.write_text(yaml.safe_dump(district_file(spec), sort_keys=False, allow_unicode=True), encoding="utf-8")
        paths.append(path)
    return paths


def district_file(spec: DistrictSpec) -> dict[str, Any]:
    """Return the content of the district's file."""
    calendar = spec.calendar(spec.year)
    # No rostering_begins: the demo runs on any day of the year, and drops the new year's files when it is ready.
    facts = {"ends": calendar.ends}
    if calendar.summer_session_ends:
        facts["summer_session_ends"] = calendar.summer_session_ends
    return {
        "district": spec.id,
        "name": spec.name,
        "time_zone": spec.time_zone,
        "org_sourced_id": spec.org_sourced_id,
        "sftp_connection": "district_sftp",
        "contacts": [
            {"role": role, "name": title, "email": f"{role.replace('_', '-')}@{spec.id}.example"}
            for role, title in (
                ("district_it", "IT help desk"),
                ("data_engineer", "Data team"),
                ("customer_success", "Customer success"),
                ("privacy_officer", "Student privacy office"),
            )
        ],
        "school_years": {spec.year.key: facts},
        "products": {tenant.tenant.product: _product_entry(spec, tenant) for tenant in spec.tenants},
    }


def _product_entry(spec: DistrictSpec, tenant: TenantSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "first_school_year": spec.year.key,
        "folder": f"/{spec.id}/{tenant.tenant.product}",
        "roster_import": tenant.roster_import,
    }
    if tenant.own_reset_date:
        entry["reset_dates"] = {spec.year.key: tenant.own_reset_date}
    return entry


def _springfield(year: SchoolYear) -> DistrictSpec:
    district = "springfield-il"
    lincoln = SchoolSpec("101", "Lincoln Elementary", 0, 5, 420)
    prairie = SchoolSpec("102", "Prairie View Elementary", 0, 5, 380)
    grant = SchoolSpec("201", "Grant Middle School", 6, 8, 480)
    central = SchoolSpec("301", "Springfield Central High School", 9, 12, 720)
    return DistrictSpec(
        id=district,
        name="Springfield Public Schools",
        time_zone="America/Chicago",
        year=year,
        tenants=(
            TenantSpec(
                Tenant("hero", district),
                (lincoln, prairie, grant, central),
                (*_active(year, lincoln, grant, central), _ended(year, prairie)),
                code_updated_in_summer=True,
                inspected_school=prairie.id,
            ),
            TenantSpec(
                Tenant("imagine_math", district),
                (lincoln, prairie, grant),
                (
                    *_active(year, lincoln, prairie),
                    _ended(year, grant),
                    # Tried for a term and given up: known to the directory, without any data.
                    SubscriptionSpec(
                        central.id, "cancelled", date(year.first_year - 1, 8, 1), date(year.first_year - 1, 12, 31)
                    ),
                ),
            ),
        ),
    )


def _riverbend(year: SchoolYear) -> DistrictSpec:
    district = "riverbend-mo"
    schools = (
        SchoolSpec("110", "Riverbend North Elementary", 0, 4, 350),
        SchoolSpec("120", "Riverbend South Elementary", 0, 4, 330),
        SchoolSpec("210", "Riverbend Intermediate", 5, 6, 300),
        SchoolSpec("220", "Riverbend Junior High", 7, 8, 310),
        SchoolSpec("310", "Riverbend High School", 9, 12, 560),
    )
    tenant = TenantSpec(
        Tenant("hero", district),
        schools,
        _active(year, *schools),
        roster_import="at_once",
        own_reset_date=date(year.last_year, 7, 20),
        first_drop="half",
    )
    return DistrictSpec(district, "Riverbend R-II School District", "America/Chicago", year, (tenant,), ends=(5, 27))


def _cedar_valley(year: SchoolYear) -> DistrictSpec:
    district = "cedar-valley-wa"
    schools = (
        SchoolSpec("11", "Cedar Valley Primary", 0, 5, 450),
        SchoolSpec("21", "Cedar Valley Middle School", 6, 8, 270),
        SchoolSpec("31", "Cedar Valley High School", 9, 12, 360),
    )
    # The high school let its subscription lapse over one summer: that year's data is erased, not archived.
    lapse = year.first_year - 2
    lapsed = (
        SubscriptionSpec("31", "ended", date(lapse - 2, 8, 1), date(lapse, 6, 15)),
        SubscriptionSpec("31", "active", date(lapse, 9, 1), date(year.first_year + 2, 6, 30)),
    )
    tenant = TenantSpec(
        Tenant("hero", district),
        schools,
        (*_active(year, *schools[:2]), *lapsed),
        past_years=3,
        events_per_student=24,
    )
    return DistrictSpec(district, "Cedar Valley School District", "America/Los_Angeles", year, (tenant,), ends=(6, 12))


def _lakeshore(year: SchoolYear) -> DistrictSpec:
    district = "lakeshore-mi"
    schools = (
        SchoolSpec("0041", "Dune Park Elementary", -1, 5, 520),
        SchoolSpec("0042", "Harbor Light Elementary", -1, 5, 490),
        SchoolSpec("0050", "Lakeshore Middle School", 6, 8, 410),
    )
    tenant = TenantSpec(Tenant("imagine_math", district), schools, _active(year, *schools), roster_import="at_once")
    return DistrictSpec(
        district,
        "Lakeshore Community Schools",
        "America/Detroit",
        year,
        (tenant,),
        ends=(6, 10),
        summer_session_ends=(8, 6),
    )


def _mesa_verde(year: SchoolYear) -> DistrictSpec:
    district = "mesa-verde-az"
    schools = (
        SchoolSpec("701", "Ocotillo Academy", 0, 8, 480),
        SchoolSpec("702", "Saguaro School", 0, 8, 450),
        SchoolSpec("703", "Palo Verde School", 0, 8, 360),
    )
    early = date(year.last_year, 6, 26)
    math = TenantSpec(Tenant("imagine_math", district), schools, _active(year, *schools), own_reset_date=early)
    facts = TenantSpec(Tenant("imagine_math_facts", district), schools, _active(year, *schools))
    return DistrictSpec(
        district,
        "Mesa Verde Unified School District",
        "America/Phoenix",
        year,
        (math, facts),
        ends=(5, 22),
    )


def _harbor(year: SchoolYear) -> DistrictSpec:
    district = "harbor-ct"
    schools = (
        SchoolSpec("H1", "Mystic Road School", 0, 2, 310),
        SchoolSpec("H2", "Captain's Hill School", 3, 5, 330),
        SchoolSpec("H3", "Whaler Middle School", 6, 8, 360),
    )
    tenant = TenantSpec(Tenant("imagine_math_facts", district), schools, _active(year, *schools), first_drop="broken")
    return DistrictSpec(
        district,
        "Harbor Public Schools",
        "America/New_York",
        year,
        (tenant,),
        ends=(6, 15),
    )


def _active(year: SchoolYear, *schools: SchoolSpec) -> tuple[SubscriptionSpec, ...]:
    """Renewed for the new year, and long enough behind to cover the past years of a backfill."""
    first, last = date(year.first_year - 4, 8, 1), date(year.first_year + 2, 6, 30)
    return tuple(SubscriptionSpec(school.id, "active", first, last) for school in schools)


def _ended(year: SchoolYear, school: SchoolSpec) -> SubscriptionSpec:
    return SubscriptionSpec(school.id, "ended", date(year.first_year - 1, 8, 1), date(year.last_year, 6, 15))


def _last_reset_day(spec: DistrictSpec) -> date:
    """Return the latest day on which a tenant of the district is reset, by the default rules or its own date."""
    calendar = spec.calendar(spec.year)
    after_school = (calendar.summer_session_ends or calendar.ends) + timedelta(days=1)
    own = [tenant.own_reset_date for tenant in spec.tenants if tenant.own_reset_date]
    return max(after_school, date(spec.year.last_year, 7, 28), *own)

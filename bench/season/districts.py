"""Generated districts for a season: most of one or two schools, a few of fifty, all reset on the same date."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

import asyncssh
from sqlalchemy import Engine, text

from rollover.calendar import SchoolYear
from rollover.tenant import Tenant
from rollover_demo.demo.services import Services
from rollover_demo.seed import oneroster
from rollover_demo.seed.season import demo_year
from rollover_demo.seed.specs import DistrictSpec, SchoolSpec, SubscriptionSpec, TenantSpec
from rollover_demo.seed.uploads import new_year_files
from rollover_demo.sftp_server import HOST, ROLLOVER

PRODUCT = "hero"
PREFIX = "season-"
LARGE_EVERY, LARGE_SCHOOLS = 30, 50
EVENTS_EACH, TIMES_AS_MUCH = 10, 50
FAULTY = 5
"""How many tenants fail, and how many have a server that does not answer."""
ENVIRONMENT_OF_CONNECTION = "AIRFLOW_CONN_SILENT_{number}"


class Kind(StrEnum):
    """What is special about a tenant."""

    SMALL = "small"
    LARGE = "large"
    HEAVY = "heavy"
    FAILS = "fails"
    SILENT = "silent"


@dataclass(frozen=True)
class Made:
    """The districts, and what is special about each tenant, by its id."""

    specs: tuple[DistrictSpec, ...]
    kinds: dict[str, Kind]

    def of(self, *kinds: Kind) -> list[str]:
        return [tenant_id for tenant_id, kind in self.kinds.items() if kind in kinds]

    @property
    def healthy(self) -> list[str]:
        """The tenants that have to be certified."""
        return self.of(Kind.SMALL, Kind.LARGE, Kind.HEAVY)


def make(count: int, *, faults: bool) -> Made:
    """Districts with one tenant each. With `faults`, some fail, some have a silent server, and one is heavy."""
    year = demo_year(datetime.now(UTC).date())
    kinds = [Kind.LARGE if n % LARGE_EVERY == LARGE_EVERY // 2 else Kind.SMALL for n in range(count)]
    if faults:
        small = [n for n, kind in enumerate(kinds) if kind is Kind.SMALL]
        special = [Kind.HEAVY, *[Kind.FAILS, Kind.SILENT] * FAULTY]
        if len(small) <= len(special):
            raise SystemExit(f"--faults needs more than {len(special)} tenants")
        step = len(small) // len(special)  # spread: the first ones may be worked on first
        for n, kind in zip(small[::step], special, strict=False):
            kinds[n] = kind
    specs = tuple(_district(n, kind, year) for n, kind in enumerate(kinds))
    return Made(specs, {named(spec): kind for spec, kind in zip(specs, kinds, strict=True)})


def drops(made: Made) -> dict[str, bytes]:
    """The new year's set of each tenant as a zip, by the path below the root of the SFTP server."""
    return {
        f"{spec.id}/{PRODUCT}/roster.zip": oneroster.as_zip(new_year_files(spec, spec.tenants[0]))
        for spec in made.specs
    }


def upload(services: Services, files: dict[str, bytes]) -> None:
    """Put the sets where the districts' IT puts them, each with its marker."""
    for name, content in files.items():
        path = services.folder / "sftp" / name
        path.write_bytes(content)
        path.with_name(f"{path.name}.done").touch()


def say_sizes(made: Made, folder: Path) -> None:
    """Say in the files of large districts how many students they have, so that these go first."""
    for spec in made.specs:
        if made.kinds[named(spec)] is Kind.LARGE:
            with (folder / "districts" / f"{spec.id}.yaml").open("a") as file:
                file.write(f"students: {sum(school.students for school in spec.schools)}\n")


def let_fail(owner: Engine, tenants: Iterable[str]) -> None:
    """Let the database refuse what `archive` records of some tenants, each time that it is tried."""
    listed = ", ".join(f"'{tenant_id}'" for tenant_id in tenants)
    with owner.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN RAISE EXCEPTION 'made to fail'; END$$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER fails BEFORE INSERT ON ledger.archives FOR EACH ROW "
                f"WHEN (NEW.tenant_id IN ({listed})) EXECUTE FUNCTION public.fail()"
            )
        )


@contextmanager
def silent_servers(made: Made, folder: Path) -> Iterator[dict[str, str]]:
    """Give each silent tenant a server that takes connections and never answers; their Airflow connections."""
    environment = {}
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    silent = [spec for spec in made.specs if made.kinds[named(spec)] is Kind.SILENT]
    with ExitStack() as stack:
        for number, spec in enumerate(silent):
            server = stack.enter_context(socket.create_server((HOST, 0), backlog=4096))
            path = folder / "districts" / f"{spec.id}.yaml"
            path.write_text(path.read_text().replace("district_sftp", f"silent_{number}"))
            environment[ENVIRONMENT_OF_CONNECTION.format(number=number)] = json.dumps(
                {
                    "conn_type": "sftp",
                    "host": HOST,
                    "port": server.getsockname()[1],
                    "login": ROLLOVER,
                    "password": "none",
                    "extra": {"host_key": key},
                }
            )
        yield environment


def named(spec: DistrictSpec) -> str:
    """The id of a district's one tenant."""
    return spec.tenants[0].id


def _district(number: int, kind: Kind, year: SchoolYear) -> DistrictSpec:
    name = f"{PREFIX}{number:04}-xx"
    count = LARGE_SCHOOLS if kind is Kind.LARGE else 1 + number % 2
    schools = tuple(
        SchoolSpec(f"{n + 1:03}", f"School {n + 1}", 0, 2, 30 + (number * 17 + n * 23) % 71) for n in range(count)
    )
    first, last = date(year.first_year - 1, 8, 1), date(year.last_year + 2, 6, 30)
    # One of two schools, and every fifth of fifty, has ended its subscription: its data is erased, not archived.
    ended = {school.id for n, school in enumerate(schools) if count > 1 and n % 5 == 1}
    subscriptions = tuple(
        SubscriptionSpec(school.id, "ended", first, date(year.last_year, 1, 31))
        if school.id in ended
        else SubscriptionSpec(school.id, "active", first, last)
        for school in schools
    )
    tenant = TenantSpec(Tenant(PRODUCT, name), schools, subscriptions, events_per_student=EVENTS_EACH)
    if kind is Kind.HEAVY:
        tenant = replace(tenant, events_per_student=EVENTS_EACH * TIMES_AS_MUCH)
    return DistrictSpec(name, f"District {number}", "America/Chicago", year, (tenant,))

"""Commands about archived years: which there are, what is in them, their reports, and putting one back."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rollover.cli.arguments import (
    REASON,
    TENANT,
    YEAR,
    BadArgument,
    Subparsers,
    added,
    check_name,
    engine_of,
    group,
    person_of,
    tenant_of,
    year_of,
)
from rollover.config import Catalog
from rollover.lint import load_catalog
from rollover.settings import Settings
from rollover.tenant import PRODUCTS

if TYPE_CHECKING:
    from rollover.archive.manifest import Manifest

WIDTH, SHOWN = 200, 1000
"""Characters of a line and rows of a table that a query prints; --csv has all of them."""


def list_years(options: argparse.Namespace, settings: Settings) -> int:
    """List the archived years: what they hold, whether they are encrypted, when they expire. Reads storage only."""
    from rollover.archive import manifest as manifests
    from rollover.certificate.destruction import expired_years

    catalog, count = load_catalog(settings.districts, settings.products), 0
    _check_names(options.district, None, catalog, settings)
    for _, manifest in manifests.newest(settings.storage_root, district=options.district or "*"):
        count += 1
        own = [file for file in manifest.files if not file.bound]
        schools = len({file.school for file in own})
        print(
            f"{manifest.tenant:50} {manifest.school_year}  archived {manifest.archived_at:%Y-%m-%d}  "
            f"plan {manifest.plan_no}  {schools:,} schools  {sum(file.rows for file in own):,} rows  "
            f"{sum(file.bytes for file in manifest.files):,} bytes  {_encrypted(manifest)}  "
            f"{_expires(manifest, catalog)}"
        )
    for said in expired_years(settings.storage_root, district=options.district or "*"):
        print(said)
    print(f"{count} archived years")
    return 0


def _encrypted(manifest: Manifest) -> str:
    keys = sorted({file.key_id for file in manifest.files if file.key_id})
    plain = sum(file.key_id is None for file in manifest.files)
    if not keys:
        return "not encrypted"
    return f"encrypted, key {', '.join(keys)}" + (f", but for {plain:,} files" if plain else "")


def _expires(manifest: Manifest, catalog: Catalog) -> str:
    """When the year's time is over, by the district and product files as they are now."""
    district, product = catalog.districts.get(manifest.district), catalog.products.get(manifest.product)
    if district is None or product is None or manifest.product not in district.products:
        return "expires by no rule: no district file lists it"
    if manifest.reset_date is None:
        return "expires by the reset date, which its manifest does not have"
    config = district.products[product.product]
    expires = product.archive_expires_on(config, manifest.reset_date)
    return f"expires {expires}" if expires else "kept for good"


def query(options: argparse.Namespace, settings: Settings) -> int:
    """Ask the archived years in SQL (DuckDB): hero.tracking_events and so on, with tenant_id and school_year."""
    import pyarrow.csv as pacsv

    from rollover.archive import manifest as manifests
    from rollover.archive.keys import Keys
    from rollover.archive.query import archived, as_csv, ask, readable, without_values
    from rollover.certificate.destruction import expired_years

    _check_names(options.district, options.product, load_catalog(settings.districts, settings.products), settings)
    keys = Keys(settings.archive_keys)
    which = {
        "product": options.product or "*",
        "district": options.district or "*",
        "year": year_of(options).key if options.year else "*",
    }
    years, closed = readable(manifests.newest(settings.storage_root, **which), keys)
    for why in (*closed, *(expired_years(settings.storage_root, **which) if options.year else ())):
        print(f"Left out: {why}", file=sys.stderr)
    with archived(years, keys) as connection:
        result = ask(connection, options.sql)
        with without_values():
            if options.csv:
                rows = as_csv(result)
                with pacsv.CSVWriter(sys.stdout.buffer, rows.schema) as writer:
                    for batch in rows:
                        writer.write_batch(batch)
            else:
                result.show(max_width=WIDTH, max_rows=SHOWN)
    return 0


def _check_names(district: str | None, product: str | None, catalog: Catalog, settings: Settings) -> None:
    """Raise BadArgument for a district or product that neither a file nor the archive has. The archive may have a
    district that is no longer a customer."""
    from rollover.archive.manifest import FOLDER

    check_name("product", product, PRODUCTS)
    if district is not None and district not in catalog.districts:
        archived = (path.name for path in settings.storage_root.glob(f"{FOLDER}/*/*"))
        check_name("district", district, {*catalog.districts, *archived})


def report(options: argparse.Namespace, settings: Settings) -> int:
    """Make a report of an archived year: what it was when the year was live, of the schools that were archived."""
    from upath import UPath

    from rollover.archive.keys import Keys
    from rollover.archive.report import write_archived_report
    from rollover.exports import reports_of

    catalog = load_catalog(settings.districts, settings.products)
    tenant, year = tenant_of(options, catalog), year_of(options)
    known = reports_of(tenant.product)
    if options.report not in known:
        raise BadArgument(f"'{options.report}' is no report of {tenant.product}: {', '.join(known)}")
    exports = settings.storage_root / "exports" / tenant.product / tenant.district / year.key
    folder = UPath(options.out) if options.out else exports / "from_archive"
    district = catalog.districts[tenant.district]
    what = (tenant, year, known[options.report], district, folder, Keys(settings.archive_keys))
    for receipt in write_archived_report(engine_of(settings), *what):
        print(f"{receipt.path}: {receipt.rows:,} rows, SHA-256 {receipt.sha256}")
    return 0


def restore(options: argparse.Namespace, settings: Settings) -> int:
    """Put an archived year back, row for row: into a new schema, or into the live tables where the year is empty."""
    from rollover.archive.keys import Keys
    from rollover.archive.restore import into_live, into_schema
    from rollover.ledger.identity import caller

    tenant, year = tenant_of(options, load_catalog(settings.districts, settings.products)), year_of(options)
    engine, keys = engine_of(settings), Keys(settings.archive_keys)
    if options.live:
        result = into_live(engine, tenant, year, keys, by=person_of(settings), reason=options.reason)
    else:  # only the owner may make a schema
        result = into_schema(engine, tenant, year, options.into, keys, by=str(caller(engine)), reason=options.reason)
    for name, rows in result["rows"].items():
        print(f"{name}: {rows:,} rows")
    print(f"{year} of {tenant} is in {result['into']}")
    return 0


def keygen(options: argparse.Namespace, settings: Settings) -> int:
    """Make the key that a tenant's archive is encrypted with; a key that is there is never overwritten."""
    from rollover.archive.keys import Keys

    keys = Keys(settings.archive_keys)
    tenant = tenant_of(options, load_catalog(settings.districts, settings.products))
    key = keys.make(tenant.id)
    print(f"The key of {tenant}, whose id is {key.id}, is in {keys.path(tenant.id)}.")
    print("Keep a copy of it apart from the archive: without it nobody reads what it encrypts.")
    return 0


def destroy_key(options: argparse.Namespace, settings: Settings) -> int:
    """Destroy a tenant's key, and with it every copy of what it encrypts: one person asks, another approves."""
    from rollover.archive.keys import Keys
    from rollover.disposal import destroy

    catalog = load_catalog(settings.districts, settings.products)
    tenant, keys, by = tenant_of(options, catalog), Keys(settings.archive_keys), person_of(settings)
    of = destroy.Tenancy(
        engine_of(settings),
        tenant,
        catalog.districts[tenant.district],
        catalog.products[tenant.product],
        settings.storage_root,
        settings.signing_key,
    )
    if options.why:
        plan = destroy.ask(of, keys, by=by, why=options.why)
        print(destroy.markdown(of, plan.content))
        print(f"Nothing is destroyed yet. Somebody else than {by} carries it out:")
        print(f"  rollover archive destroy-key {tenant} --approve {plan.plan_hash[:12]}")
        return 0
    done = destroy.destroy(of, keys, plan_hash=options.approve, by=by)
    print(f"The key {done['key_id']} of {tenant} is destroyed. Destroy its copies too, its backup among them.")
    return 0


def add_to(subparsers: Subparsers) -> None:
    about = "Archived years: what there is, SQL over them, their reports, and putting one back."
    commands = group(subparsers, "archive", about)
    added(commands, "list", list_years).add_argument("district", nargs="?", help="without it, all")
    command = added(commands, "query", query)
    command.add_argument("sql", help='one SELECT, e.g. "SELECT school_year, count(*) FROM tracking_events GROUP BY 1"')
    command.add_argument("--district")
    command.add_argument("--product", help="hero, imagine_math or imagine_math_facts")
    command.add_argument("--year", help=YEAR)
    command.add_argument("--csv", action="store_true", help="all rows, as CSV")
    command = added(commands, "report", report)
    command.add_argument("report", help="e.g. behavior_history")
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    command.add_argument("--out", help="a folder; without it, one beside the exports of the year")
    added(commands, "keygen", keygen).add_argument("tenant", help=TENANT)
    command = added(commands, "destroy-key", destroy_key)
    command.add_argument("tenant", help=TENANT)
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--why", metavar="TEXT", help="ask for it: why, without a name; goes to the evidence")
    how.add_argument("--approve", metavar="PLAN", help="carry out what somebody else asked for, by the plan's hash")
    command = added(commands, "restore", restore)
    command.add_argument("tenant", help=TENANT)
    command.add_argument("year", help=YEAR)
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument("--into", metavar="SCHEMA", help="a new schema; needs the owner's URL in ROLLOVER_DATABASE_URL")
    where.add_argument("--live", action="store_true", help="the live tables, where they have no row of that year")
    command.add_argument("--reason", required=True, help=REASON)

"""``rollover archive``: lists, queries, reports and restores archived years, and manages their keys."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rollover.cli.command import ARCHIVE, Document, JsonOption, Lines, Sheet, Tabular, command
from rollover.cli.context import BadArgument, Context, did_you_mean, refuse_unknown, school_year
from rollover.cli.export import WrittenFile
from rollover.cli.parameters import (
    AnyYear,
    DistrictOption,
    ProductOption,
    Reason,
    TenantArgument,
    YearArgument,
    complete_district,
)
from rollover.tenant import PRODUCTS

if TYPE_CHECKING:
    import duckdb

    from rollover.archive.manifest import Manifest
    from rollover.config import Catalog

app = typer.Typer(
    name="archive",
    rich_help_panel=ARCHIVE,
    no_args_is_help=True,
    help="Archived years: what there is, SQL over them, their reports, and putting one back.",
)
WIDTH, SHOWN = 200, 1000
"""Characters of a line and rows of a table that a query prints; --csv and --json have all of them."""
JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


@dataclass(frozen=True)
class ArchivedYear:
    """An archived year. `rows` and `schools` count the year itself, `bytes` is the size of all files, `plain_files` the
    number of files that are not encrypted. `expires_on` is null if the year is kept for good or no rule applies to it;
    `expires` says which."""

    tenant: str
    school_year: str
    archived_at: datetime
    plan_no: int
    schools: int
    rows: int
    bytes: int
    keys: list[str]
    plain_files: int
    expires_on: date | None
    expires: str

    @property
    def encryption(self) -> str:
        if not self.keys:
            return "not encrypted"
        plain = f", but for {self.plain_files:,} files" if self.plain_files else ""
        return f"encrypted, key {', '.join(self.keys)}{plain}"

    def __str__(self) -> str:
        return (
            f"{self.tenant:50} {self.school_year}  archived {self.archived_at:%Y-%m-%d}  plan {self.plan_no}  "
            f"{self.schools:,} schools  {self.rows:,} rows  {self.bytes:,} bytes  {self.encryption}  {self.expires}"
        )


@dataclass(frozen=True)
class ArchivedYears(Tabular):
    """The archived years in storage; `expired` has a sentence for each year that is gone."""

    years: list[ArchivedYear]
    expired: list[str]

    def sheet(self) -> Sheet:
        columns = ("Tenant", "Year", "Archived", "Schools", "Rows", "Bytes", "Encryption", "Expires")
        rows = [
            (
                year.tenant,
                year.school_year,
                f"{year.archived_at:%Y-%m-%d}",
                f"{year.schools:,}",
                f"{year.rows:,}",
                f"{year.bytes:,}",
                year.encryption,
                year.expires,
            )
            for year in self.years
        ]
        return Sheet(columns, [tuple(row) for row in rows], self.expired)


@dataclass(frozen=True)
class QueryColumn:
    """A column of a result, and its type in DuckDB."""

    name: str
    type: str


@dataclass(frozen=True)
class QueryResult(Document):
    """The rows of a query, each a list of values in the order of the columns.

    Decimals, dates and other types that JSON lacks are text.
    """

    columns: list[QueryColumn]
    rows: list[list[JsonValue]]


@dataclass(frozen=True)
class ArchivedReport(Document):
    """The files of a report of an archived year."""

    report: str
    files: list[WrittenFile]


@app.command("list", epilog="Example: rollover archive list springfield-il")
@command
def list_years(
    context: Context,
    district: Annotated[
        str | None,
        typer.Argument(metavar="DISTRICT", help="Without it, all.", autocompletion=complete_district),
    ] = None,
) -> Lines[ArchivedYears]:
    """List the archived years: what they hold, whether they are encrypted, when they expire. Reads storage only."""
    from rollover.archive import manifest as manifests
    from rollover.certificate.destruction import expired_years

    _refuse_unknown(context, district, None)
    found, storage = ArchivedYears([], []), context.settings.storage_root
    for _, manifest in manifests.newest(storage, district=district or "*"):
        found.years.append(_archived_year(manifest, context.catalog))
        yield str(found.years[-1])
    found.expired.extend(expired_years(storage, district=district or "*"))
    yield from found.expired
    yield f"{len(found.years)} archived years"
    return found


def _archived_year(manifest: Manifest, catalog: Catalog) -> ArchivedYear:
    own = [file for file in manifest.files if not file.bound]
    return ArchivedYear(
        manifest.tenant,
        manifest.school_year,
        manifest.archived_at,
        manifest.plan_no,
        len({file.school for file in own}),
        sum(file.rows for file in own),
        sum(file.bytes for file in manifest.files),
        sorted({file.key_id for file in manifest.files if file.key_id}),
        sum(file.key_id is None for file in manifest.files),
        *_expires(manifest, catalog),
    )


def _expires(manifest: Manifest, catalog: Catalog) -> tuple[date | None, str]:
    """When the year expires, by the present district and product files."""
    district, product = catalog.districts.get(manifest.district), catalog.products.get(manifest.product)
    if district is None or product is None or manifest.product not in district.products:
        return None, "expires by no rule: no district file lists it"
    if manifest.reset_date is None:
        return None, "expires by the reset date, which its manifest does not have"
    expires = product.archive_expires_on(district.products[product.product], manifest.reset_date)
    return expires, f"expires {expires}" if expires else "kept for good"


@app.command(
    "query",
    epilog='Example: rollover archive query "SELECT school_year, count(*) FROM tracking_events GROUP BY 1" '
    "--district springfield-il",
)
@command
def query(
    context: Context,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT.")],
    district: DistrictOption = None,
    product: ProductOption = None,
    year: AnyYear = None,
    csv: Annotated[bool, typer.Option("--csv", help="All rows, as CSV.")] = False,
    as_json: JsonOption = False,
) -> Lines[QueryResult | None]:
    """Query the archived years in SQL (DuckDB): hero.tracking_events and so on, with tenant_id and school_year."""
    from rollover.archive import manifest as manifests
    from rollover.archive.query import archived, ask, readable, without_values
    from rollover.certificate.destruction import expired_years

    if csv and as_json:
        raise BadArgument("give --csv or --json, not both")
    _refuse_unknown(context, district, product)
    which = {"product": product or "*", "district": district or "*", "year": school_year(year).key if year else "*"}
    storage = context.settings.storage_root
    years, closed = readable(manifests.newest(storage, **which), context.keys)
    for why in (*closed, *(expired_years(storage, **which) if year else ())):
        print(f"Left out: {why}", file=sys.stderr)
    with archived(years, context.keys) as connection:
        result = ask(connection, sql)
        with without_values():
            if as_json:
                return _all_rows(result)
            if csv:
                _print_csv(result)
            else:
                result.show(max_width=WIDTH, max_rows=SHOWN)
    yield from ()
    return None


def _all_rows(result: duckdb.DuckDBPyRelation) -> QueryResult:
    columns = [QueryColumn(name, str(kind)) for name, kind in zip(result.columns, result.types, strict=True)]
    values = [column.to_pylist() for column in result.to_arrow_table().columns]  # DuckDB's own rows need pytz
    return QueryResult(columns, [[_json_value(value) for value in row] for row in zip(*values, strict=True)])


def _json_value(value: object) -> JsonValue:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_json_value(each) for each in value]
        case dict():
            return {str(key): _json_value(each) for key, each in value.items()}
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case _:
            return str(value)


def _print_csv(result: duckdb.DuckDBPyRelation) -> None:
    import pyarrow.csv as pacsv

    from rollover.archive.query import as_csv

    rows = as_csv(result)
    with pacsv.CSVWriter(sys.stdout.buffer, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)


@app.command("report", epilog="Example: rollover archive report behavior_history hero__springfield-il 2025-26")
@command
def report(
    context: Context,
    report: Annotated[str, typer.Argument(metavar="REPORT", help="E.g. behavior_history.")],
    tenant: TenantArgument,
    year: YearArgument,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FOLDER", help="A folder; without it, one beside the exports of the year."),
    ] = None,
) -> Lines[ArchivedReport]:
    """Make a report of an archived year as it was when the year was live, for the archived schools."""
    from rollover.archive.report import write_archived_report
    from rollover.exports import reports_of
    from rollover.storage import storage_path

    found, wanted = context.tenant(tenant), school_year(year)
    known = reports_of(found.product)
    if report not in known:
        raise BadArgument(f"'{report}' is not a report of {found.product}{did_you_mean(report, known)}")
    exports = context.settings.storage_root / "exports" / found.product / found.district / wanted.key
    folder = storage_path(out) if out else exports / "from_archive"
    district = context.catalog.districts[found.district]
    receipts = write_archived_report(context.engine, found, wanted, known[report], district, folder, context.keys)
    files = [WrittenFile(each.path, each.rows, each.bytes, each.sha256) for each in receipts]
    for file in files:
        yield f"{file.path}: {file.rows:,} rows, SHA-256 {file.sha256}"
    return ArchivedReport(report, files)


@app.command(
    "restore",
    epilog='Example: rollover archive restore hero__springfield-il 2025-26 --into asked_for --reason "records request"',
)
@command
def restore(
    context: Context,
    tenant: TenantArgument,
    year: YearArgument,
    reason: Reason,
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="SCHEMA", help="A new schema; needs the owner's URL in ROLLOVER_DATABASE_URL."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="The live tables, if they have no row of that year.")] = False,
) -> Lines[None]:
    """Put an archived year back, row for row: into a new schema, or into the live tables if the year is empty there."""
    from rollover.archive.restore import into_live, into_schema
    from rollover.ledger.identity import caller

    if (into is None) is not live:
        raise BadArgument("give one of --into SCHEMA and --live")
    found, wanted = context.tenant(tenant), school_year(year)
    if into is None:
        result = into_live(context.engine, found, wanted, context.keys, by=context.person, reason=reason)
    else:  # only the owner may make a schema
        by = str(caller(context.engine))
        result = into_schema(context.engine, found, wanted, into, context.keys, by=by, reason=reason)
    for name, rows in result["rows"].items():
        yield f"{name}: {rows:,} rows"
    yield f"{wanted} of {found} is in {result['into']}"


@app.command("keygen", epilog="Example: rollover archive keygen hero__springfield-il")
@command
def keygen(context: Context, tenant: TenantArgument) -> Lines[None]:
    """Make the key that a tenant's archive is encrypted with; an existing key is never overwritten."""
    found = context.tenant(tenant)
    key = context.keys.make(found.id)
    yield f"The key of {found}, whose id is {key.id}, is in {context.keys.path(found.id)}."
    yield "Keep a copy of it apart from the archive: without it nobody reads what it encrypts."


@app.command(
    "destroy-key",
    epilog='Example: rollover archive destroy-key hero__springfield-il --why "the contract has ended"',
)
@command
def destroy_key(
    context: Context,
    tenant: TenantArgument,
    why: Annotated[
        str | None,
        typer.Option("--why", metavar="TEXT", help="Ask for it: why, without a name; goes to the evidence."),
    ] = None,
    approve: Annotated[
        str | None,
        typer.Option("--approve", metavar="PLAN", help="Do what somebody else asked for, by the plan's hash."),
    ] = None,
) -> Lines[None]:
    """Destroy a tenant's key, and with it every copy of what it encrypts: one person asks, another approves."""
    from rollover.disposal import destroy

    if (why is None) is (approve is None):
        raise BadArgument("give one of --why TEXT and --approve PLAN")
    found, by = context.tenant(tenant), context.person
    of = destroy.Tenancy(
        context.engine,
        found,
        context.catalog.districts[found.district],
        context.catalog.products[found.product],
        context.settings.storage_root,
        context.settings.signing_key,
    )
    if approve is None:
        plan = destroy.ask(of, context.keys, by=by, why=str(why))
        yield destroy.markdown(of, plan.content)
        yield f"Nothing is destroyed yet. Somebody else than {by} has to approve it:"
        yield f"  rollover archive destroy-key {found} --approve {plan.plan_hash[:12]}"
        return
    done = destroy.destroy(of, context.keys, plan_hash=approve, by=by)
    yield f"The key {done['key_id']} of {found} is destroyed. Destroy its copies too, its backup among them."


def _refuse_unknown(context: Context, district: str | None, product: str | None) -> None:
    """Raise BadArgument for a district or product that neither a file nor the archive has. The archive may have a
    district that is no longer a customer."""
    from rollover.archive.manifest import FOLDER

    refuse_unknown("product", product, PRODUCTS)
    if district is not None and district not in context.catalog.districts:
        archived = {path.name for path in context.settings.storage_root.glob(f"{FOLDER}/*/*")}
        refuse_unknown("district", district, sorted({*context.catalog.districts, *archived}))

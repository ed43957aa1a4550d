"""Tenant isolation: the role that works owns nothing, sees one tenant, and cannot rewrite the record

- ``rollover_app`` gets rights table by table, and row-level security on every table.
- What is frozen or proved (plan lines, receipts, evidence) can be inserted and read, never changed.
- Partitions carry no grants: the role reaches rows only through the partitioned table and its policy.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PRODUCTS = ("hero", "imagine_math", "imagine_math_facts")
SCHEMAS = ("directory", "roster", "ledger", *PRODUCTS)

TENANT_OF_A_ROW = "tenant_id = current_setting('rollover.tenant_id', true)"
DISTRICT_OF_A_ROW = "district_id = split_part(current_setting('rollover.tenant_id', true), '__', 2)"

# Insert-only: (table, columns that may be filled in later).
FROZEN = {
    "plans": ("approved_by", "approved_at"),
    "plan_lines": (),
    "exports": (),
    "archives": (),
    "evidence": (),
    "findings": (),
    "drops": (),
    "steps": (),
    "pauses": ("ended_by", "ended_at"),
    "rollovers": ("state", "run_id", "finished_at", "reset_date", "reset_at", "is_current"),
    "imports": ("state", "school_year", "sha256", "reason", "counts", "changed_at"),
}

ENSURE_SCHOOL_YEAR = """
CREATE FUNCTION ledger.ensure_school_year(year text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    parent record;
    partition text;
BEGIN
    IF year !~ '^[0-9]{4}-[0-9]{2}$' OR right(year, 2)::int <> (left(year, 4)::int + 1) % 100 THEN
        RAISE EXCEPTION '% is not a school year like 2025-26', year;
    END IF;
    FOR parent IN
        SELECT n.nspname AS schema, c.relname AS name
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'p' AND n.nspname IN ('hero', 'imagine_math', 'imagine_math_facts')
        ORDER BY 1, 2
    LOOP
        partition := parent.name || '__y' || left(year, 4);
        IF to_regclass(format('%I.%I', parent.schema, partition)) IS NULL THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('rollover.ensure_school_year', 0));
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I.%I PARTITION OF %I.%I FOR VALUES IN (%L)',
                           parent.schema, partition, parent.schema, parent.name, year);
        END IF;
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(
        "DO $$ BEGIN CREATE ROLE rollover_app NOLOGIN NOSUPERUSER NOBYPASSRLS; "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    for schema in SCHEMAS:
        op.execute(f"GRANT USAGE ON SCHEMA {schema} TO rollover_app")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA directory TO rollover_app")
    op.execute("GRANT UPDATE (current_school_year) ON directory.tenants TO rollover_app")
    for schema in ("roster", *PRODUCTS):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO rollover_app")
    for table, later in FROZEN.items():
        op.execute(f"GRANT SELECT, INSERT ON ledger.{table} TO rollover_app")
        if later:
            op.execute(f"GRANT UPDATE ({', '.join(later)}) ON ledger.{table} TO rollover_app")

    op.execute(
        f"""
        DO $$
        DECLARE t record;
        BEGIN
            FOR t IN
                SELECT n.nspname AS schema, c.relname AS name,
                       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid
                               AND a.attname = 'tenant_id') AS has_tenant
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
                  AND n.nspname IN ({", ".join(f"'{schema}'" for schema in SCHEMAS)})
            LOOP
                EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', t.schema, t.name);
                EXECUTE format('CREATE POLICY one_tenant ON %I.%I TO rollover_app USING (%s)',
                               t.schema, t.name,
                               CASE WHEN t.has_tenant THEN $q${TENANT_OF_A_ROW}$q$
                                    ELSE $q${DISTRICT_OF_A_ROW}$q$ END);
            END LOOP;
        END $$
        """
    )
    op.execute(ENSURE_SCHOOL_YEAR)
    op.execute("REVOKE ALL ON FUNCTION ledger.ensure_school_year(text) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION ledger.ensure_school_year(text) TO rollover_app")

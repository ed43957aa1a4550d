"""Roster intake: held and undone imports, what undoing needs, and the version of the live roster

- The two indexes on enrollments go: nothing reads by them, and they tripled the time of a first import.
- The policies ask for the session's tenant in a subquery, which PostgreSQL answers once a statement and not once a row.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATES = (
    "state IN ('found', 'fetched', 'staged', 'validated', 'held', 'ready', 'applied', 'rejected', "
    "'superseded', 'undone')"
)
DECISIONS = "decision IN ('approve', 'approve_with_id_map', 'additions_only', 'discard')"
TENANT_OF_A_ROW = "tenant_id = (SELECT current_setting('rollover.tenant_id', true))"
ONCE_A_STATEMENT = f"""
DO $$
DECLARE p record;
BEGIN
    FOR p IN
        SELECT polrelid::regclass AS relation FROM pg_policy
        JOIN pg_attribute a ON a.attrelid = polrelid AND a.attname = 'tenant_id'
        WHERE polname = 'one_tenant'
    LOOP
        EXECUTE format('ALTER POLICY one_tenant ON %s USING (%s)', p.relation, $q${TENANT_OF_A_ROW}$q$);
    END LOOP;
END $$
"""
GRANTS = {
    "roster.history": "SELECT, INSERT, DELETE",
    "ledger.roster_versions": "SELECT, INSERT, UPDATE",
    "ledger.id_maps": "SELECT, INSERT",
}

LAST_IMPORTS = """
CREATE VIEW ledger.last_imports WITH (security_invoker = true) AS
SELECT tenant_id, import_id, is_newest, is_live, state, school_year, format, found_at, changed_at, reason, decision,
       files_from, files_to, rows, errors, warnings
FROM (
    SELECT i.*, files.files_from, files.files_to, counted.rows, counted.errors, counted.warnings,
           row_number() OVER newest = 1 AS is_newest,
           i.state = 'applied' AND row_number() OVER live = 1 AS is_live
    FROM ledger.imports i
    LEFT JOIN ledger.drops d ON d.drop_id = i.import_id
    CROSS JOIN LATERAL (
        SELECT to_timestamp(min((file ->> 'modified')::bigint)) AS files_from,
               to_timestamp(max((file ->> 'modified')::bigint)) AS files_to
        FROM jsonb_array_elements(d.files) AS file
    ) files
    CROSS JOIN LATERAL (
        SELECT (SELECT sum(value::bigint) FROM jsonb_each_text(i.counts -> 'rows')) AS rows,
               (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(i.counts -> 'errors')) AS errors,
               (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(i.counts -> 'warnings')) AS warnings
    ) counted
    WINDOW newest AS (PARTITION BY i.tenant_id ORDER BY i.found_at DESC, i.import_id DESC),
           live AS (PARTITION BY i.tenant_id, i.state ORDER BY i.school_year DESC, i.found_at DESC, i.import_id DESC)
) each
WHERE is_newest OR is_live
"""


def upgrade() -> None:
    op.drop_index("ix_enrollments_tenant_id_class_id", "enrollments", schema="roster")
    op.drop_index("ix_enrollments_tenant_id_person_id", "enrollments", schema="roster")
    op.add_column("imports", sa.Column("format", sa.Text()), schema="ledger")
    comparison = sa.Column(
        "comparison",
        postgresql.JSONB(),
        comment="with the live roster: what would change, and which limits it is over",
    )
    op.add_column("imports", comparison, schema="ledger")
    op.add_column("imports", sa.Column("decision", sa.Text()), schema="ledger")
    op.add_column("imports", sa.Column("decided_by", sa.Text()), schema="ledger")
    op.add_column("imports", sa.Column("decided_at", sa.DateTime(timezone=True)), schema="ledger")
    op.drop_constraint(op.f("ck_imports_state"), "imports", schema="ledger")
    op.create_check_constraint(op.f("ck_imports_state"), "imports", STATES, schema="ledger")
    op.create_check_constraint(op.f("ck_imports_decision"), "imports", DECISIONS, schema="ledger")
    op.create_table(
        "roster_versions",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_roster_versions"),
        schema="ledger",
    )
    op.create_table(
        "id_maps",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("old_id", sa.Text(), nullable=False),
        sa.Column("new_id", sa.Text(), nullable=False),
        sa.Column("matched_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "import_id", "old_id", name="pk_id_maps"),
        schema="ledger",
    )
    op.create_table(
        "history",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("change_no", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("import_id", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column(
            "before",
            postgresql.JSONB(),
            nullable=False,
            comment="the row, or its key and the columns that the import changed",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "change_no", name="pk_history"),
        schema="roster",
    )
    for table, rights in GRANTS.items():
        op.execute(f"GRANT {rights} ON {table} TO rollover_app")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY one_tenant ON {table} TO rollover_app USING ({TENANT_OF_A_ROW})")
    op.execute(ONCE_A_STATEMENT)
    changed = "format, comparison, decision, decided_by, decided_at"
    op.execute(f"GRANT UPDATE ({changed}) ON ledger.imports TO rollover_app")
    op.execute(LAST_IMPORTS)
    op.execute("GRANT SELECT ON ledger.last_imports TO rollover_app")

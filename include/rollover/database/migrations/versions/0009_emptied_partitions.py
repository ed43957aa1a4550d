"""A school year's partition in which one tenant is alone may be emptied by the role that works, and no other"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# TRUNCATE knows neither snapshots nor row-level security. So only the owner may, and only in here: with nobody else
# at the partition, looking at what is committed now, where every row is of the session's tenant.
PARTITION = """
CREATE FUNCTION ledger.partition_of(relation text, year text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT c.oid::regclass
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent = to_regclass(relation) AND c.relname = p.relname || '__y' || left(year, 4)
      AND p.relnamespace::regnamespace::text IN ('hero', 'imagine_math', 'imagine_math_facts')
$$
"""

# Asked before the lock too: where others have rows, they are not kept waiting. An index answers.
LOCK = """
CREATE FUNCTION ledger.lock_partition(relation text, year text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET lock_timeout = '10s' AS $$
DECLARE
    tenant text := nullif(current_setting('rollover.tenant_id', true), '');
    partition regclass := ledger.partition_of(relation, year);
    alone boolean;
BEGIN
    IF tenant IS NULL OR current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'needs a tenant session at READ COMMITTED';
    END IF;
    IF partition IS NULL THEN
        RETURN false;
    END IF;
    FOR step IN 1..2 LOOP
        EXECUTE format('SELECT min(tenant_id) = $1 AND max(tenant_id) = $1 FROM %s', partition) INTO alone USING tenant;
        IF alone IS NOT TRUE OR step = 2 THEN
            RETURN coalesce(alone, false);
        END IF;
        BEGIN
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
        EXCEPTION WHEN lock_not_available THEN
            RETURN false;
        END;
    END LOOP;
END $$
"""

EMPTY = """
CREATE FUNCTION ledger.empty_partition(relation text, year text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT ledger.lock_partition(relation, year) THEN
        RAISE EXCEPTION '% of % is empty, in use, or holds rows of others', relation, year;
    END IF;
    EXECUTE format('TRUNCATE %s', ledger.partition_of(relation, year));
END $$
"""


def upgrade() -> None:
    op.execute(PARTITION)
    op.execute(LOCK)
    op.execute(EMPTY)
    for name in ("partition_of", "lock_partition", "empty_partition"):
        op.execute(f"REVOKE ALL ON FUNCTION ledger.{name}(text, text) FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION ledger.{name}(text, text) TO rollover_app")

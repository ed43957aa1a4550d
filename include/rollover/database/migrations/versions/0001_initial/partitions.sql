-- Partitions of the activity tables, one per school year. They carry no grants: the role that works reaches rows only
-- through the partitioned table and its policy, and calls these functions of the owner's to make or empty a partition.

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
END $$;

-- TRUNCATE knows neither snapshots nor row-level security. So only the owner may, and only in empty_partition: with
-- nobody else at the partition, looking at what is committed now, where every row is of the session's tenant.
CREATE FUNCTION ledger.partition_of(relation text, year text) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT c.oid::regclass
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE i.inhparent = to_regclass(relation) AND c.relname = p.relname || '__y' || left(year, 4)
      AND p.relnamespace::regnamespace::text IN ('hero', 'imagine_math', 'imagine_math_facts')
$$;

-- Looks before it locks, too: where others have rows, they are not kept waiting. An index answers.
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
END $$;

CREATE FUNCTION ledger.empty_partition(relation text, year text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT ledger.lock_partition(relation, year) THEN
        RAISE EXCEPTION '% of % is empty, in use, or holds rows of others', relation, year;
    END IF;
    EXECUTE format('TRUNCATE %s', ledger.partition_of(relation, year));
END $$;

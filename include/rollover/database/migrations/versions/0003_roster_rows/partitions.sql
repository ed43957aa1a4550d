-- The rows of a roster table lie in its only partition, of every tenant. Who reads, changes or deletes rows goes through
-- the table and its policy. New rows may also be copied into the partition, which has no row-level security, but by a
-- role that may give a value to every column except tenant_id: PostgreSQL fills that in, with the session's tenant, and
-- refuses a row if there is none.
DO $$
DECLARE
    name text;
    part text;
    keys text;
    columns text;
BEGIN
    FOREACH name IN ARRAY ARRAY['orgs', 'academic_sessions', 'courses', 'classes', 'people', 'guardians', 'enrollments']
    LOOP
        part := name || '__rows';
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY key.place) INTO keys
        FROM pg_constraint c
        CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY key (column_no, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = key.column_no
        WHERE c.conrelid = format('roster.%I', name)::regclass AND c.contype = 'p';

        EXECUTE format('ALTER TABLE roster.%I RENAME TO %I', name, part);
        EXECUTE format('ALTER TABLE roster.%I RENAME CONSTRAINT %I TO %I', part, 'pk_' || name, 'pk_' || part);
        EXECUTE format('DROP POLICY one_tenant ON roster.%I', part);
        EXECUTE format('ALTER TABLE roster.%I DISABLE ROW LEVEL SECURITY', part);
        EXECUTE format('REVOKE ALL ON roster.%I FROM rollover_app', part);

        EXECUTE format('CREATE TABLE roster.%I (LIKE roster.%I INCLUDING COMMENTS INCLUDING CONSTRAINTS) '
                       'PARTITION BY LIST (tenant_id)', name, part);
        EXECUTE format('ALTER TABLE roster.%I ADD CONSTRAINT %I PRIMARY KEY (%s)', name, 'pk_' || name, keys);
        EXECUTE format('ALTER TABLE roster.%I ATTACH PARTITION roster.%I DEFAULT', name, part);
        EXECUTE format('ALTER TABLE roster.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY one_tenant ON roster.%I TO rollover_app '
                       'USING (tenant_id = (SELECT current_setting(''rollover.tenant_id'', true)))', name);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON roster.%I TO rollover_app', name);

        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
        FROM pg_attribute
        WHERE attrelid = format('roster.%I', part)::regclass AND attnum > 0 AND NOT attisdropped
          AND attname <> 'tenant_id';
        EXECUTE format('ALTER TABLE roster.%I ALTER tenant_id SET DEFAULT '
                       'nullif(current_setting(''rollover.tenant_id''), '''')', part);
        EXECUTE format('GRANT INSERT (%s) ON roster.%I TO rollover_app', columns, part);
    END LOOP;
END $$;

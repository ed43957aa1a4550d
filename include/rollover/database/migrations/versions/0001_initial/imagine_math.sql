-- What Imagine Math keeps and Imagine Math Facts does not.
CREATE TABLE imagine_math.pathways (
    tenant_id    text NOT NULL,
    school_year  text NOT NULL,
    school_id    text NOT NULL,
    account_id   text NOT NULL,
    pathway      text NOT NULL,
    assigned_on  date NOT NULL,
    completed_on date,
    CONSTRAINT pk_pathways PRIMARY KEY (tenant_id, school_year, account_id, pathway)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_pathways_tenant_id_school_id ON imagine_math.pathways (tenant_id, school_id);
COMMENT ON TABLE imagine_math.pathways IS 'The pathways a student is on; some 3+ students are on several';

CREATE TABLE imagine_math.think_points (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    account_id text NOT NULL,
    points     integer NOT NULL,
    as_of      timestamptz NOT NULL,
    CONSTRAINT pk_think_points PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT ck_think_points_never_negative CHECK (points >= 0)
);
COMMENT ON TABLE imagine_math.think_points IS 'THINK Points of 3+ students';

CREATE TABLE imagine_math.avatars (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    account_id text NOT NULL,
    avatar     text NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_avatars PRIMARY KEY (tenant_id, account_id)
);
COMMENT ON TABLE imagine_math.avatars IS 'Avatars of 3+ students';

-- The live roster of each tenant, as the district's files say it.
CREATE SCHEMA roster;

CREATE TABLE roster.orgs (
    tenant_id  text NOT NULL,
    sourced_id text NOT NULL,
    name       text NOT NULL,
    type       text NOT NULL,
    identifier text,
    parent_id  text,
    status     text NOT NULL,
    row_hash   bigint NOT NULL,
    import_id  text NOT NULL,
    CONSTRAINT pk_orgs PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_orgs_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.orgs.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.orgs.import_id IS 'the import that last changed the row';

CREATE TABLE roster.academic_sessions (
    tenant_id   text NOT NULL,
    sourced_id  text NOT NULL,
    title       text NOT NULL,
    type        text NOT NULL,
    start_date  date NOT NULL,
    end_date    date NOT NULL,
    parent_id   text,
    school_year text NOT NULL,
    status      text NOT NULL,
    row_hash    bigint NOT NULL,
    import_id   text NOT NULL,
    CONSTRAINT pk_academic_sessions PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_academic_sessions_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.academic_sessions.end_date IS 'exclusive, as OneRoster has it';
COMMENT ON COLUMN roster.academic_sessions.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.academic_sessions.import_id IS 'the import that last changed the row';

CREATE TABLE roster.courses (
    tenant_id              text NOT NULL,
    sourced_id             text NOT NULL,
    title                  text NOT NULL,
    course_code            text,
    grades                 text[] NOT NULL,
    org_id                 text NOT NULL,
    school_year_session_id text,
    status                 text NOT NULL,
    row_hash               bigint NOT NULL,
    import_id              text NOT NULL,
    CONSTRAINT pk_courses PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_courses_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.courses.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.courses.import_id IS 'the import that last changed the row';

CREATE TABLE roster.classes (
    tenant_id  text NOT NULL,
    sourced_id text NOT NULL,
    title      text NOT NULL,
    class_code text,
    class_type text NOT NULL,
    course_id  text NOT NULL,
    school_id  text NOT NULL,
    term_ids   text[] NOT NULL,
    grades     text[] NOT NULL,
    periods    text[] NOT NULL,
    location   text,
    status     text NOT NULL,
    row_hash   bigint NOT NULL,
    import_id  text NOT NULL,
    CONSTRAINT pk_classes PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_classes_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.classes.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.classes.import_id IS 'the import that last changed the row';

CREATE TABLE roster.people (
    tenant_id       text NOT NULL,
    sourced_id      text NOT NULL,
    role            text NOT NULL,
    given_name      text NOT NULL,
    middle_name     text,
    family_name     text NOT NULL,
    username        text NOT NULL,
    email           text,
    identifier      text,
    birth_date      date,
    grade           text,
    school_ids      text[] NOT NULL,
    enabled         boolean NOT NULL,
    last_year_grade text,
    status          text NOT NULL,
    row_hash        bigint NOT NULL,
    import_id       text NOT NULL,
    CONSTRAINT pk_people PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_people_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.people.last_year_grade
    IS 'the grade before the new year''s import; set by it, for verify_roster';
COMMENT ON COLUMN roster.people.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.people.import_id IS 'the import that last changed the row';

CREATE TABLE roster.guardians (
    tenant_id   text NOT NULL,
    student_id  text NOT NULL,
    guardian_id text NOT NULL,
    status      text NOT NULL,
    row_hash    bigint NOT NULL,
    import_id   text NOT NULL,
    CONSTRAINT pk_guardians PRIMARY KEY (tenant_id, student_id, guardian_id),
    CONSTRAINT ck_guardians_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.guardians.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.guardians.import_id IS 'the import that last changed the row';

CREATE TABLE roster.enrollments (
    tenant_id  text NOT NULL,
    sourced_id text NOT NULL,
    class_id   text NOT NULL,
    school_id  text NOT NULL,
    person_id  text NOT NULL,
    role       text NOT NULL,
    "primary"  boolean,
    begin_date date,
    end_date   date,
    status     text NOT NULL,
    row_hash   bigint NOT NULL,
    import_id  text NOT NULL,
    CONSTRAINT pk_enrollments PRIMARY KEY (tenant_id, sourced_id),
    CONSTRAINT ck_enrollments_status CHECK (status IN ('active', 'tobedeleted'))
);
COMMENT ON COLUMN roster.enrollments.row_hash IS 'of the file''s values: tells what changed';
COMMENT ON COLUMN roster.enrollments.import_id IS 'the import that last changed the row';

CREATE TABLE roster.history (
    tenant_id  text NOT NULL,
    change_no  bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL,
    import_id  text NOT NULL,
    table_name text NOT NULL,
    before     jsonb NOT NULL,
    CONSTRAINT pk_history PRIMARY KEY (tenant_id, change_no)
);
COMMENT ON COLUMN roster.history.before IS 'the row, or its key and the columns that the import changed';

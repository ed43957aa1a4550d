-- What Imagine Math and Imagine Math Facts both keep; $product is the schema of either.
CREATE SCHEMA $product;

CREATE TABLE $product.student_accounts (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    account_id text NOT NULL,
    person_id  text NOT NULL,
    username   text NOT NULL,
    grade      text NOT NULL,
    band       text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_student_accounts PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT ck_student_accounts_band CHECK (band IN ('PreK-2', '3+'))
);
COMMENT ON TABLE $product.student_accounts IS 'A student''s account; a returning student gets a new one each year';

CREATE TABLE $product.educator_accounts (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    account_id text NOT NULL,
    person_id  text NOT NULL,
    username   text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_educator_accounts PRIMARY KEY (tenant_id, account_id)
);
COMMENT ON TABLE $product.educator_accounts IS 'An educator''s account; kept';

CREATE TABLE $product.classrooms (
    tenant_id           text NOT NULL,
    school_id           text NOT NULL,
    classroom_id        text NOT NULL,
    class_id            text NOT NULL,
    name                text NOT NULL,
    educator_account_id text,
    CONSTRAINT pk_classrooms PRIMARY KEY (tenant_id, classroom_id)
);
COMMENT ON TABLE $product.classrooms IS 'A class as the product shows it';

CREATE TABLE $product.classroom_students (
    tenant_id    text NOT NULL,
    school_id    text NOT NULL,
    classroom_id text NOT NULL,
    account_id   text NOT NULL,
    CONSTRAINT pk_classroom_students PRIMARY KEY (tenant_id, classroom_id, account_id)
);
COMMENT ON TABLE $product.classroom_students IS 'Who is in a classroom';

CREATE TABLE $product.assessments (
    tenant_id     text NOT NULL,
    school_year   text NOT NULL,
    school_id     text NOT NULL,
    assessment_id bigint NOT NULL,
    account_id    text NOT NULL,
    name          text NOT NULL,
    score         integer NOT NULL,
    taken_on      date NOT NULL,
    CONSTRAINT pk_assessments PRIMARY KEY (tenant_id, school_year, assessment_id)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_assessments_tenant_id_school_id ON $product.assessments (tenant_id, school_id);
COMMENT ON TABLE $product.assessments IS 'A test taken: the benchmarks of Imagine Math, the fluency checks of Facts';

CREATE TABLE $product.progress (
    tenant_id        text NOT NULL,
    school_year      text NOT NULL,
    school_id        text NOT NULL,
    account_id       text NOT NULL,
    pathway          text NOT NULL,
    lessons_assigned integer NOT NULL,
    lessons_passed   integer NOT NULL,
    average_score    numeric(5, 2),
    CONSTRAINT pk_progress PRIMARY KEY (tenant_id, school_year, account_id, pathway)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_progress_tenant_id_school_id ON $product.progress (tenant_id, school_id);
COMMENT ON TABLE $product.progress IS 'How far a student came in a pathway';

CREATE TABLE $product.usage (
    tenant_id   text NOT NULL,
    school_year text NOT NULL,
    school_id   text NOT NULL,
    account_id  text NOT NULL,
    week_of     date NOT NULL,
    minutes     integer NOT NULL,
    problems    integer NOT NULL,
    CONSTRAINT pk_usage PRIMARY KEY (tenant_id, school_year, account_id, week_of)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_usage_tenant_id_school_id ON $product.usage (tenant_id, school_id);
COMMENT ON TABLE $product.usage IS 'Time and problems per student and week';

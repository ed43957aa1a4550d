-- SchoolMint Hero: behavior tracking, points, and the settings around them.
CREATE SCHEMA hero;

CREATE TABLE hero.behavior_codes (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    code_id    text NOT NULL,
    name       text NOT NULL,
    kind       text NOT NULL,
    points     integer NOT NULL,
    active     boolean NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_behavior_codes PRIMARY KEY (tenant_id, code_id)
);
COMMENT ON TABLE hero.behavior_codes IS 'What a school tracks: code, kind (positive, negative, tardy) and points';

CREATE TABLE hero.action_settings (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    action_id  text NOT NULL,
    name       text NOT NULL,
    code_id    text NOT NULL,
    threshold  integer NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_action_settings PRIMARY KEY (tenant_id, action_id)
);
COMMENT ON TABLE hero.action_settings IS 'What follows when a code was tracked `threshold` times';

CREATE TABLE hero.tracking_events (
    tenant_id   text NOT NULL,
    school_year text NOT NULL,
    school_id   text NOT NULL,
    event_id    bigint NOT NULL,
    student_id  text NOT NULL,
    employee_id text NOT NULL,
    code_id     text NOT NULL,
    occurred_at timestamptz NOT NULL,
    location    text NOT NULL,
    points      integer NOT NULL,
    comment     text,
    CONSTRAINT pk_tracking_events PRIMARY KEY (tenant_id, school_year, event_id)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_tracking_events_tenant_id_school_id ON hero.tracking_events (tenant_id, school_id);
COMMENT ON TABLE hero.tracking_events IS 'A behavior that an employee tracked for a student';

CREATE TABLE hero.action_assignments (
    tenant_id     text NOT NULL,
    school_year   text NOT NULL,
    school_id     text NOT NULL,
    assignment_id bigint NOT NULL,
    event_id      bigint NOT NULL,
    student_id    text NOT NULL,
    action_id     text NOT NULL,
    assigned_on   date NOT NULL,
    served_on     date,
    CONSTRAINT pk_action_assignments PRIMARY KEY (tenant_id, school_year, assignment_id)
) PARTITION BY LIST (school_year);
CREATE INDEX ix_action_assignments_tenant_id_school_id ON hero.action_assignments (tenant_id, school_id);
COMMENT ON TABLE hero.action_assignments IS 'A consequence that followed from an event, and when it was served';

CREATE TABLE hero.points_ledger (
    tenant_id   text NOT NULL,
    school_year text NOT NULL,
    school_id   text NOT NULL,
    entry_id    bigint NOT NULL,
    student_id  text NOT NULL,
    kind        text NOT NULL,
    points      integer NOT NULL,
    entered_at  timestamptz NOT NULL,
    CONSTRAINT pk_points_ledger PRIMARY KEY (tenant_id, school_year, entry_id),
    CONSTRAINT ck_points_ledger_kind CHECK (kind IN ('earned', 'redeemed', 'adjusted', 'reset'))
) PARTITION BY LIST (school_year);
CREATE INDEX ix_points_ledger_tenant_id_school_id ON hero.points_ledger (tenant_id, school_id);
COMMENT ON TABLE hero.points_ledger IS 'Points earned and redeemed; a balance is the sum since the last reset entry';

CREATE TABLE hero.point_balances (
    tenant_id  text NOT NULL,
    school_id  text NOT NULL,
    student_id text NOT NULL,
    balance    integer NOT NULL,
    as_of      timestamptz NOT NULL,
    CONSTRAINT pk_point_balances PRIMARY KEY (tenant_id, student_id),
    CONSTRAINT ck_point_balances_never_negative CHECK (balance >= 0)
);
COMMENT ON TABLE hero.point_balances IS 'What a student can spend';

CREATE TABLE hero.bell_schedules (
    tenant_id      text NOT NULL,
    school_id      text NOT NULL,
    schedule_id    text NOT NULL,
    period         text NOT NULL,
    name           text NOT NULL,
    starts_at      time NOT NULL,
    ends_at        time NOT NULL,
    effective_from date NOT NULL,
    CONSTRAINT pk_bell_schedules PRIMARY KEY (tenant_id, schedule_id, period)
);
COMMENT ON TABLE hero.bell_schedules IS 'When the periods of a school begin and end';

CREATE TABLE hero.email_templates (
    tenant_id   text NOT NULL,
    school_id   text NOT NULL,
    template_id text NOT NULL,
    name        text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    active      boolean NOT NULL,
    CONSTRAINT pk_email_templates PRIMARY KEY (tenant_id, template_id)
);
COMMENT ON TABLE hero.email_templates IS 'Notification e-mails; kept, never deactivated';

CREATE TABLE hero.notification_settings (
    tenant_id   text NOT NULL,
    school_id   text NOT NULL,
    sending     boolean NOT NULL,
    switched_at timestamptz NOT NULL,
    CONSTRAINT pk_notification_settings PRIMARY KEY (tenant_id, school_id)
);
COMMENT ON TABLE hero.notification_settings IS 'Whether a school sends notification e-mails at all';

CREATE TABLE hero.portal_settings (
    tenant_id              text NOT NULL,
    school_id              text NOT NULL,
    students_see_schedules boolean NOT NULL,
    parents_see_schedules  boolean NOT NULL,
    CONSTRAINT pk_portal_settings PRIMARY KEY (tenant_id, school_id)
);
COMMENT ON TABLE hero.portal_settings IS 'Whether the portals show schedules';

CREATE TABLE hero.student_logins (
    tenant_id     text NOT NULL,
    school_id     text NOT NULL,
    login_id      text NOT NULL,
    person_id     text NOT NULL,
    username      text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT pk_student_logins PRIMARY KEY (tenant_id, login_id)
);
COMMENT ON TABLE hero.student_logins IS 'How students log in; kept from year to year';

CREATE TABLE hero.parent_logins (
    tenant_id     text NOT NULL,
    school_id     text NOT NULL,
    login_id      text NOT NULL,
    person_id     text NOT NULL,
    username      text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT pk_parent_logins PRIMARY KEY (tenant_id, login_id)
);
COMMENT ON TABLE hero.parent_logins IS 'How parents log in; kept from year to year';

CREATE TABLE hero.employee_logins (
    tenant_id     text NOT NULL,
    school_id     text NOT NULL,
    login_id      text NOT NULL,
    person_id     text NOT NULL,
    username      text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT pk_employee_logins PRIMARY KEY (tenant_id, login_id)
);
COMMENT ON TABLE hero.employee_logins IS 'How employees log in; kept from year to year';

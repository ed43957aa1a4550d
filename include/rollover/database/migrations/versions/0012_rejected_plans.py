"""A plan that a person rejected is never approved

The approval of a plan needs its link in the chain of evidence, as before, and no link that says the plan was rejected.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE OR REPLACE FUNCTION ledger.plan_is_approved_in_evidence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT ledger.in_evidence(NEW.tenant_id, '{approve}',
           jsonb_build_object('approved_by', NEW.approved_by, 'plan_hash', NEW.plan_hash)) THEN
        RAISE EXCEPTION 'a plan is approved with its evidence'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    IF EXISTS (SELECT FROM ledger.evidence e
               WHERE e.rollover_id = NEW.rollover_id AND e.kind = 'plan_rejected'
                 AND e.facts @> jsonb_build_object('plan_no', NEW.plan_no)) THEN
        RAISE EXCEPTION 'a rejected plan is not approved'
            USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)

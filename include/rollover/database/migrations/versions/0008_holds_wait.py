"""A hold, whoever sets it, waits for a step that is under way and counts from then on: it never comes in between"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The tenant's lock, as rollover.database.session takes it. set_at was filled in before the wait.
FUNCTION = """
CREATE FUNCTION ledger.after_the_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.tenant_id, 0));
    NEW.set_at := clock_timestamp();
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    op.execute(FUNCTION)
    op.execute(
        "CREATE TRIGGER after_the_step BEFORE INSERT ON ledger.holds "
        "FOR EACH ROW EXECUTE FUNCTION ledger.after_the_step()"
    )
    op.execute("ALTER TABLE ledger.holds ENABLE ALWAYS TRIGGER after_the_step")

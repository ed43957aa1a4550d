"""PostgreSQL: tables, migrations, and the tenant session that all work happens in."""

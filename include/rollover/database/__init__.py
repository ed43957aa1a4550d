"""Defines the tables in PostgreSQL, their migrations, and the tenant session in which all work happens."""

"""Checks the new year's roster with queries that share nothing with the import."""

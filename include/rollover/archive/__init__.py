"""Writes, reads and restores archives: Parquet per tenant, school year, school and table."""

"""The archive: Parquet per tenant, school year, school and table, read back and compared before its rows go."""

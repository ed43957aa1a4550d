"""Disposes of archived data: years past their retention, and the keys of tenants."""

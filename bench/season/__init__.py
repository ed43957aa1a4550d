"""Measures a whole season: many tenants with the same reset date, through the real scheduler."""

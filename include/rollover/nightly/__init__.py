"""The work of the night: for the tenants that have something due, and for no others."""

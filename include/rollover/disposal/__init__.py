"""The end of archived data: years past their retention, and the destruction of a tenant's key."""

"""What state each tenant is in, as people see it."""

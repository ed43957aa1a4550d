"""Shows people the state of each tenant."""

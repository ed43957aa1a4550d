"""What a set would change in the live roster, and whether that can be right."""

"""What a district is told of its drop."""

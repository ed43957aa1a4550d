"""The new year's roster looked at again, with other queries."""

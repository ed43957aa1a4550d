"""A held import and the person who decides about it."""

"""Applies a set to the live roster, and undoes that."""

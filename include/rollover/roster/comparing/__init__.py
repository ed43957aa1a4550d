"""Compares a set with the live roster, and judges whether the changes are plausible."""

"""Roster sets for tests: whole, generated, and with defects."""

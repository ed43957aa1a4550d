"""Checks a staged set as a whole, and makes the roster tables from it."""

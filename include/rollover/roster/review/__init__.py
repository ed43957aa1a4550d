"""Asks a person about an import in review."""

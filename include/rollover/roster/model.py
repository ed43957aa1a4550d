"""Defines the words of the typed roster, to which all formats are converted."""

from __future__ import annotations

GRADES = (
    *("IT", "PR", "PK", "TK", "KG"),
    *(f"{grade:02d}" for grade in range(1, 14)),
    *("PS", "UG", "Other"),
)
"""CEDS grade levels."""
GUARDIAN_ROLES = ("guardian", "parent", "relative")
ROLES = ("administrator", "aide", *GUARDIAN_ROLES, "proctor", "student", "teacher")
